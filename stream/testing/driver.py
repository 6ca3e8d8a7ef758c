"""An app in memory, step by step, for its users' tests: the real engine and protocol, no Kafka, no waiting."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from stream import avro
from stream.app import App, compile_stages
from stream.app.suggest import one_of
from stream.avro.schema import Array, Map, Record, Type, Union, type_name
from stream.engine.metrics import LabelOutcome
from stream.engine.plan import EventPlan, KeyEncoding, LabelPlan
from stream.engine.small_avro import decode_small
from stream.engine.task import Task
from stream.errors import ConfigError
from stream.features.duration import duration_ms
from stream.headers import unpack
from stream.records import TopicPartition
from stream.testing.faults import NO_FAULTS
from stream.testing.feature_values import values_of
from stream.testing.partition_log import Stored, partition_of
from stream.testing.simulation import Simulation

_SCHEMA_IDS = {"events": 1, "labels": 2}
# Confluent's wire format: a zero and the schema id.
_HEADER_BYTES = 5


class Driver:
    """Sends records to an app and shows what it puts out.

        driver = Driver(app, schemas={"order": Path("order.avsc").read_text()})
        driver.send("orders", {"order_id": "o1", "customer": "c1", "amount": 12.5, "ordered_at": driver.now_ms})
        driver.advance("1h")
        driver.send("outcomes", {"order_id": "o1", "returned": True})
        driver.crash()
        assert [prediction["event_id"] for prediction in driver.predictions()] == ["o1"]

    All that was sent is handled and committed when `send` returns.

    Args:
        app: the declaration.
        schemas: text of each schema that the app names, by that name.
        partitions: of the input topics. On several, features by another key than the stream's are computed in stages of
            their own, as on a cluster; all of them run here.
        delivery: "exactly-once" or "immediate".
        start_ms: where the clock begins, in milliseconds since 1970; None: the wall clock's now. Give it a number where
            the test's times are written down: an event whose time is more than `ahead` past the clock is a dead letter.

    Raises:
        ConfigError: the declaration is wrong, as `stream check` would say, or the text of a schema is missing.
    """

    def __init__(
        self,
        app: App,
        schemas: Mapping[str, str] | None = None,
        *,
        partitions: int = 1,
        delivery: str = "exactly-once",
        start_ms: int | None = None,
    ) -> None:
        stages = compile_stages(app, schemas or {}, partitions)
        events, labels = stages[-1].events, stages[-1].labels
        self._inputs: dict[str, EventPlan | LabelPlan] = {events.topic: events}
        registry = {_SCHEMA_IDS["events"]: events.schema.text}
        if labels is not None and app.label_stream is not None:
            self._inputs[app.label_stream.topic] = labels
            registry[_SCHEMA_IDS["labels"]] = labels.schema.text
        self._sent_to: dict[Any, int] = {}  # partition of each event that was sent, by its id
        self._layout = stages[-1].features.layout
        self._computed: dict[tuple[int, int], dict[str, Any]] = {}  # by partition and offset of the event
        is_immediate = delivery == "immediate"
        self._run = Simulation(
            stages,
            registry,
            (),
            0,
            partitions=partitions,
            workers=1,
            is_immediate=is_immediate,
            faults=NO_FAULTS,
            start_ms=time.time_ns() // 1_000_000 if start_ms is None else start_ms,
            watch=self._note_features,
        ).run()

    @property
    def now_ms(self) -> int:
        """The clock, in milliseconds since 1970: it moves a little with each step, and by `advance`."""
        return self._run.now_ms

    def send(
        self, topic: str, *values: Mapping[str, Any] | bytes, partition: int | None = None, key: bytes | None = None
    ) -> None:
        """Produce records, and let the worker handle them.

        Args:
            topic: of events or labels.
            *values: by the topic's schema; bytes go as they are, as a producer that is broken would send them.
            partition: where they go; None: where their key belongs, as Kafka's Java client has it, and a label to its
                event. What has neither goes to 0.
            key: of all of them; None makes it of the key fields of an event.

        Raises:
            ConfigError: the app does not read this topic, it has no such partition, or nobody can say where this label
                belongs: on several partitions its event was not sent yet. Or a value has a field that the schema has
                not, which a producer would leave out without a word.
            InvalidValue: a value does not fit the schema.
        """
        if topic not in self._inputs:
            raise ConfigError(f"the app reads {', '.join(self._inputs)}, not {topic}")
        count = self._run.broker.partitions
        if partition is not None and not 0 <= partition < count:
            raise ConfigError(f"{topic} has partitions 0 to {count - 1}, not {partition}: see Driver(..., partitions=)")
        for value in values:
            data = value if isinstance(value, bytes) else self._encoded(topic, value)
            record_key = key if key is not None or isinstance(value, bytes) else self._key_of(topic, value)
            place = self._place(topic, value, record_key) if partition is None else partition
            self._note(topic, value, place)
            self._run.broker.append(TopicPartition(topic, place), Stored(record_key, data, None, self.now_ms))
        self._run.run()

    def advance(self, by: str) -> None:
        """Move the clock, e.g. by "1h". The app's own time is that of its events."""
        self._run.now_ms += duration_ms(by, "advance")
        self._run.run()

    def crash(self) -> None:
        """kill -9 of the worker, and the start of another: it restores what was committed."""
        self._run.crash_all()
        self._run.run()

    def predictions(self) -> list[dict[str, Any]]:
        """All committed predictions, by the fields of `schemas/prediction/v1.avsc`."""
        return self._decoded("prediction", self._run.stages[-1].format.topics.predictions)

    def features(self) -> list[dict[str, Any]]:
        """What the features were when the event of each prediction came, in the order of `predictions`.

        By name: a number, NaN where it is missing. Of a sparse feature (`one_hot`, `hash`, texts) its entries, value by
        index among those of the feature.
        """
        return [self._computed[each["partition"], each["offset"]] for each in self.predictions()]

    def labels(self) -> dict[str, int]:
        """What became of all labels (`joined`, `early`, `duplicate`, `late`, `unknown`, `invalid`), and how many events
        were `learned` from.

        The words are those of `stream_labels_total` (docs/reference/prometheus.md). A label that came before its event
        is `early`, and `learned` with it. Where events carry their label there are `learned` and `invalid` alone.
        """
        counts: Counter[str] = Counter()
        for done in self._run.committed:
            counts.update({outcome.value: count for outcome, count in done.labels.items()})
            counts["learned"] += max(done.learned.values(), default=0)
        return {name: counts[name] for name in ("learned", *(outcome.value for outcome in LabelOutcome))}

    def alerts(self) -> list[dict[str, Any]]:
        """All committed alerts, by the fields of `schemas/alert/v1.avsc`."""
        return self._decoded("alert", self._run.stages[-1].format.topics.alerts)

    def dead_letters(self) -> list[dict[str, str]]:
        """Headers of all dead letters: `stream.error`, `stream.field` and others."""
        source = TopicPartition(self._run.stages[-1].format.topics.dead_letters, 0)
        return [
            {name: (value or b"").decode(errors="replace") for name, value in unpack(record.headers or b"")}
            for _, record in self._run.broker.logs[source].committed()
        ]

    def state_digest(self, partition: int | None = None) -> str:
        """Digest of all that a partition's tasks, or those of all partitions, have learned, of each stage.

        Equal digests are equal bits.
        """
        numbers = range(self._run.broker.partitions) if partition is None else (partition,)
        by_stage = [self._run.tasks_of(stage.name) for stage in self._run.stages]
        digests = [tasks[number].state.digest() for tasks in by_stage for number in numbers]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def _decoded(self, subject: str, topic: str) -> list[dict[str, Any]]:
        return [decode_small(subject, value[_HEADER_BYTES:]) for value in self._run.broker.values(topic) if value]

    def _note_features(self, task: Task) -> None:
        if (seen := task.observed) is not None:
            values = values_of(self._layout, seen.features)
            self._computed.update(
                {(task.partition, offset): each for offset, each in zip(seen.offsets.tolist(), values, strict=True)}
            )

    def _encoded(self, topic: str, value: Mapping[str, Any]) -> bytes:
        read = self._inputs[topic]
        _check_fields(read.schema.type, value, topic)
        if read.framing is avro.Framing.JSON:
            return avro.json_text(read.schema, avro.encode_one(read.schema, value))
        schema_id = _SCHEMA_IDS["events" if isinstance(read, EventPlan) else "labels"]
        if read.framing is avro.Framing.SINGLE_OBJECT:
            schema_id = read.schema.fingerprint
        return avro.header(read.framing, schema_id) + avro.encode_one(read.schema, value)

    def _place(self, topic: str, value: Mapping[str, Any] | bytes, key: bytes | None) -> int:
        """The partition of a record for which none was given."""
        event_id, read = self._id_of(topic, value), self._inputs[topic]
        if not isinstance(read, LabelPlan) or isinstance(value, bytes):
            return self._by_key(key)
        if event_id in self._sent_to:
            return self._sent_to[event_id]
        if key is None and self._run.broker.partitions > 1 and not read.is_handed_on:
            raise ConfigError(
                f"{topic}: no event {event_id!r} was sent yet, and a label lies where its event does: send that first, "
                "or say send(..., partition=NUMBER) or send(..., key=BYTES), the key of its event"
            )
        return self._by_key(key)

    def _by_key(self, key: bytes | None) -> int:
        return 0 if key is None else partition_of(key, self._run.broker.partitions)

    def _note(self, topic: str, value: Mapping[str, Any] | bytes, partition: int) -> None:
        event_id = self._id_of(topic, value)
        if isinstance(self._inputs[topic], EventPlan) and event_id is not None:
            self._sent_to[event_id] = partition

    def _id_of(self, topic: str, value: Mapping[str, Any] | bytes) -> Any:
        column = self._inputs[topic].event_id
        return None if column is None else _at(value, column.name)

    def _key_of(self, topic: str, value: Mapping[str, Any]) -> bytes | None:
        read = self._inputs[topic]
        if not isinstance(read, EventPlan) or not read.key:
            return None
        if read.key_encoding is not KeyEncoding.UTF8:
            raise ConfigError(f"keys of {topic} are {read.key_encoding.value}: give send(..., key=BYTES)")
        parts = [_at(value, column.name) for column in read.key]
        return None if None in parts else "|".join(map(str, parts)).encode()


