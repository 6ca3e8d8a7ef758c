"""A file's load with a scripted topic: what interrupts it, what it meets, and what the workers behind it are told."""

import re
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from stream import App, col, models
from stream.app.compile import compile_app
from stream.avro import decode_one
from stream.cli.backfill import loading, rows
from stream.cli.backfill.loading import with_file_loaded
from stream.engine.effects import OutputBatch
from stream.engine.journal import Backfill, JournalRecord
from stream.engine.plan import Plan
from stream.errors import ConfigError, RetriableError
from stream.kafka.admin import GroupState, TopicState
from stream.kafka.file_load import LoadProgress
from stream.kafka.transaction_producer import Fenced, ProducerOver, Refused
from stream.runtime.settings import Settings, load_settings

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "card", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "known", "type": ["null", "boolean"], "default": None},
    ],
}
FIRST_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
ROWS, CHUNK = 7, 2
LAST_MS = FIRST_MS + ROWS - 1

Step = Callable[["Topic"], None]


@dataclass
class Topic:
    """The event topic, what its groups and the journal say, and what a load does to it.

    `steps` are taken call by call in the place of a send: before the chunk is committed, or in its place.
    """

    plan: Plan
    found: LoadProgress | None = None
    cards: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    cycle: JournalRecord | None = None
    journal: str = "bank.journal"
    has_records: bool = False
    has_labels: bool = True
    members: int = 0
    config: dict[str, str] = field(default_factory=dict)
    taken_over: int = 0
    looked: int = 0
    on_look: Callable[[int], None] = lambda _: None
    group_id: str = "bank.backfill"

    def progress(self) -> LoadProgress | None:
        """As FileLoad."""
        self.looked += 1
        self.on_look(self.looked)
        return self.found

    def first_cycle(self, journal: str) -> JournalRecord | None:
        """As FileLoad."""
        return self.cycle if journal == self.journal else None

    def take_over(self) -> None:
        """As FileLoad."""
        self.taken_over += 1

    def send(self, records: OutputBatch, progress: LoadProgress) -> None:
        """As FileLoad."""
        if self.steps:
            self.steps.pop(0)(self)
        self.commit(records, progress)

    def commit(self, records: OutputBatch, progress: LoadProgress) -> None:
        """The records are in the topic, and how far the file is."""
        data = records.data.tobytes()
        for start, end in records.values.tolist():
            value: Any = decode_one(self.plan.events.schema, data[start + 10 : end])
            self.cards.append(value["card"])
        self.found = progress

    def let_go(self) -> None:
        """As FileLoad."""

    def close(self) -> None:
        """As FileLoad."""

    # As Admin.
    def group(self, group_id: str) -> GroupState:
        """The workers' group."""
        assert group_id in ("bank", "bank.entry")
        return GroupState("STABLE", {f"worker {number}": () for number in range(self.members)})

    def describe(self, names: list[str]) -> dict[str, TopicState | None]:
        """The event topic."""
        return {name: TopicState(name, 1, 1, self.config) for name in names}


