"""A process whose poll loop hangs ends by itself (rule 15)."""

import subprocess
import sys
import threading

from stream.runtime.health import WorkerHealth
from stream.runtime.watchdog import STALLED_STATUS, Watchdog
from tests.conftest import ROOT

HANGS = """
import time
import stream.runtime.running as running
from stream.runtime.settings import Settings
from stream.runtime.watchdog import Watchdog
from tests.engine.build import plan_with_labels

class Loop:
    def __init__(self, plan, settings, output_format, health, metrics, stages):
        self.health = health
    def start(self):
        self.health.turned()
    def request_stop(self):
        pass
    is_over, error = False, None
    def close(self):
        pass
    def turn(self):
        where_it_hangs()

def where_it_hangs():
    time.sleep(60)

running.prepare = lambda *_: [None]
running.WorkerLoop = Loop
running.Watchdog = lambda health: Watchdog(health, check_every_s=0.02)
running.run_worker([plan_with_labels()], Settings(max_poll_interval_ms=100, metrics_port=-1), print)
"""


class Ended(Watchdog):
    """Looks fast, and notes what it would have done."""

    def __init__(self, health: WorkerHealth) -> None:
        self.status = 0
        self.looked = threading.Event()
        super().__init__(health, check_every_s=0.001, end=self._note)

    def _note(self, status: int) -> None:
        self.status = status
        self.looked.set()


def test_rule_15_a_process_whose_loop_hangs_ends_and_says_where_it_hung() -> None:
    """A real one, by the composition root: status, log and the stack of the thread that hangs."""
    ended = subprocess.run([sys.executable, "-c", HANGS], cwd=ROOT, capture_output=True, text=True, timeout=240)

    assert ended.returncode == STALLED_STATUS == 70, ended.stderr
    said = ended.stdout + ended.stderr
    assert "the poll loop has not turned for" in said
    assert "where_it_hangs" in ended.stderr


def test_a_process_that_was_paused_is_not_ended_when_it_wakes() -> None:
    """Its clock says that it hung for long; the loop turns before the fifth look."""
    now_s, looks = [0.0], []

    class Health(WorkerHealth):
        """Wakes after four looks."""

        @property
        def is_alive(self) -> bool:
            """Counts the looks."""
            looks.append(1)
            if len(looks) in (4, 8, 12):
                self.turned()
            elif len(looks) in (5, 9):
                now_s[0] += 1000.0
            elif len(looks) > 12:
                watchdog.looked.set()
            return super().is_alive

    health = Health(300.0, clock=lambda: now_s[0])
    watchdog = Ended(health)
    health.turned()
    now_s[0] = 1000.0
    with watchdog:
        assert watchdog.looked.wait(30)
    assert watchdog.status == 0


def test_a_loop_that_hangs_for_longer_is_ended_and_one_that_never_began_is_not() -> None:
    """Before its first turn it looks for brokers and compiles, for as long as that takes."""
    now_s = [0.0]
    health = WorkerHealth(300.0, clock=lambda: now_s[0])
    watchdog = Ended(health)
    now_s[0] = 10_000.0
    with watchdog:
        assert not watchdog.looked.wait(0.1)
        health.turned()
        assert not watchdog.looked.wait(0.1)
        now_s[0] += 300.0
        assert watchdog.looked.wait(30)
    assert watchdog.status == STALLED_STATUS
