"""The committer with a scripted client in place of librdkafka: answers that are missing, wrong or late (rules 8-10)."""

import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.config import KafkaSettings
from stream.engine.protocol import CommitOutcome, CommitReturned, CommittedOffset, OffsetAndMetadata
from stream.errors import ConfigError
from stream.kafka import committer, transaction_producer
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.committer import Committer, held_back_s
from stream.kafka.sender import Sender
from stream.kafka.transaction_producer import TransactionProducer
from stream.records import TopicPartition
from tests.kafka.scripted import output

EVENTS, LABELS = TopicPartition("events", 0), TopicPartition("labels", 0)
WANTED = {EVENTS: OffsetAndMetadata(70, "7:digest"), LABELS: OffsetAndMetadata(30, "7:digest")}
SETTINGS = KafkaSettings(bootstrap_servers="nowhere:9092", group_id="group", transactional_id="app-0")
WITHIN_S = 60.0

Step = Callable[[], None]


def failing(code: int, **kind: bool) -> Step:
    """A call that ends with this error."""

    def step() -> None:
        raise KafkaException(KafkaError(code, "scripted", **kind))

    return step


class Script:
    """What the clients of a test do, and what they were asked for: `steps` are taken call by call, then all is well."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.asked: list[str] = []  # before the first transaction
        self.steps: dict[str, list[Step]] = {}
        self.ids: list[str] = []
        self.committed: Mapping[TopicPartition, CommittedOffset] = {}
        self.left = 0  # records that a flush does not wait for any longer
        self.on_delivery: Callable[[KafkaError, Any], None] = lambda *_: None

    def call(self, client: int, name: str) -> None:
        self.calls.append(f"{client} {name}")
        if steps := self.steps.get(name):
            steps.pop(0)()

    def client(self, config: Mapping[str, Any], **_: Any) -> "Client":
        self.ids.append(config["transactional.id"])
        self.on_delivery = config["on_delivery"]
        return Client(self, len(self.ids))

    def read_committed(self, sources: tuple[TopicPartition, ...]) -> Mapping[TopicPartition, CommittedOffset]:
        self.calls.append("read committed")
        assert set(sources) == set(WANTED)
        return self.committed


class Client:
    """The part of confluent_kafka.Producer that a transaction needs."""

    def __init__(self, script: Script, number: int) -> None:
        self._script, self._number = script, number

    def list_topics(self, *, timeout: float) -> None:
        self._script.asked.append(f"{self._number} topics")
        for step in self._script.steps.pop("topics", []):
            step()

    def init_transactions(self, wait_s: float) -> None:
        self._script.asked.append(f"{self._number} init")
        self._script.call(self._number, "init")

    def begin_transaction(self) -> None:
        self._script.call(self._number, "begin")

    def produce(self, topic: str, *_: Any) -> None:
        self._script.call(self._number, f"produce {topic}")

    def poll(self, wait_s: float) -> int:
        if steps := self._script.steps.get("poll"):
            steps.pop(0)()
        return 0

    def flush(self, wait_s: float) -> int:
        if steps := self._script.steps.get("flush"):
            steps.pop(0)()
        return self._script.left

    def send_offsets_to_transaction(self, positions: list[Any], metadata: Any, wait_s: float) -> None:
        assert [(at.topic, at.offset, at.metadata) for at in positions] == [
            ("events", 70, "7:digest"),
            ("labels", 30, "7:digest"),
        ]
        assert metadata == "member"
        self._script.call(self._number, "offsets")

    def commit_transaction(self, wait_s: float) -> None:
        self._script.call(self._number, "commit")

    def abort_transaction(self, wait_s: float) -> None:
        self._script.call(self._number, "abort")

    def purge(self) -> None:
        self._script.call(self._number, "purge")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Scripted clients in the place of librdkafka's."""
    made = Script()
    monkeypatch.setattr(transaction_producer, "Producer", made.client)
    return made


