"""Snapshots of a large state: how long they hold the task up, what they write, and how long it takes to load one.

Run: python -m benchmarks.snapshots (`make bench-snapshots`). The engine's worker runs as under Kafka, in slices of
50 ms, at full speed, over keys drawn at random, and snapshots go to a folder by a thread beside it. A turn is what lies
between two looks at callbacks. Beside its length by the clock stands what is left of it without the time in which its
thread was ready to run and no core was free, and its processor time. "copied at once" is the same state copied in one
go, which is what a turn would hold without pages.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from benchmarks.many_keys import EVENT_TOPIC, SCHEMA, events_of, plan_of_many_keys
from stream import kernels
from stream.config import TopicNames
from stream.engine.output_format import OutputFormat
from stream.engine.protocol import (
    Assigned,
    Commit,
    CommitOutcome,
    CommitReturned,
    Event,
    Fetched,
    FetchSchema,
    FindTask,
    Instruction,
    PublishSnapshot,
    SchemaFetched,
    SnapshotPublished,
    TaskFound,
)
from stream.engine.snapshot import Checkpoint
from stream.engine.state import load_state
from stream.engine.task import Task
from stream.engine.warm_up import warm_up
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.records import Ints, RecordBatch, TopicPartition
from stream.runtime import interpreter
from stream.runtime.copy_pace import CopyPace
from stream.storage.files import Files
from stream.storage.folder import FolderSnapshotStore

_SOURCE = TopicPartition(EVENT_TOPIC, 0)
_INTERVAL_MS = 10**9  # a snapshot begins when the loop's clock is set on by it
_SLICE_S = 0.05
_BATCH = 20_000
_BYTES_A_KEY = 248  # of the table and of its row


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of state, about")
    parser.add_argument("--seconds", type=float, default=3.0, help="that are measured without a snapshot")
    chosen = parser.parse_args()
    keys = chosen.megabytes * 1_000_000 // _BYTES_A_KEY
    kernels.use_cache(Path("build/kernels").absolute())
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(FolderSnapshotStore(folder, "many-keys"))
        filling = loop.fill(keys)
        interpreter.settle()
        state_bytes = loop.task.state.state_bytes
        print(f"{keys:,} keys, {state_bytes / 1e6:,.0f} MB of state", flush=True)
        results = {"filling it, one event a key": filling} | measure(loop, keys, chosen.seconds)
        restored = loop.restore()
        loop.close()
    print_results(results, restored)
    last_line = {
        "scenario": f"snapshots of {state_bytes / 1e9:.2f} GB of state, {keys:,} keys, in a folder",
        "unit": "longest turn in ms",
        "results": {name: round(each.longest_s * 1000, 1) for name, each in results.items()},
        "state_bytes": state_bytes,
        "but_for_cores_ms": {name: round(each.longest_own_s * 1000, 1) for name, each in results.items()},
        "processor_ms": {name: round(each.longest_cpu_s * 1000, 1) for name, each in results.items()},
        "written_bytes": {name: each.written_bytes for name, each in results.items() if each.written_bytes},
        "snapshot_s": {name: round(each.took_s, 2) for name, each in results.items() if each.written_bytes},
        "restore_s": {name: round(seconds, 2) for name, seconds in restored.items()},
    }
    print(orjson.dumps(last_line).decode(), flush=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """What turns took over some seconds, and what was written meanwhile."""

    longest_s: float
    longest_cpu_s: float  # of the polling thread's own processor time
    longest_own_s: float  # but for waiting for a core
    took_s: float
    events: int
    written_bytes: int


def measure(loop: "Loop", keys: int, seconds: float) -> dict[str, Measured]:
    """The phases in their order; each goes on from the state before it."""
    draw = np.random.default_rng(1)
    anywhere = draw.integers(0, keys, 1_000_000)
    newest = keys - 1 - draw.integers(0, keys // 100, 1_000_000)
    spread = draw.permutation(keys)[: keys // 100][draw.integers(0, keys // 100, 1_000_000)]
    results = {"without a snapshot": loop.run(anywhere, seconds)}
    results["full, keys anywhere"] = loop.run_with_snapshot(anywhere)
    for name, chosen in (("1 % of keys, the newest", newest), ("1 % of keys, anywhere", spread)):
        loop.run_with_snapshot(chosen)  # settles what the phase before it left
        loop.run(chosen, seconds)
        results[name] = loop.run_with_snapshot(chosen)
    began, began_cpu = time.perf_counter(), time.thread_time()
    copies = [array.copy() for array in loop.task.state.arrays().values()]
    at_once_s, at_once_cpu_s = time.perf_counter() - began, time.thread_time() - began_cpu
    del copies
    results["copied at once"] = Measured(at_once_s, at_once_cpu_s, at_once_s, at_once_s, 0, 0)
    return results


class Loop:
    """The worker of one task, polled as the runtime polls it, with a broker that agrees to everything at once."""

    def __init__(self, store: FolderSnapshotStore) -> None:
        self._plan = plan_of_many_keys()
        output = OutputFormat(TopicNames.of("many-keys"), b"\0\0\0\0\x01", b"\0\0\0\0\x02")
        warm_up(self._plan, output)
        settings = WorkerSettings(snapshot_interval_ms=_INTERVAL_MS)
        self._worker = Worker(lambda partition, epoch: Task(self._plan, partition, epoch, output), settings)
        self._store = store
        self._files = _CountedFiles(store)
        self._publishing = ThreadPoolExecutor(1)
        self._published: Future[SnapshotPublished] | None = None
        self.checkpoint: Checkpoint | None = None
        self._clock_ms = 0  # ahead of the time by so much
        self._offset = 0
        self._slice = 256
        self._pace = CopyPace()
        self._events: list[Event] = [Assigned((0,))]

    @property
    def task(self) -> Task:
        """The one task."""
        return self._worker.slots[0].task

    def fill(self, keys: int) -> Measured:
        """One event of each key."""
        self._turn()
        batches = (
            batch
            for first in range(0, keys, 1_000_000)
            for batch in self._batches(np.arange(first, min(first + 1_000_000, keys)))
        )
        end = self._offset + keys
        return self._run(batches, lambda _: self._offset == end and not self._worker.has_work(self._now_ms()))

    def run(self, keys: Ints, seconds: float) -> Measured:
        """Events of these keys for some seconds."""
        return self._run(self._again_and_again(keys), lambda passed_s: passed_s > seconds)

    def run_with_snapshot(self, keys: Ints) -> Measured:
        """Events of these keys until a snapshot, begun now, is published."""
        before = self.checkpoint
        self._clock_ms += _INTERVAL_MS
        return self._run(
            self._again_and_again(keys), lambda _: self.checkpoint is not before and self._published is None
        )

    def restore(self) -> dict[str, float]:
        """Seconds that the last snapshot takes to be read, and to become a state."""
        assert self.checkpoint is not None
        wanted = [(self.checkpoint.cycle, self.checkpoint.digest)]
        began = time.perf_counter()
        found = self._store.load(0, wanted).checkpoint
        read_s = time.perf_counter() - began
        assert found is not None
        loaded = load_state(self._plan, found)
        assert loaded.state.features.metrics.keys == self.task.state.features.metrics.keys
        return {"read and checked": read_s, "loaded": time.perf_counter() - began - read_s}

    def close(self) -> None:
        """Wait for the thread."""
        self._publishing.shutdown()

    def _run(self, batches: Iterator[RecordBatch], is_over: Callable[[float], bool]) -> Measured:
        began, first = time.perf_counter(), self._offset
        longest_s, longest_cpu_s, longest_own_s, written = 0.0, 0.0, 0.0, self._files.written_bytes
        while not is_over(time.perf_counter() - began):
            if not self._worker.has_work(self._now_ms()):
                self._events.append(self._fetched(next(batches)))
            at, at_cpu, waited_s = time.perf_counter(), time.thread_time(), _waited_s()
            self._turn()
            took_s = time.perf_counter() - at
            longest_s = max(longest_s, took_s)
            longest_cpu_s = max(longest_cpu_s, time.thread_time() - at_cpu)
            longest_own_s = max(longest_own_s, took_s - (_waited_s() - waited_s))
        took_s, written = time.perf_counter() - began, self._files.written_bytes - written
        return Measured(longest_s, longest_cpu_s, longest_own_s, took_s, self._offset - first, written)

    def _turn(self) -> bool:
        """What the runtime does between two looks at callbacks; whether records were handled."""
        events, self._events = self._events, []
        if self._published is not None and self._published.done():
            events.append(self._published.result())
            self._published = None
        for event in events:
            self._perform(self._worker.on(event, self._now_ms()))
        began = time.perf_counter()
        self._perform(self._worker.work(self._now_ms(), self._slice))
        took_s = time.perf_counter() - began
        self._pace.turn(self._worker.copy_ahead)
        handled = self._worker.take_handled()
        if handled is not None and (len(handled) == self._slice or took_s > _SLICE_S):
            fitting = len(handled) * _SLICE_S / took_s
            self._slice = int(max(1, min(65_536, 2 * self._slice, fitting)))
        return handled is not None or bool(self._events)

    def _perform(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case FindTask(partition):
                    start = {_SOURCE: 0}
                    self._events.append(TaskFound(partition, {}, (), (), (), start, start))
                case FetchSchema(schema_id):
                    self._events.append(SchemaFetched(schema_id, SCHEMA))
                case Commit(transaction):
                    self._events.append(CommitReturned(transaction, CommitOutcome.COMMITTED))
                case PublishSnapshot(checkpoint):
                    self.checkpoint = checkpoint
                    self._published = self._publishing.submit(self._publish, checkpoint)

    def _publish(self, checkpoint: Checkpoint) -> SnapshotPublished:
        self._store.publish(checkpoint)
        return SnapshotPublished(checkpoint.partition, checkpoint.cycle)

    def _batches(self, keys: Ints) -> Iterator[RecordBatch]:
        for first in range(0, len(keys), _BATCH):
            yield events_of(keys[first : first + _BATCH])

    def _again_and_again(self, keys: Ints) -> Iterator[RecordBatch]:
        batches = list(self._batches(keys))
        while True:
            yield from batches

    def _fetched(self, batch: RecordBatch) -> Event:
        first, self._offset = self._offset, self._offset + len(batch)
        return Fetched(replace(batch, offsets=np.arange(first, self._offset)))

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._clock_ms


def _waited_s() -> float:
    """How long this thread was ready to run and had no core."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


