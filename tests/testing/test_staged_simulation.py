"""Stages under seeded faults (rules 34 and 35): what must hold, and that the checks see what breaks it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from stream.engine.effects import OutputBatch, Outputs
from stream.engine.envelope import Sealer, Travellers
from stream.engine.journal import Backfill
from stream.engine.order import Released, SourceOrder, _nothing
from stream.engine.protocol import Instruction, Produce
from stream.engine.relay import Relay
from stream.engine.small_avro import decode_small
from stream.records import Array, Bools, Ints, RecordBatch, TopicPartition
from stream.testing import simulation as schedule
from stream.testing.check import check
from stream.testing.connection import Connection
from stream.testing.simulation import Simulation, SimulationFailed
from tests.engine.build import T0
from tests.testing.build import moved_simulation, staged_simulation

SEEDS = 40
CHUNKS = 4


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_rule_35_whatever_goes_wrong_each_stage_is_what_its_journal_says(chunk: int) -> None:
    """40 seeds of every fault: each event passes each stage once, and leaves in the order in which it came."""
    for seed in range(chunk, SEEDS, CHUNKS):
        check(staged_simulation(seed).run())


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 8), marks=pytest.mark.slow)])
def test_labels_that_a_stage_moves_are_moved_once_whatever_goes_wrong(seeds: range) -> None:
    """8 seeds: each label comes to the task of its event once, or is a dead letter."""
    for seed in seeds:
        check(moved_simulation(seed).run())


def test_one_seed_of_stages_is_one_run() -> None:
    """Whoever gets a seed sees the same faults, and the same bytes on every topic between the stages."""
    first, second = (staged_simulation(2).run() for _ in range(2))

    assert first.happened == second.happened != []
    assert first.broker.logs.keys() == second.broker.logs.keys() >= {TopicPartition("app.by-text.repartition", 0)}
    for source, log in first.broker.logs.items():
        assert list(log.committed()) == list(second.broker.logs[source].committed())


class BackfillsStages(Simulation):
    """Workers are told to backfill until every task of every stage has begun; those that start later are not."""

    @property
    def backfill(self) -> Backfill | None:  # type: ignore[override]
        """Outputs begin in the middle of what is sent."""
        journals = [
            self.broker.logs[TopicPartition(stage.journal, n)]
            for stage in self.stages
            for n in range(self.broker.partitions)
        ]
        has_begun = all(any(True for _ in log.committed()) for log in journals)
        return None if has_begun else Backfill(None, T0 + 40)


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 4), marks=pytest.mark.slow)])
def test_a_backfill_of_stages_learns_from_the_past_and_tells_nothing_of_it(seeds: range) -> None:
    """Events from before the time pass all stages; what is told is of those from then on."""
    for seed in seeds:
        run = staged_simulation(seed, BackfillsStages).run()
        check(run)
        told = [decode_small("prediction", value[5:]) for value in run.broker.values("app.predictions") if value]
        stored = {source: dict(log.committed()) for source, log in run.broker.logs.items()}
        events = [stored[TopicPartition("payments", each["partition"])][each["offset"]] for each in told]
        assert min(event.timestamp_ms for event in events) >= T0 + 40
        handed_on = [len(log) for source, log in stored.items() if source.topic == "app.repartition"]
        assert sum(handed_on) > len(told) > 10


def counts_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage passes a sequence over, behind the batch of one event of its partition."""
    begin = Relay._begin

    def planted(relay: Relay, batch: RecordBatch, now_ms: int) -> Outputs:
        outputs = begin(relay, batch, now_ms)
        relay.state.stage.accepted[0] += 5 in batch.offsets[: outputs.taken]
        return outputs

    monkeypatch.setattr(Relay, "_begin", planted)


def releases_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last stage takes events as they come, and waits for nothing."""
    monkeypatch.setattr(SourceOrder, "released_with", lambda order, arrived: Released(arrived, _nothing(), arrived))


def leaves_out_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of the last stage hold none of the events that wait for earlier ones."""
    arrays = SourceOrder.arrays

    def planted(order: SourceOrder) -> dict[str, Array]:
        found = arrays(order)
        return {**found, "numbers": found["numbers"][:0], "features": found["features"][:0]}

    monkeypatch.setattr(SourceOrder, "arrays", planted)


class SendsOnOutside(Connection):
    """Events leave for the next stage at once, outside the transaction of their cycle."""

    def perform(self, instruction: Instruction) -> None:
        """Events first."""
        if isinstance(instruction, Produce):
            is_event = [batch.topic.endswith(".repartition") for batch in instruction.outputs]
            self.broker.store(each for each, at_once in zip(instruction.outputs, is_event, strict=True) if at_once)
            rest = tuple(each for each, at_once in zip(instruction.outputs, is_event, strict=True) if not at_once)
            instruction = replace(instruction, outputs=rest)
        super().perform(instruction)


def sends_on_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crash or a refusal leaves uncommitted is sent twice."""
    monkeypatch.setattr(Simulation, "connection", SendsOnOutside)


def goes_back_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last stage gets the events of another partition than its own, all of them and in order."""
    seal = Sealer.seal

    def planted(sealer: Sealer, travellers: Travellers, keys: Ints, has_key: Bools) -> tuple[OutputBatch, ...]:
        sealed = seal(sealer, travellers, keys, has_key)
        return tuple(
            replace(each, partition=each.partition ^ 1 if each.partition in (0, 1) else each.partition)
            for each in sealed
        )

    monkeypatch.setattr(Sealer, "seal", planted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "sign"),
    [
        (counts_twice, "events were neither predicted nor rejected"),
        (releases_too_early, "is behind event|lacks the schema"),
        (leaves_out_what_waits, "came twice|neither predicted nor|is not that of its journal"),
        (sends_on_outside, "came twice|there that no journal gives|did not come to rest"),
        (goes_back_elsewhere, "were neither predicted"),
    ],
)
def test_a_bug_planted_in_the_stages_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dozen seeds are enough to see it; the sign says which of the checks did."""
    plant(monkeypatch)
    monkeypatch.setattr(schedule, "_STEPS_TO_REST", 700)  # tasks that fail for ever never rest

    with pytest.raises(SimulationFailed, match=sign):
        for seed in range(1, 13):
            check(staged_simulation(seed).run())
