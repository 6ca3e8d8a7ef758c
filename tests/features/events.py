"""Batches of columns made from plain events, and random streams of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.features import Expression, FeaturePlan, Features, FeatureState, compile_features
from stream.records import Column, ColumnBatch, Floats, Ints, Kind

COLUMNS = (
    Column("card", Kind.STRING, 0, 0, True),
    Column("amount", Kind.DOUBLE, 2, 1, True),
    Column("time", Kind.LONG, 3, 2, False, "timestamp-millis"),
    Column("merchant", Kind.STRING, 4, 3, True),
    Column("country", Kind.ENUM, 6, 4, True, None, ("DE", "FR", "PL")),
    Column("latitude", Kind.DOUBLE, 7, 5, True),
    Column("longitude", Kind.DOUBLE, 8, 6, True),
    Column("terminal", Kind.LONG, 9, 7, True),
    Column("is_online", Kind.BOOLEAN, 10, 8, True),
    Column("text", Kind.STRING, 11, 9, True),
    Column("prices", Kind.LIST, 13, 10, True, item=Kind.DOUBLE),
    Column("tags", Kind.LIST, 15, 11, True, item=Kind.STRING),
    Column("booked", Kind.LONG, 17, 12, True, "date"),
)
CELLS = 18

Event = Mapping[str, Any]


def to_batch(events: Sequence[Event], columns: tuple[Column, ...] = COLUMNS) -> ColumnBatch:
    """Columns as the decoder would give them; a name that an event lacks is null."""
    cells = np.zeros((len(events), CELLS), dtype=np.int64)
    present = np.zeros((len(events), len(columns)), dtype=np.bool_)
    data = bytearray()
    items: dict[str, list[Any]] = {column.name: [] for column in columns if column.kind is Kind.LIST}
    for row, event in enumerate(events):
        for column in columns:
            value = event.get(column.name)
            if value is not None:
                present[row, column.index] = True
                cell = _cells(column, column.kind, value, data, items)
                cells[row, column.slot : column.slot + len(cell)] = cell
    arrays = {
        name: np.array(rows, dtype=np.int64).reshape(len(rows), -1 if rows else 2) for name, rows in items.items()
    }
    return ColumnBatch(columns, np.arange(len(events)), cells, present, _bytes(data), arrays)


def _bytes(data: bytearray) -> NDArray[np.uint8]:
    return np.frombuffer(bytes(data) or b"\0", dtype=np.uint8).copy()


def _cells(column: Column, kind: Kind, value: Any, data: bytearray, items: dict[str, list[Any]]) -> list[int]:
    if kind is Kind.LIST:
        first = len(items[column.name])
        assert column.item is not None
        for item in value:
            items[column.name].append(_cells(column, column.item, item, data, items))
        return [first, first + len(value)]
    if kind in (Kind.STRING, Kind.BYTES):
        start = len(data)
        data += value.encode() if isinstance(value, str) else value
        return [start, len(data)]
    if kind is Kind.DOUBLE:
        return [int(np.float64(value).view(np.int64))]
    return [column.symbols.index(value) if kind is Kind.ENUM else int(value)]


def plan_of(features: Mapping[str, Expression], key: tuple[str, ...] | None = ("card",), **bounds: Any) -> FeaturePlan:
    """Features of the test's columns."""
    return compile_features(features, COLUMNS, key, **bounds)


def run(state: FeatureState, events: Sequence[Event], labels: Floats | None = None) -> Features:
    """Compute a batch."""
    return state.compute(to_batch(events), times_of(events), labels)


def dense_of(features: Mapping[str, Expression], events: Sequence[Event], **bounds: Any) -> dict[str, list[float]]:
    """The dense values of each feature, event by event."""
    plan = plan_of(features, **bounds)
    dense = run(FeatureState(plan), events).batch.dense
    return {name: dense[:, place].tolist() for place, name in enumerate(plan.layout.dense)}


def sparse_of(features: Mapping[str, Expression], events: Sequence[Event]) -> list[dict[int, float]]:
    """The sparse entries of each event."""
    batch = run(FeatureState(plan_of(features)), events).batch
    rows = []
    for row in range(len(batch)):
        span = slice(batch.indptr[row], batch.indptr[row + 1])
        rows.append(dict(zip(batch.indices[span].tolist(), batch.values[span].tolist(), strict=True)))
    return rows


def times_of(events: Sequence[Event]) -> Ints:
    """Event times."""
    return np.array([event["time"] for event in events], dtype=np.int64)


def random_events(seed: int, count: int, *, keys: int = 8, latest_ms: int = 0, step_ms: int = 1000) -> list[Event]:
    """A stream with nulls, ties and, up to `latest_ms` behind, late events."""
    draw = np.random.default_rng(seed)
    now = 1_700_000_000_000
    events: list[Event] = []
    for _ in range(count):
        now += int(draw.integers(0, step_ms)) * int(draw.random() < 0.8)
        late = int(draw.integers(0, latest_ms + 1)) if latest_ms and draw.random() < 0.3 else 0
        event: dict[str, Any] = {
            "card": f"card-{draw.integers(keys)}",
            "amount": float(np.round(draw.gamma(2.0, 30.0), 2)) * float(draw.choice([1, 1, 1, -1, 1e6])),
            "time": now - late,
            "merchant": f"shop-{draw.integers(6)}",
            "country": str(draw.choice(["DE", "FR", "PL"])),
            "latitude": float(draw.uniform(-80, 80)),
            "longitude": float(draw.uniform(-180, 180)),
            "terminal": int(draw.integers(4)),
            "is_online": bool(draw.random() < 0.5),
        }
        events.append({name: value for name, value in event.items() if name == "time" or draw.random() > 0.05})
    return events
