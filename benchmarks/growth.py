"""Stores that grow: how long the longest call takes until each has its millions.

Run: python -m benchmarks.growth. Each store gets new keys, ids or events, so many a call as a slice of work may have. A
call's length is the thread's own processor time: what takes long there takes long by the clock, however busy a machine
is. The median stands beside it, since most calls find room.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson

from stream import kernels
from stream.engine.labels import LabelStore
from stream.engine.spilled_rows import SPILLED_ID_BYTES, SpilledRows
from stream.features.keyed_rows import KeyedRows
from stream.kernels import kernel
from stream.kernels.hashing import mix64
from stream.kernels.table import TableArrays, find_or_insert
from stream.records import FeatureBatch, FeatureLayout, Ints

_HORIZON_MS = 10**12
_CALL = 20_000  # rows or keys
_SEGMENT = 300  # ids


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, default=4.0, help="of rows, keys or ids")
    count = int(parser.parse_args().millions * 1_000_000)
    kernels.use_cache(Path("build/kernels").absolute())
    stores: dict[str, Callable[[int], Iterator[None]]] = {
        "keyed rows of 30 fields": _keyed_rows,
        "rows of 20 features that wait for labels": _waiting_rows,
        "ids of rows outside of memory": _spilled_ids,
    }
    results = {}
    for name, fill in stores.items():
        for _ in fill(_CALL):  # compiles
            pass
        results[name] = _times_ms(fill(count))
        print(f"{name:42}  longest {max(results[name]):7.1f} ms, median {np.median(results[name]):6.2f} ms", flush=True)
    last_line = {
        "scenario": f"stores that grow to {count:,} rows",
        "unit": "longest call in ms of processor time",
        "results": {name: round(max(each), 1) for name, each in results.items()},
        "medians": {name: round(float(np.median(each)), 2) for name, each in results.items()},
    }
    print(orjson.dumps(last_line).decode(), flush=True)


def _times_ms(calls: Iterator[None]) -> list[float]:
    times, at = [], time.thread_time()
    for _ in calls:
        times.append((time.thread_time() - at) * 1000)
        at = time.thread_time()
    return times


def _keyed_rows(count: int) -> Iterator[None]:
    rows = KeyedRows(30, 8 << 30, None)
    for first in range(0, count, _CALL):
        rows.reserve(_CALL)
        _see(rows.table.live, rows.kernel_arrays()[1], first, first + _CALL)
        yield


@kernel
def _see(table: TableArrays, rows: Ints, first: int, end: int) -> None:
    for key in range(first, end):
        row, _ = find_or_insert(table, mix64(np.uint64(key)), 0)
        for field in range(rows.shape[1]):
            rows[row, field] = key


def _waiting_rows(count: int) -> Iterator[None]:
    layout = FeatureLayout(tuple(f"x{number}" for number in range(20)), ())
    store = LabelStore(layout, 0, 1, _HORIZON_MS, 8 << 30)
    features, nothing = np.ones((_CALL, 20)), np.zeros(0, np.int64)
    batch = FeatureBatch(features, np.zeros(_CALL + 1, np.int64), nothing, np.zeros(0))
    for first in range(0, count, _CALL):
        ids = np.arange(first, first + _CALL)
        _, registered = store.register(ids, np.ones(_CALL, np.bool_), ids)
        store.keep(registered, batch, np.zeros((_CALL, 0), np.int64), np.ones((_CALL, 1)), ids, ids)
        yield


def _spilled_ids(count: int) -> Iterator[None]:
    spilled = SpilledRows(_HORIZON_MS, int(8 * count * SPILLED_ID_BYTES))
    for first in range(0, count, _CALL):
        for name in range(first, first + _CALL, _SEGMENT):
            spilled.add(name, np.arange(name, name + _SEGMENT), 0, 0)
        yield


if __name__ == "__main__":
    main()