Answers = queue.SimpleQueue[CommitReturned | Exception]


@pytest.fixture
def answers() -> Answers:
    """What the committer's thread posted."""
    return queue.SimpleQueue()


@pytest.fixture
def at_work(script: Script, answers: Answers) -> Iterator[Committer]:
    """A committer at work."""
    health = BrokerHealth()
    producer = TransactionProducer(SETTINGS, health)
    at_work = Committer(producer, Sender(SETTINGS, health), script.read_committed, answers.put)
    producer.start(1.0)
    at_work.start()
    yield at_work
    at_work.close()


@pytest.fixture
def commit(at_work: Committer, answers: Answers) -> Callable[[], CommitReturned]:
    """Produces one record and commits; waits for the answer."""

    def commit() -> CommitReturned:
        at_work.produce(7, (output("predictions", [b"x"]),))
        at_work.commit(7, WANTED, "member")
        answer = answers.get(timeout=WITHIN_S)
        assert isinstance(answer, CommitReturned)
        return answer

    return commit


def committed(metadata: str = "7:digest") -> dict[TopicPartition, CommittedOffset]:
    """Stable offsets as the transaction would leave them, with this metadata."""
    return {source: CommittedOffset(at.next_offset, metadata) for source, at in WANTED.items()}


WHOLE = ["1 init", "1 begin", "1 produce predictions", "1 offsets", "1 commit"]
REPLACED = ["1 purge", "2 init", "read committed"]
BEFORE = {EVENTS: CommittedOffset(60, "6:before"), LABELS: CommittedOffset(20, "6:before")}


def test_a_commit_is_one_request_for_offsets_and_one_for_the_end(script: Script, commit: Any) -> None:
    """Rule 8: begin, produce, offsets, commit; nothing has to be settled."""
    assert commit() == CommitReturned(7, CommitOutcome.COMMITTED)
    assert script.calls == WHOLE


def test_offsets_are_under_way_while_the_last_records_arrive(script: Script, commit: Any) -> None:
    """Neither waits for the other, and the end waits for both."""
    script.left = 1
    is_flushing = threading.Event()

    def arrived() -> None:
        script.calls.append("arrived")
        script.left = 0

    script.steps["offsets"] = [lambda: None if is_flushing.wait(WITHIN_S) else pytest.fail("nothing is flushed")]
    script.steps["flush"] = [is_flushing.set, lambda: None, arrived]

    assert commit() == CommitReturned(7, CommitOutcome.COMMITTED)
    assert script.calls == [*WHOLE[:-1], "arrived", "1 commit"]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(KafkaError.MSG_SIZE_TOO_LARGE, CommitOutcome.UNSENDABLE), (KafkaError._MSG_TIMED_OUT, CommitOutcome.REFUSED)],
)
@pytest.mark.parametrize("at", [0, 1], ids=["beside the offsets", "behind them"])
def test_a_record_that_did_not_arrive_ends_the_transaction_whatever_became_of_the_offsets(
    script: Script, commit: Any, code: int, outcome: CommitOutcome, at: int
) -> None:
    """It is told as the reason, and nothing is committed."""
    message = SimpleNamespace(topic=lambda: "predictions")
    script.steps["flush"] = [*[lambda: None] * at, lambda: script.on_delivery(KafkaError(code, "scripted"), message)]

    answer = commit()

    assert answer.outcome is outcome
    assert "predictions: scripted" in answer.message
    assert script.calls == [*WHOLE[:-1], "1 abort"]


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (committed(), CommitOutcome.COMMITTED),
        (BEFORE, CommitOutcome.REFUSED),
        ({}, CommitOutcome.REFUSED),
        ({EVENTS: committed()[EVENTS]}, CommitOutcome.REFUSED),
        (committed("7:of a zombie"), CommitOutcome.REFUSED),
        (committed() | {LABELS: CommittedOffset(31, "7:digest")}, CommitOutcome.REFUSED),
    ],
    ids=["committed", "aborted", "no offsets", "one of two", "another digest", "another offset"],
)
def test_rule_10_an_unknown_outcome_is_what_the_committed_offsets_say(
    script: Script, commit: Any, found: Mapping[TopicPartition, CommittedOffset], outcome: CommitOutcome
) -> None:
    """The commit's answer is lost: the same id is taken over by a new client first, then offset and digest tell."""
    script.steps["commit"] = [failing(KafkaError._FATAL, fatal=True)]
    script.committed = found

    assert commit() == CommitReturned(7, outcome)
    assert script.calls == WHOLE + REPLACED
    assert script.ids == ["app-0", "app-0"]