def declared(has_labels: bool = False) -> Plan:
    """An app without a registry."""
    app = App("bank")
    events = app.events("payments", schema=SCHEMA, key="card", time="at", id="card", framing="single-object")
    events.features(known=col("known"))
    if has_labels:
        app.labels("frauds", of=events, schema=SCHEMA, target="known")
        app.model("model", models.LogisticRegression())
    else:
        app.model("model", models.HalfSpaceTrees(seed=1))
    return compile_app(app, {})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven payments of cards c0 to c6, a millisecond apart."""
    monkeypatch.chdir(tmp_path)
    lines = [f"c{number},2025-01-01T00:00:00.00{number}Z" for number in range(ROWS)]
    (tmp_path / "payments.csv").write_text("\n".join(["card,at", *lines, ""]))
    return tmp_path / "payments.csv"


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    """A scripted topic in the place of Kafka's, and chunks of two rows."""
    made = Topic(declared())
    monkeypatch.setattr(loading, "FileLoad", lambda settings, topic: made)
    monkeypatch.setattr(loading, "Admin", lambda settings: made)
    holds = {"payments": lambda: made.has_records, "frauds": lambda: made.has_labels}
    monkeypatch.setattr(loading, "holds_records", lambda settings, topic: holds[topic]())
    monkeypatch.setattr(loading, "check_cluster", lambda plan, inputs, settings: None)
    monkeypatch.setattr(loading, "_AGAIN_AFTER_S", 0.0)
    monkeypatch.setattr(loading, "_LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(rows, "CHUNK_ROWS", CHUNK)
    yield made
    assert made.steps == []


def load(topic: Topic, file: Path, emit_from: str = "", said: list[str] | None = None) -> Settings:
    """What `stream run --from FILE` does before its worker, of an app in two stages."""
    settings = load_settings(begin_from=str(file), emit_from=emit_from).values
    return with_file_loaded(
        (replace(topic.plan, stage="entry"), topic.plan), settings, (said if said is not None else []).append
    )


def cards(first: int = 0, end: int = ROWS) -> list[str]:
    """Of rows `first` to `end` - 1."""
    return [f"c{number}" for number in range(first, end)]


def digest_of(file: Path) -> str:
    """What a load says of its file."""
    return sha256(file.read_bytes()).hexdigest()[:32]


def raising(error: Exception) -> Step:
    """A send that ends so, and whose chunk is not in the topic."""

    def step(_: Topic) -> None:
        raise error

    return step


def test_a_file_is_sent_and_the_workers_tell_what_comes_behind_its_last_row(topic: Topic, file: Path) -> None:
    """Without --emit-from nothing of the file is told."""
    settings = load(topic, file)
    assert topic.cards == cards()
    assert topic.found == LoadProgress(digest_of(file), ROWS, LAST_MS, is_whole=True)
    assert settings.backfill == Backfill(None, LAST_MS + 1)


def test_a_time_from_which_on_to_tell_may_lie_in_the_file(topic: Topic, file: Path) -> None:
    """--emit-from is taken as it is."""
    assert load(topic, file, "2025-01-01T00:00:00.003Z").backfill == Backfill(None, FIRST_MS + 3)


def test_a_second_start_sends_nothing_and_begins_as_the_first(topic: Topic, file: Path) -> None:
    """Whatever else came meanwhile: a journal, live records, workers."""
    first = load(topic, file)
    topic.has_records, topic.members = True, 2
    topic.cycle = JournalRecord(9, "", "plan", 1, (), (), backfill=first.backfill)

    assert load(topic, file).backfill == first.backfill
    assert topic.cards == cards()
    assert topic.taken_over == 1


def test_a_load_goes_on_behind_the_rows_that_are_sent(topic: Topic, file: Path) -> None:
    """As after kill -9; live records cannot be told from its own here, and are looked for when it takes over."""
    topic.found, topic.has_records = LoadProgress(digest_of(file), 4, LAST_MS + 50), True
    settings = load(topic, file)
    assert topic.cards == cards(4)
    assert settings.backfill == Backfill(None, LAST_MS + 51), "the largest time, not that of the last row"


@pytest.mark.parametrize("error", [Refused("away"), ProducerOver("away"), RetriableError("away")])
def test_an_interrupted_chunk_is_sent_again(topic: Topic, file: Path, error: Exception) -> None:
    """By a producer that takes the id over once more."""
    topic.steps = [lambda _: None, raising(error)]
    load(topic, file)
    assert topic.cards == cards()
    assert topic.taken_over == 2


def test_a_chunk_whose_commit_was_not_answered_is_not_sent_again(
    topic: Topic, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed says so."""
    with monkeypatch.context() as patch:

        def send_and_die(records: OutputBatch, progress: LoadProgress) -> None:
            patch.undo()
            topic.commit(records, progress)
            raise ProducerOver("no answer")

        patch.setattr(topic, "send", send_and_die)
        load(topic, file)
    assert topic.cards == cards()
    assert topic.taken_over == 2


def test_what_a_topic_does_not_take_ends_the_load_with_the_reason(topic: Topic, file: Path) -> None:
    """At once: sending it again does not help."""
    topic.steps = [lambda _: None, raising(Refused("a record is too large", is_final=True))]
    with pytest.raises(ConfigError, match="the load stopped behind row 2: a record is too large"):
        load(topic, file)
    assert topic.cards == cards(0, 2)


def test_brokers_that_stay_away_end_the_load_which_may_be_started_again(topic: Topic, file: Path) -> None:
    """After several attempts without a row; each row that comes through makes it patient again."""
    away = raising(RetriableError("no answer"))
    patience = loading._ATTEMPTS
    topic.steps = [*[away] * patience, lambda _: None, *[away] * (patience + 1)]
    with pytest.raises(RetriableError, match=r"behind row 2: no answer\. The same command goes on there"):
        load(topic, file)
    assert topic.steps == []
    load(topic, file)
    assert topic.cards == cards()


def test_a_process_that_is_fenced_waits_until_the_other_has_loaded_the_file(topic: Topic, file: Path) -> None:
    """It takes nothing over, and begins as the other does."""
    whole = LoadProgress(digest_of(file), ROWS, LAST_MS, is_whole=True)

    def fence(topic: Topic) -> None:
        seen = topic.looked

        def look(number: int) -> None:
            if number >= seen + 5:
                topic.found = whole

        topic.on_look = look
        raise Fenced("another")

    topic.steps = [fence]
    said: list[str] = []
    assert load(topic, file, said=said).backfill == Backfill(None, LAST_MS + 1)
    assert (topic.cards, topic.taken_over) == ([], 1)
    assert said[-1].endswith("waiting for it")


def test_a_process_that_is_fenced_takes_over_when_the_other_stands_still(
    topic: Topic, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other may be dead."""
    monkeypatch.setattr(loading, "_OTHER_IS_OVER_S", 0.0)
    topic.steps = [lambda _: None, raising(Fenced("another"))]
    load(topic, file)
    assert topic.cards == cards()
    assert topic.taken_over == 2


def test_rows_that_another_process_sent_meanwhile_are_passed_over(
    topic: Topic, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the progress and the id's being taken over."""

    def take_over() -> None:
        topic.taken_over += 1
        if topic.taken_over == 1:
            topic.found = LoadProgress(digest_of(file), 4, FIRST_MS + 3)

    monkeypatch.setattr(topic, "take_over", take_over)
    load(topic, file)
    assert topic.cards == cards(4)


def test_another_file_is_refused_with_what_to_do(topic: Topic, file: Path) -> None:
    """Changed, or another one: in the midst of a load and behind one."""
    load(topic, file)
    file.write_text(file.read_text().replace("c6", "c7"))
    with pytest.raises(ConfigError, match=r"another one was loaded into payments \(group bank.*stream produce"):
        load(topic, file)
    topic.found = LoadProgress("another", 3, FIRST_MS)
    with pytest.raises(ConfigError, match="loaded up to row 3"):
        load(topic, file)
    assert topic.cards == cards()


def test_a_topic_with_records_is_refused(topic: Topic, file: Path) -> None:
    """The past would come behind the present."""
    topic.has_records = True
    with pytest.raises(ConfigError, match=r"payments has records already.*--from beginning --emit-from TIME"):
        load(topic, file)
    assert topic.taken_over == 0


def test_records_of_a_process_that_began_at_the_same_moment_are_none_of_others(topic: Topic, file: Path) -> None:
    """Its first chunk comes between the look at the progress and that at the topic."""

    def look(number: int) -> None:
        if number == 2:
            topic.found = LoadProgress(digest_of(file), 4, FIRST_MS + 3)

    topic.on_look, topic.has_records = look, True
    load(topic, file)
    assert topic.cards == cards(4)


def test_tasks_that_have_begun_otherwise_are_refused(topic: Topic, file: Path) -> None:
    """Live, from a time on, or from the beginning and telling everything; of any stage."""
    for backfill in (None, Backfill(FIRST_MS, LAST_MS), Backfill(None, 0)):
        topic.journal = "bank.entry.journal" if backfill is None else "bank.journal"
        topic.cycle = JournalRecord(1, "", "plan", 1, (), (), backfill=backfill)
        with pytest.raises(ConfigError, match="the tasks of bank have begun, and not with a file"):
            load(topic, file)
    assert topic.taken_over == 0


def test_tasks_go_on_whose_file_the_group_has_forgotten(
    topic: Topic, file: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    """A week after the load; the journal says from when on to tell."""
    topic.cycle, topic.has_records = JournalRecord(1, "", "plan", 1, (), (), backfill=Backfill(None, 77)), True
    assert load(topic, file).backfill == Backfill(None, 77)
    assert topic.taken_over == 0
    assert ["is forgotten" in line["event"] for line in logged] == [True]


def test_workers_that_are_at_work_are_refused(topic: Topic, file: Path) -> None:
    """They would predict the file's rows as if they were new."""
    topic.members = 2
    with pytest.raises(ConfigError, match=re.escape("2 workers of bank are at work (group bank)")):
        load(topic, file)
    assert topic.taken_over == 0


def test_times_that_the_topic_would_not_keep_end_the_load_before_they_are_sent(topic: Topic, file: Path) -> None:
    """A week is the brokers' default."""
    topic.config = {"retention.ms": "604800000"}
    with pytest.raises(ConfigError, match=r"Set retention\.ms=-1"):
        load(topic, file)
    assert topic.cards == []


def test_a_file_of_which_no_row_fits_binds_nobody(topic: Topic, file: Path) -> None:
    """The text says so, and the corrected file is another one."""
    text = file.read_text()
    file.write_text(text.replace("2025-01-01T", "yesterday "))
    with pytest.raises(ConfigError, match="no row of it fits the schema of payments; nothing was sent"):
        load(topic, file)
    file.write_text(text)
    load(topic, file)
    assert topic.cards == cards()


def test_rows_that_do_not_fit_are_left_out_and_told(
    topic: Topic, file: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    """Once each, also where their chunk was sent again."""
    file.write_text(file.read_text().replace("2025-01-01T00:00:00.003Z", "yesterday"))
    topic.steps = [lambda _: None, raising(Refused("away"))]
    load(topic, file)
    assert topic.cards == [*cards(0, 3), *cards(4)]
    (told,) = [line for line in logged if "do not fit" in line["event"]]
    assert told["rows"] == 1
    assert "at: expected" in told["kinds"][0]


def test_an_empty_label_topic_is_told_of(topic: Topic, file: Path, logged: list[MutableMapping[str, Any]]) -> None:
    """Labels that are known should be there before; the load goes on."""
    topic.plan, topic.has_labels = declared(has_labels=True), False
    load(topic, file)
    (told,) = [line for line in logged if "label topic is empty" in line["event"]]
    assert "stream produce FILE --topic frauds" in told["how"]
    assert topic.cards == cards()