def _check_fields(of: Type, value: Any, where: str) -> None:
    """Refuse fields that a record does not have, wherever it is: in records, lists, maps and unions."""
    match of, value:
        case Record(), Mapping():
            types = {field.name: field.type for field in of.fields}
            for name, each in value.items():
                _check_fields(types[one_of(name, types, where, "field")], each, f"{where}, {name}")
        case Array(), list() | tuple():
            for place, each in enumerate(value):
                _check_fields(of.items, each, f"{where}[{place}]")
        case Map(), Mapping():
            for name, each in value.items():
                _check_fields(of.values, each, f"{where}, {name}")
        case Union(), _:
            _check_union(of, value, where)


def _check_union(of: Union, value: Any, where: str) -> None:
    """Refuse fields that none of the types has of which the value may be."""
    refused: list[ConfigError] = []
    for branch, inner in _candidates(of, value):
        try:
            _check_fields(branch, inner, where)
            return
        except ConfigError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def _candidates(of: Union, value: Any) -> Iterator[tuple[Type, Any]]:
    """The types that a record, list or map may be of: the one that JSON's wrapper names, or any of that kind."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, inner),) = value.items()
        for branch in of.branches:
            full_name = type_name(branch)
            if name in (full_name, full_name.rpartition(".")[2]):
                yield branch, inner
    kinds = Record | Map if isinstance(value, Mapping) else Array
    yield from ((branch, value) for branch in of.branches if isinstance(branch, kinds))


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
