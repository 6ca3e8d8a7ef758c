"""Events and labels made up for an app: of its schemas, with the same seed the same ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from stream import avro
from stream.avro.schema import Array, EnumType, Fixed, Logical, Map, Primitive, Record, Type, Union, is_null
from stream.cli.evaluation.recorded import Recorded, Recorder
from stream.cli.producing.keys import key_bytes
from stream.engine.plan import EventPlan, LabelPlan, Plan, TargetPlan
from stream.models import Task, TaskKind
from stream.records import Kind, RecordBatch

_BEGIN_MS = 1_700_000_000_000
_STEP_MS = 20_000
_KEYS = 20
_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
_NULL_SHARE = 0.1
# A record of so many is cut short, so that there are rejections too.
_DAMAGED_EACH = 97
# Labels come so many events at a time, and for every other event.
_EVENTS_A_TURN = 50
# Values nested deeper are left empty: a record may hold itself.
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Generated:
    """What a task is given, in this order."""

    pieces: tuple[RecordBatch, ...]  # of events and of labels in turn
    events: int
    labels: int


def generate(plan: Plan, events: int, seed: int) -> Generated:
    """Events of a few keys at ascending times, some damaged, and labels for half of them where they come apart."""
    made = _events(plan, events, seed)
    if plan.labels is None:
        return Generated(tuple(_turns(made)), events, 0)
    labels = _labels(plan, plan.labels, events, seed)
    pieces: list[RecordBatch] = []
    for number, turn in enumerate(_turns(made)):
        pieces.append(turn)
        first, end = number * _EVENTS_A_TURN // 2, min((number + 1) * _EVENTS_A_TURN // 2, len(labels))
        if end > first:
            pieces.append(labels.batch(first, end))
    return Generated(tuple(pieces), events, len(labels))


def _turns(events: Recorded) -> Iterator[RecordBatch]:
    for first in range(0, len(events), _EVENTS_A_TURN):
        yield events.batch(first, min(first + _EVENTS_A_TURN, len(events)))


def _events(plan: Plan, count: int, seed: int) -> Recorded:
    read = plan.events
    recorder = Recorder(read.topic, read.schema, read.framing)
    maker = _ValueMaker(seed)
    for number in range(count):
        time_ms = _BEGIN_MS + number * _STEP_MS
        value = maker.record(read.schema, _chosen(read, plan.problem, number, time_ms, maker))
        key = key_bytes([_field(value, column.name) for column in read.key])
        body = avro.encode_one(read.schema, value)
        is_damaged = number % _DAMAGED_EACH == _DAMAGED_EACH - 1 and read.framing is not avro.Framing.JSON
        recorder.add(number, key, body[:-1] if is_damaged else body, time_ms)
    return recorder.recorded()


def _chosen(events: EventPlan, problem: Task, number: int, time_ms: int, maker: "_ValueMaker") -> dict[str, Any]:
    """The fields whose values mean something."""
    chosen: dict[str, Any] = {}
    for column in events.key:
        key = maker.draw.integers(0, _KEYS)
        chosen[column.name] = _id_of(int(key), column.kind, column.logical)
    if events.event_id is not None:
        chosen[events.event_id.name] = _id_of(number, events.event_id.kind, events.event_id.logical)
    if events.time is not None:
        chosen[events.time.name] = time_ms * (1000 if (events.time.logical or "").endswith("micros") else 1)
    if events.target is not None:
        chosen[events.target.column.name] = _target(events.target, problem, maker)
    return chosen


def _labels(plan: Plan, labels: LabelPlan, events: int, seed: int) -> Recorded:
    recorder = Recorder(labels.topic, labels.schema, labels.framing)
    maker = _ValueMaker(seed + 1)
    for number in range(0, events, 2):
        chosen = {
            labels.event_id.name: _id_of(number, labels.event_id.kind, labels.event_id.logical),
            labels.target.column.name: _target(labels.target, plan.problem, maker),
        }
        value = maker.record(labels.schema, chosen)
        time_ms = _BEGIN_MS + (number + _EVENTS_A_TURN) * _STEP_MS
        recorder.add(number, None, avro.encode_one(labels.schema, value), time_ms)
    return recorder.recorded()


def _id_of(number: int, kind: Kind, logical: str | None) -> Any:
    if kind is Kind.STRING:
        return str(UUID(int=number)) if logical == "uuid" else f"id{number}"
    return f"id{number}".encode() if kind is Kind.BYTES else number


def _target(target: TargetPlan, problem: Task, maker: "_ValueMaker") -> Any:
    if problem.kind in (TaskKind.BINARY, TaskKind.MULTICLASS):
        drawn = int(maker.draw.integers(0, max(problem.scores, 2)))
        if target.column.kind is Kind.BOOLEAN:
            return bool(drawn)
        return target.classes[drawn] if target.classes else drawn
    amount = float(maker.draw.normal())
    return amount if target.column.kind is Kind.DOUBLE else int(amount > 0)


def _field(value: Any, name: str) -> Any:
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


class _ValueMaker:
    """Draws a value of any type."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)

    def record(self, schema: avro.Schema, chosen: dict[str, Any]) -> Any:
        """A value in which the fields of these dotted names are as given."""
        return self._value(schema.type, "", chosen, 0)

    def _value(self, of: Type, name: str, chosen: dict[str, Any], depth: int) -> Any:
        if name in chosen:
            return chosen[name]
        match of:
            case Record():
                prefix = f"{name}." if name else ""
                return {
                    each.name: self._value(each.type, f"{prefix}{each.name}", chosen, depth + 1) for each in of.fields
                }
            case Union():
                return self._branch(of, name, chosen, depth)
            case Array():
                return [self._value(of.items, f"{name}[]", {}, depth + 1) for _ in range(self._items(depth))]
            case Map():
                return {
                    word: self._value(of.values, f"{name}[]", {}, depth + 1) for word in _WORDS[: self._items(depth)]
                }
            case EnumType():
                return of.symbols[int(self.draw.integers(0, len(of.symbols)))]
            case Fixed():
                return self._number(of.logical) if _is_decimal(of.logical) else self.draw.bytes(of.size)
            case Primitive():
                return self._primitive(of)

    def _branch(self, of: Union, name: str, chosen: dict[str, Any], depth: int) -> Any:
        others = [branch for branch in of.branches if not is_null(branch)]
        means_something = any(each == name or each.startswith(f"{name}.") for each in chosen)
        is_null_drawn = len(others) < len(of.branches) and self.draw.random() < _NULL_SHARE
        if not others or ((is_null_drawn or depth > _DEEPEST) and not means_something):
            return None if len(others) < len(of.branches) else self._value(others[0], name, chosen, depth + 1)
        branch = others[0] if means_something else others[int(self.draw.integers(0, len(others)))]
        return self._value(branch, name, chosen, depth + 1)

    def _items(self, depth: int) -> int:
        return 0 if depth > _DEEPEST else int(self.draw.integers(0, 4))

    def _primitive(self, of: Primitive) -> Any:
        match of.type:
            case "null":
                return None
            case "boolean":
                return bool(self.draw.random() < 0.5)
            case "int" | "long":
                return int(self.draw.integers(0, 1000))
            case "float" | "double":
                return float(np.float32(self.draw.lognormal(3, 1)))
            case "bytes":
                return self._number(of.logical) if _is_decimal(of.logical) else self.draw.bytes(6)
            case _:
                return self._text(of.logical)

    def _text(self, logical: Logical | None) -> str:
        if logical is not None and logical.name == "uuid":
            return str(UUID(bytes=self.draw.bytes(16)))
        return " ".join(self.draw.choice(_WORDS, int(self.draw.integers(1, 4))).tolist())

    def _number(self, logical: Logical | None) -> Decimal:
        assert logical is not None
        largest = min(10**logical.precision, 100_000)
        return Decimal(int(self.draw.integers(0, largest))).scaleb(-logical.scale)


def _is_decimal(logical: Logical | None) -> bool:
    return logical is not None and logical.name == "decimal"
