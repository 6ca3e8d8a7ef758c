"""Does an app give the same bits again: with other cuts into batches, and with a save and a load in between?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.avro import Framing, header
from stream.cli.checks.findings import Findings
from stream.cli.checks.generated import Generated, generate
from stream.cli.state.comparing import differences
from stream.config import TopicNames
from stream.engine.effects import OutputBatch
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.row_archive import RowArchive
from stream.engine.task import Task
from stream.engine.warm_up import warm_up
from stream.errors import StreamError
from stream.records import Array, RecordBatch
from stream.testing.partition_log import Stored, stored_records

_EVENTS = 1_000
_SEED = 7
_NOW_MS = 1_800_000_000_000  # the same in every run: it only stamps outputs
_AREA = "reproducible"


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run left."""

    arrays: Mapping[str, Array]
    outputs: Mapping[str, Sequence[Stored]]  # by topic, in order


def check_plan_reproducible(plan: Plan, findings: Findings) -> None:
    """Run the whole engine four times over the same generated events and labels, and compare all that it leaves.

    It finds random numbers and clocks in an app's own functions and models, state that a save forgets, and results
    that depend on where a batch ends. What differs between machines it cannot find.
    """
    try:
        given = generate(plan, _EVENTS, _SEED)
        with np.errstate(all="ignore"):
            warm_up(plan, _format(plan))
            once = run(plan, given.pieces)
            compared = {
                "run again": run(plan, given.pieces),
                "cut into other batches and cycles": run(plan, list(cut_anew(given.pieces))),
                "saved and loaded half way": run(plan, given.pieces, load_at=len(given.pieces) // 2),
            }
    except StreamError as error:
        findings.wrong(_AREA, plan.app, f"generated events cannot be handled: {error}")
        return
    told = [text for how, other in compared.items() for text in differing(once, other, how)]
    for text in told:
        findings.wrong(_AREA, plan.app, text)
    if not told:
        findings.ok(_AREA, plan.app, _told_as_equal(once, given, plan))


def _told_as_equal(once: Ran, given: Generated, plan: Plan) -> str:
    predictions = len(once.outputs.get(TopicNames.of(plan.app).predictions, ()))
    labels = f" and {given.labels:,} labels" if given.labels else ""
    return (
        f"{given.events:,} generated events ({predictions:,} predictions){labels}: the same state and outputs, bit for "
        "bit, when run again, cut into other batches, and saved and loaded half way"
    )


def run(plan: Plan, pieces: Sequence[RecordBatch], load_at: int = -1) -> Ran:
    """Handle batches, a cycle each.

    Args:
        plan: the app.
        pieces: its events and labels.
        load_at: before this piece the state is saved, and goes on in another task.
    """
    running = _Run(plan)
    for number, piece in enumerate(pieces):
        if number == load_at:
            running.save_and_load()
        running.handle(piece)
    return Ran(running.task.state.arrays(), running.outputs)


@dataclass(slots=True)
class _Run:
    plan: Plan
    task: Task = field(init=False)
    outputs: dict[str, list[Stored]] = field(default_factory=dict)
    rows: RowArchive = field(default_factory=RowArchive)

    def __post_init__(self) -> None:
        self.task = Task(self.plan, 0, 1, _format(self.plan))
        self.task.start_at(dict.fromkeys(self.task.sources, 0))

    def save_and_load(self) -> None:
        saved = self.task.checkpoint(_NOW_MS)
        self.task = Task(self.plan, 0, 2, _format(self.plan))
        self.task.load(saved)

    def handle(self, batch: RecordBatch) -> None:
        """A cycle of one batch."""
        while len(batch):
            given = self.task.process(batch, _NOW_MS)
            self._keep((*given.predictions, *given.transactional, *given.rows))
            self.rows.keep(given.rows)
            batch = batch.part(given.taken, len(batch))
            if given.needs_schema is not None:
                text = _schema_text(self.plan, batch.topic)
                self.task.answer_schema(SchemaFetched(given.needs_schema, text))
            if given.needs_rows:
                self.task.answer_rows(self.rows.fetch(0, given.needs_rows))
        self.task.close_cycle()

    def _keep(self, batches: Sequence[OutputBatch]) -> None:
        for batch in batches:
            self.outputs.setdefault(batch.topic, []).extend(stored_records(batch))


def cut_anew(pieces: Sequence[RecordBatch]) -> Iterator[RecordBatch]:
    """The same records in smaller batches of changing sizes."""
    draw = np.random.default_rng(_SEED)
    for piece in pieces:
        at = 0
        while at < len(piece):
            end = min(len(piece), at + int(draw.integers(1, 20)))
            yield piece.part(at, end)
            at = end


def differing(once: Ran, other: Ran, how: str) -> list[str]:
    """What of another run is not as it was; nothing if all is."""
    told = []
    for topic in sorted({*once.outputs, *other.outputs}):
        first, second = once.outputs.get(topic, ()), other.outputs.get(topic, ())
        if first != second:
            place = next((at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), "the last")
            told.append(f"{how}: records of {topic} differ, {len(first):,} and {len(second):,}, first at {place}")
    found = differences(once.arrays, other.arrays, "once", "then")
    return told + [f"{how}: state {each.array} {each.text}" for each in found]


def _format(plan: Plan) -> OutputFormat:
    any_header = header(Framing.CONFLUENT, 1)
    return OutputFormat(TopicNames.of(plan.app), any_header, any_header)


def _schema_text(plan: Plan, topic: str) -> str:
    if plan.labels is not None and topic == plan.labels.topic:
        return plan.labels.schema.text
    return plan.events.schema.text
