"""Several stages in one process: their loops take turns, and are one to whoever supervises the worker."""

from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from stream.errors import RetriableError, TaskCorrupted
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.metrics_server import MetricsServer
from stream.runtime.running import run_loops
from stream.runtime.stage_views import StagesHealth, StagesRegistry
from tests.runtime.test_metrics import cycle, get


class Loop:
    """Ends behind so many turns, or once it is asked to stop and has turned twice more."""

    def __init__(self, turns: int, error: Exception | None = None, broken: bool = False, refusal: str = "") -> None:
        self._refusal = refusal
        self._left = turns
        self._error = error
        self._is_broken = broken
        self.is_asked = self.is_closed = False
        self.turns = 0

    @property
    def is_over(self) -> bool:
        """Whether it has stopped."""
        return self._left == 0

    @property
    def error(self) -> Exception | None:
        """Why."""
        return self._error if self.is_over else None

    def start(self) -> None:
        """Or not."""
        if self._refusal:
            raise RetriableError(self._refusal)

    def request_stop(self) -> None:
        """Two turns more."""
        assert not self.is_asked
        self.is_asked = True
        self._left = 2

    def turn(self) -> None:
        """Once round."""
        assert not self.is_over
        if self._is_broken:
            raise RuntimeError("a bug")
        self.turns += 1
        self.logs_as = structlog.contextvars.get_contextvars()
        self._left -= 1

    def close(self) -> None:
        """Noted."""
        self.is_closed = True


def run(*loops: Any) -> None:
    """Let them take turns."""
    run_loops(dict(zip(("entry", "by-shop", "last"), loops, strict=False)))


def test_where_one_stage_stops_the_others_are_asked_to() -> None:
    """Once, and they end their work; all are closed."""
    first, second, third = loops = Loop(1000), Loop(5), Loop(1000)
    run(*loops)
    assert [loop.is_asked for loop in loops] == [True, False, True]
    assert (first.turns, second.turns, third.turns) == (7, 5, 7)
    assert all(loop.is_closed for loop in loops)


def test_why_a_stage_stopped_is_the_worker_s_error() -> None:
    """Behind the stop of the others."""
    loops = Loop(1000), Loop(3, TaskCorrupted("all tasks have failed"))
    with pytest.raises(TaskCorrupted, match=r"^stage by-shop: all tasks have failed$"):
        run(*loops)
    assert (loops[0].turns, loops[0].is_closed, loops[1].is_closed) == (5, True, True)


def test_log_lines_say_of_which_stage_they_are() -> None:
    """Where there are several, and behind them no more."""
    entry, shop, alone = Loop(1), Loop(2), Loop(1)
    run(entry, shop)
    run_loops({"": alone})  # type: ignore[dict-item]
    assert [loop.logs_as for loop in (entry, shop, alone)] == [{"stage": "entry"}, {"stage": "by-shop"}, {}]
    assert structlog.contextvars.get_contextvars() == {}


def test_an_error_of_an_app_with_one_stage_names_none() -> None:
    """Nobody has heard of stages there."""
    with pytest.raises(TaskCorrupted, match=r"^all tasks have failed$"):
        run_loops({"": Loop(1, TaskCorrupted("all tasks have failed"))})  # type: ignore[dict-item]


def test_a_bug_in_one_stage_closes_all() -> None:
    """No client is left behind, and its text stays as it is."""
    loops = Loop(1000), Loop(1000, broken=True)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        run(*loops)
    assert all(loop.is_closed for loop in loops)


def test_where_a_stage_does_not_start_those_before_it_are_closed() -> None:
    """Those that have joined their groups leave them, instead of holding their partitions for a session."""
    loops = Loop(1000), Loop(1000), Loop(1000, refusal="no broker answers")
    with pytest.raises(RetriableError, match=r"^stage last: no broker answers$"):
        run(*loops)
    assert [(loop.turns, loop.is_closed) for loop in loops] == [(0, True), (0, True), (0, False)]


def test_a_worker_is_as_good_as_the_worst_of_its_stages() -> None:
    """Ready once all are, said in a word where all do the same; dead once one loop hangs."""
    now = [0.0]
    entry, last = WorkerHealth(10, lambda: now[0]), WorkerHealth(10, lambda: now[0])
    health = StagesHealth({"entry": entry, "": last})
    assert (health.sentence(), health.is_ready, health.is_alive) == ("starting", False, True)

    entry.running()
    last.restoring(0, 0.62, 4)
    assert (health.sentence(), health.is_ready) == ("entry: running; last: restoring 62 %, 4 s left", False)
    entry.restoring(0, 0.62, 4)
    assert health.sentence() == "entry: restoring 62 %, 4 s left; last: restoring 62 %, 4 s left"
    entry.restored(0)
    last.restored(0)
    last.running()
    assert (health.sentence(), health.is_ready) == ("running", True)
    last.failed(3, "a reason")
    assert health.sentence() == "entry: running; last: running; last: partition 3 failed: a reason"
    assert (health.is_ready, health.is_alive) == (False, True)

    entry.turned()
    now[0] = 5.0
    last.turned()
    assert health.stall_sentence() == "the poll loop turns again"
    now[0] = 11.0
    assert (health.is_alive, health.stall_sentence()) == (False, "the poll loop has not turned for 11 s")


def test_metrics_of_several_stages_are_told_apart_by_a_label() -> None:
    """One family of each name, as Prometheus wants it; the server shows health and metrics of all."""
    entry, last = WorkerMetrics("app", [], []), WorkerMetrics("app", ["champion"], [])
    entry.record_cycle(0, cycle(events=7))
    last.record_cycle(0, cycle(events=5))
    last.record_commit(0.01)
    registry = StagesRegistry({"entry": entry.registry, "": last.registry})
    server = MetricsServer("127.0.0.1", 0, registry, StagesHealth({"entry": WorkerHealth(), "": WorkerHealth()}))
    try:
        _, text = get(server.port, "/metrics")
        assert get(server.port, "/readyz") == (503, "starting\n")
    finally:
        server.close()

    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    events = next(family for family in families if family.name == "stream_events")
    assert {(each.labels["stage"], each.labels["partition"], each.value) for each in events.samples} >= {
        ("entry", "0", 7.0),
        ("last", "0", 5.0),
    }
    assert all("stage" in each.labels for family in families for each in family.samples)
