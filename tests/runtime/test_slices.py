"""Work comes in slices, so that callbacks are served in between (rule 15)."""

from types import SimpleNamespace

import pytest

from stream.engine.protocol import Instruction
from stream.records import RecordBatch
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.settings import Settings
from stream.runtime.worker import WorkerLoop
from tests.engine.build import FORMAT, T0, batch, plan_with_labels


class SlowWorker:
    """Takes so long for each record as it is told, by a clock of its own; there is always more to do."""

    def __init__(self, records: int) -> None:
        self.now_s = 0.0
        self.record_s = 0.0
        self.waiting = records
        self._records = batch("payments", [(None, None)] * records)
        self._handled: RecordBatch | None = None
        self.taken = 0

    def work(self, now_ms: int, records: int) -> list[Instruction]:
        """Handle a slice."""
        self._handled = self._records.part(0, min(records, self.waiting))
        self.taken = len(self._handled)
        self.now_s += len(self._handled) * self.record_s
        return []

    def take_handled(self) -> RecordBatch | None:
        """The slice handled last."""
        return self._handled


def test_rule_15_a_slice_takes_50_ms_at_most_however_slow_records_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices double up to what fits; where records become slow one of them is long, and the next is not."""
    worker = SlowWorker(records=100_000)
    clock = SimpleNamespace(perf_counter=lambda: worker.now_s, monotonic=lambda: worker.now_s, time_ns=lambda: T0)
    plan = plan_with_labels()
    loop = WorkerLoop(plan, Settings(), FORMAT, WorkerHealth(), WorkerMetrics(plan.app, ["champion"], []))
    monkeypatch.setattr("stream.runtime.worker.time", clock)
    monkeypatch.setattr(loop, "_worker", worker)

    def slices(record_s: float, count: int) -> list[int]:
        """Records of the next slices."""
        worker.record_s = record_s
        sizes = []
        for _ in range(count):
            loop._work()
            handled = worker.take_handled()
            assert handled is not None
            sizes.append(len(handled))
        return sizes

    # Parts of a second that floating-point numbers hold exactly.
    assert slices(1 / 131_072, 7) == [256, 512, 1024, 2048, 4096, 6553, 6553]
    assert slices(1 / 8_192, 3) == [6553, 409, 409]
    assert slices(1 / 8, 3) == [409, 1, 1]
    assert slices(1 / 2**30, 20)[-1] == 65_536
    worker.waiting = 1000  # less than a slice, and still too long
    assert slices(1 / 8_192, 3) == [1000, 409, 409]