class _CountedFiles:
    """Counts the bytes that a store writes."""

    def __init__(self, store: FolderSnapshotStore) -> None:
        self.written_bytes = 0
        files: Files = store._files
        write = files.write

        def counted(name: str, content: bytes | memoryview, aside: str) -> None:
            self.written_bytes += len(content)
            write(name, content, aside)

        files.write = counted  # type: ignore[method-assign]


def print_results(results: dict[str, Measured], restored: dict[str, float]) -> None:
    """For people."""
    print(f"\n{'longest turn':28}  {'clock':>9}  {'but for cores':>13}  {'processor':>9}", end="")
    print(f"  {'it took':>8}  {'written':>10}  {'events/s':>10}")
    for name, each in results.items():
        longest = (each.longest_s, each.longest_own_s, each.longest_cpu_s)
        turn = "  ".join(f"{each_s * 1000:>{width},.0f} ms" for each_s, width in zip(longest, (6, 10, 6), strict=True))
        figures = f"{each.took_s:>6.2f} s  {each.written_bytes / 1e6:>7,.1f} MB"
        print(f"{name:28}  {turn}  {figures}  {each.events / each.took_s:>10,.0f}")
    for name, seconds in restored.items():
        print(f"{name:28}  {seconds:>6.2f} s")
    print()


if __name__ == "__main__":
    main()