def test_the_id_is_taken_over_once_there_is_a_connection(script: Script) -> None:
    """Without one the client would look again half a second later. That there is none is told by what comes next."""
    script.steps["topics"] = [failing(KafkaError._TRANSPORT)]

    TransactionProducer(SETTINGS, BrokerHealth()).start(1.0)

    assert script.asked == ["1 topics", "1 init"]


def test_rule_10_a_call_that_never_returns_is_given_up(
    script: Script, commit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client hangs in sending offsets: its producer is over, nothing was committed, the same can be sent again."""
    monkeypatch.setattr(transaction_producer, "_OFFSETS_WITHIN_S", 0.05)
    is_over = threading.Event()
    script.steps["offsets"] = [lambda: None if is_over.wait(WITHIN_S) else pytest.fail("nobody gave up")]
    script.committed = BEFORE

    first = commit()
    given_up = list(script.calls)
    script.committed = {}
    second = commit()
    is_over.set()

    assert first == CommitReturned(7, CommitOutcome.REFUSED)
    assert given_up == WHOLE[:-1] + REPLACED
    assert second == CommitReturned(7, CommitOutcome.COMMITTED)
    assert script.calls[len(given_up) :] == ["2 begin", "2 produce predictions", "2 offsets", "2 commit"]


def test_an_answer_that_is_not_there_yet_is_asked_for_again(script: Script, commit: Any) -> None:
    """A timeout of a call says nothing: the same call goes on where it was."""
    late = failing(KafkaError._TIMED_OUT, retriable=True)
    script.steps = {"offsets": [late], "commit": [late, late]}

    assert commit() == CommitReturned(7, CommitOutcome.COMMITTED)
    assert script.calls == [*WHOLE[:3], *["1 offsets"] * 2, *["1 commit"] * 3]


def test_rule_9_a_stale_member_is_refused_without_a_reason_and_its_client_stays(script: Script, commit: Any) -> None:
    """The transaction is aborted, nothing is settled, and the same effects go into the next one."""
    script.steps["offsets"] = [failing(KafkaError.UNKNOWN_MEMBER_ID, txn_requires_abort=True)]

    refused = commit()
    assert refused == CommitReturned(7, CommitOutcome.REFUSED, "")
    assert re.match("UNKNOWN_MEMBER_ID: .*rebalanced since the transaction began", refused.note)
    assert script.calls == [*WHOLE[:-1], "1 abort"]
    assert commit() == CommitReturned(7, CommitOutcome.COMMITTED)
    assert script.ids == ["app-0"]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, CommitOutcome.UNSENDABLE),
        (KafkaError.OFFSET_METADATA_TOO_LARGE, CommitOutcome.UNSENDABLE),
        (KafkaError._MSG_TIMED_OUT, CommitOutcome.REFUSED),
        (KafkaError.TRANSACTION_ABORTABLE, CommitOutcome.REFUSED),
    ],
)
def test_rule_12_another_abortable_error_is_told_with_its_reason(
    script: Script, commit: Any, code: int, outcome: CommitOutcome
) -> None:
    """And whether it lies in what was sent, or may be over the next time."""
    script.steps["offsets"] = [failing(code, txn_requires_abort=True)]

    assert commit() == CommitReturned(7, outcome, "scripted")


def test_a_fenced_producer_says_who_may_have_fenced_it(script: Script, commit: Any) -> None:
    """Another worker of the same slot: no client replaces this one, which would fence the other in turn."""
    script.steps["commit"] = [failing(KafkaError._FENCED, fatal=True)]

    answer = commit()

    assert answer.outcome is CommitOutcome.FENCED
    assert "another worker uses the transactional id app-0" in answer.message
    assert "give it a slot that no worker has: `--slot NAME`, or the setting `slot`" in answer.message
    assert script.ids == ["app-0"]


@pytest.mark.parametrize(
    ("code", "age_s"),
    [
        (KafkaError._FENCED, 10.0),
        (KafkaError.INVALID_PRODUCER_EPOCH, 10.0),
        (KafkaError.PRODUCER_FENCED, 10.0),
        (KafkaError.INVALID_PRODUCER_ID_MAPPING, 0.0),
        (KafkaError._FATAL, 0.0),
    ],
)
def test_rule_8_a_producer_that_its_broker_ended_is_replaced_and_the_outcome_settled(
    script: Script, commit: Any, at_work: Committer, code: int, age_s: float
) -> None:
    """As brokers end transactions that are older than 10 s, the timeout: no other worker is there to give way to."""

    def over() -> None:
        at_work._producer._began_at -= age_s
        failing(code, fatal=code != KafkaError.INVALID_PRODUCER_ID_MAPPING)()

    script.steps["commit"] = [over]
    script.committed = BEFORE

    assert commit().outcome is CommitOutcome.REFUSED
    assert script.calls == WHOLE + REPLACED
    assert script.ids == ["app-0", "app-0"]


def test_settling_waits_for_a_broker(script: Script, commit: Any) -> None:
    """While nobody answers the new client, it asks again; only then the offsets are read."""
    script.steps["commit"] = [failing(KafkaError._FATAL, fatal=True)]
    script.committed = committed()
    silent = failing(KafkaError._TIMED_OUT, retriable=True)
    script.steps["init"] = [silent, silent]

    assert commit() == CommitReturned(7, CommitOutcome.COMMITTED)
    assert script.calls == [*WHOLE, "1 purge", "2 init", "2 init", "2 init", "read committed"]


def test_refusals_in_a_row_are_told_ever_later(script: Script, commit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what lasts for some seconds does not use up a worker's patience in milliseconds."""
    in_a_row: list[int] = []

    def told_at_once(refusals: int) -> float:
        in_a_row.append(refusals)
        return 0.0

    monkeypatch.setattr(committer, "held_back_s", told_at_once)
    script.steps["offsets"] = [failing(KafkaError.UNKNOWN_MEMBER_ID, txn_requires_abort=True)] * 3

    assert [commit().outcome for _ in range(4)] == [CommitOutcome.REFUSED] * 3 + [CommitOutcome.COMMITTED]
    assert in_a_row == [1, 2, 3, 0]
    assert [held_back_s(refusals) for refusals in range(10)] == [0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


def refused() -> None:
    """The right to use the transactional id was withdrawn."""
    raise KafkaException(KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "scripted"))


def broken() -> None:
    """Something that nobody thought of."""
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ({"poll": [failing(KafkaError._FATAL, fatal=True)], "init": [refused]}, ConfigError),
        ({"poll": [broken]}, ZeroDivisionError),
        ({"begin": [broken]}, ZeroDivisionError),
    ],
    ids=["idle, no new producer", "idle", "in a transaction"],
)
def test_whatever_ends_its_thread_reaches_the_polling_thread(
    script: Script, at_work: Committer, answers: Answers, steps: dict[str, list[Step]], kind: type
) -> None:
    """A worker without its committer would hold its partitions for ever and commit nothing."""
    script.steps = steps
    if "begin" in steps:
        at_work.produce(7, (output("predictions", [b"x"]),))
    assert isinstance(answers.get(timeout=WITHIN_S), kind)
