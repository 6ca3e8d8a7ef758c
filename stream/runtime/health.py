"""Whether a worker is alive and ready, as /healthz and /readyz say it."""

import time
from collections.abc import Callable

# Kafka's default of max.poll.interval.ms: by then the group has given the partitions of a worker that hangs to others.
STALL_LIMIT_S = 300.0


class WorkerHealth:
    """`starting`, `restoring 62 %, 4 s left`, `running` or `stopping`; and whether the poll loop still turns.

    The worker's loop calls the methods, the HTTP server's threads read the answers.

    Args:
        stall_limit_s: how long the poll loop may take to turn; `max_poll_interval_ms`, in which a revocation waits.
        clock: gives now, in seconds.
    """

    def __init__(self, stall_limit_s: float = STALL_LIMIT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_limit_s = stall_limit_s
        self._clock = clock
        self._phase = "starting"
        self._restoring: dict[int, tuple[float, float | None]] = {}
        self._failed: dict[int, str] = {}
        self._held_back: dict[int, str] = {}
        self._followed = (0, 0)
        self._last_turn: float | None = (
            None  # before the first, it looks for brokers and compiles, for as long as takes
        )

    def turned(self) -> None:
        """The poll loop went round once more."""
        self._last_turn = self._clock()

    def running(self) -> None:
        """The group has answered, with partitions or with none for this worker; one that stops stays so."""
        if self._phase != "stopping":
            self._phase = "running"

    def stopping(self) -> None:
        """The worker drains, commits and leaves."""
        self._phase = "stopping"

    def restoring(self, partition: int, share: float, seconds_left: float | None = None) -> None:
        """`share` (0 to 1) of this task's journal is replayed; the rest takes about `seconds_left`, if known."""
        self._restoring = {**self._restoring, partition: (share, seconds_left)}

    def restored(self, partition: int) -> None:
        """This task runs."""
        self._restoring = {other: state for other, state in self._restoring.items() if other != partition}

    def failed(self, partition: int, reason: str) -> None:
        """This task has stopped for good; the others of this worker go on (rule 12)."""
        self.restored(partition)
        self._failed = {**self._failed, partition: reason}

    def held_back(self, partition: int, reason: str) -> None:
        """This task takes nothing until its inputs are as a restore needs them (rule 20)."""
        self._held_back = {**self._held_back, partition: reason}

    def goes_on(self, partition: int) -> None:
        """This task is not held back any more."""
        self._held_back = {other: reason for other, reason in self._held_back.items() if other != partition}

    def following(self, tasks: int, warm: int) -> None:
        """So many tasks of other workers are followed, and so many of these are loaded (rule 25)."""
        self._followed = tasks, warm

    def gone(self, partition: int) -> None:
        """This task is another worker's now."""
        self.restored(partition)
        self.goes_on(partition)
        self._failed = {other: reason for other, reason in self._failed.items() if other != partition}

    @property
    def unready_partitions(self) -> set[int]:
        """Tasks that do not run yet, or no more."""
        return self._restoring.keys() | self._failed.keys()

    @property
    def is_alive(self) -> bool:
        """False once the poll loop has not turned for the limit: only a restart helps."""
        return self._stalled_s < self._stall_limit_s

    @property
    def is_ready(self) -> bool:
        """True if every task of this worker takes records.

        A failed one counts: a rolling update that brings it about should go no further, and nothing else depends on
        readiness, since nobody sends requests to a worker. It is alive all the same: a restart is no cure.
        """
        return self._phase == "running" and not self._restoring and not self._failed and not self._held_back

    def sentence(self) -> str:
        """What the worker is doing, in the words of /readyz."""
        return "; ".join(self.sentences())

    def sentences(self) -> list[str]:
        """What the worker is doing, then each task that does not run."""
        failed = [f"partition {partition} failed: {reason}" for partition, reason in sorted(self._failed.items())]
        held = [
            f"partition {partition} is held back: {reason}" for partition, reason in sorted(self._held_back.items())
        ]
        return [self._doing(), *failed, *held, *self._follows()]

    def _doing(self) -> str:
        restoring = self._restoring
        if self._phase == "stopping" or not restoring:
            return self._phase
        share = sum(done for done, _ in restoring.values()) / len(restoring)
        left = [seconds for _, seconds in restoring.values() if seconds is not None]
        # Whole per cent, rounded down: 100 % is said when it is so. The small addition keeps 0.29 from being 28 %.
        percent = f"restoring {int(share * 100 + 1e-9)} %"
        return f"{percent}, {max(left):.0f} s left" if left else percent

    def _follows(self) -> list[str]:
        """Before the owner of a task is stopped, somebody looks here whether it is followed."""
        tasks, warm = self._followed
        return [f"{warm} of {tasks} followed tasks warm"] if tasks and self._phase == "running" else []

    def stall_sentence(self) -> str:
        """What /healthz says when the loop hangs."""
        return f"the poll loop has not turned for {self._stalled_s:.0f} s"

    @property
    def _stalled_s(self) -> float:
        return 0.0 if self._last_turn is None else self._clock() - self._last_turn
