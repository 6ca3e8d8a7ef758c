"""The poll loop of a worker, and what it is made of."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import platformdirs
import structlog

from stream import kernels
from stream.config import InputTopics
from stream.engine.lifecycle import TaskState
from stream.engine.loading import load_ahead
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import (
    Assigned,
    Commit,
    CommitOutcome,
    CommitReturned,
    Event,
    InputsWatched,
    Instruction,
    Lost,
    PublishSnapshot,
    Revoked,
    SnapshotPublished,
    StandbyFound,
    StopRequested,
    TaskFound,
)
from stream.engine.snapshot_store import SnapshotStore, StoreMemory
from stream.engine.task import Task
from stream.engine.warm_up import warm_up
from stream.engine.worker import Worker
from stream.engine.worker_settings import WorkerSettings
from stream.kafka.broker_probe import BrokerProbe
from stream.kafka.transport import Transport
from stream.runtime.copy_pace import CopyPace
from stream.runtime.gathering import rest_s
from stream.runtime.health import WorkerHealth
from stream.runtime.metrics import WorkerMetrics
from stream.runtime.settings import Settings
from stream.runtime.standby_observer import StandbyObserver
from stream.runtime.stopping import StopLimit
from stream.runtime.task_observer import TaskObserver
from stream.runtime.watch_observer import WatchObserver

_log = structlog.get_logger("stream.worker")

# A slice of work takes at most this long (rule 15); its size follows from how fast the last one was.
_SLICE_S = 0.05
_FIRST_SLICE, _LARGEST_SLICE = 256, 65_536
_IDLE_POLL_S = 0.01
# How often lag and restore progress are looked at.
_LOOK_EVERY_S = 1.0


def compile_kernels(plan: Plan, output_format: OutputFormat) -> None:
    """Compile what the cache does not have of the kernels that a worker of this app calls; needs no broker.

    Raises:
        ConfigError: predictions of the app may be larger than `max_message_bytes`.
    """
    with np.errstate(all="ignore"):
        warm_up(plan, output_format)


def use_kernel_cache(settings: Settings) -> None:
    """Keep compiled kernels in the folder of the settings, or in the user's cache folder."""
    user_cache = platformdirs.user_cache_path("stream-learn") / "kernels"
    kernels.use_cache(Path(settings.cache) if settings.cache else user_cache)


def snapshot_store(app: str, settings: Settings) -> Callable[[], SnapshotStore] | None:
    """Makes stores of a folder or object store; None where snapshots go to their topic."""
    if settings.snapshots == "kafka":
        return None
    from stream.storage.folder import FolderSnapshotStore  # fsspec takes a tenth of a second

    memory = StoreMemory()
    return lambda: FolderSnapshotStore(settings.snapshots, f"{settings.topic_prefix}{app}", memory)


def input_topics(plan: Plan, settings: Settings) -> InputTopics:
    """What the tasks of a worker read."""
    topics = settings.topics(plan.app, plan.stage)
    labels = (plan.labels.topic,) if plan.labels else ()
    horizon_ms = plan.labels.horizon_ms if plan.labels and plan.labels.spilled_bytes else 0
    return InputTopics(
        plan.input_topic,
        labels,
        topics.journal,
        topics.snapshots if settings.snapshots == "kafka" else "",
        repartition=plan.handed_on,
        begin_ms=settings.begin_ms,
        features=topics.features if horizon_ms else "",
        horizon_ms=horizon_ms,
        other_journals=tuple(settings.topics(plan.app, stage).journal for stage in plan.other_stages),
    )


class WorkerLoop:
    """Polls the transport, gives events to the worker, performs what it asks for, and tells the metrics.

    Args:
        plan: the compiled app.
        settings: of this worker.
        output_format: of what it writes.
        health: hears what it is doing.
        metrics: hears what it has done.
        stages: how many loops take turns in this process: each polls as often as one alone would.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        output_format: OutputFormat,
        health: WorkerHealth,
        metrics: WorkerMetrics,
        stages: int = 1,
    ) -> None:
        self._stages = stages
        self._event_topic, self._input_topic = plan.events.topic, plan.input_topic
        self._is_immediate = settings.delivery == "immediate"
        self._health = health
        self._metrics = metrics
        self._tasks = TaskObserver(health, metrics)
        self._inputs = WatchObserver(health, metrics)
        self._standbys = StandbyObserver(health, metrics, settings.standby_replicas)
        self._worker = Worker(
            lambda partition, epoch: Task(plan, partition, epoch, output_format),
            WorkerSettings(
                is_immediate=self._is_immediate,
                commit_interval_ms=settings.commit_interval_ms,
                snapshot_interval_ms=settings.snapshot_interval_s * 1000,
                offset_reset=settings.offset_reset,
                backfill=settings.backfill,
            ),
        )
        self._kafka = settings.kafka(plan.app, plan.stage)
        self._transport = Transport(
            self._kafka,
            input_topics(plan, settings),
            handle=self._told,
            on_wait=self._alive,
            open_store=snapshot_store(plan.name, settings),
            prepare=lambda found: load_ahead(found, plan),
        )
        # One stage that rests would hold up the others, and what leaves at once must not wait.
        self._gathers = not self._is_immediate and stages == 1
        self._slice, self._taken = _FIRST_SLICE, 0
        self._copying = CopyPace()
        self._is_stop_wanted = False
        self._stop: StopLimit | None = None
        self._looked_s = 0.0
        self._committing_since_s = 0.0
        self._handled: list[np.ndarray] = []  # timestamps of the events of the open cycle, and of the one in flight
        self._in_flight: list[np.ndarray] = []
        self._snapshots: dict[tuple[int, int], int] = {}
        self._has_joined = False
        self.keeps_up = False  # whether at the last look no more events waited at the broker than come at once

    def request_stop(self) -> None:
        """Stop after the slice at hand; may be called from a signal handler."""
        self._is_stop_wanted = True

    def start(self) -> None:
        """Take the transactional id over and join the group."""
        self._transport.start()

    @property
    def is_over(self) -> bool:
        """True once it has stopped, of itself or as it was asked to."""
        return self._transport.stopped is not None

    @property
    def error(self) -> Exception | None:
        """Why it stopped; None for a stop that was asked for."""
        return self._transport.stopped.error if self._transport.stopped else None

    def close(self) -> None:
        """Let go of the clients; the group gives its partitions to others."""
        self._health.stopping()
        self._transport.close()
        if self._stop is not None:
            self._stop.over()

    def turn(self) -> None:
        """Take what came, handle a slice of records, and look around now and then."""
        self._alive()
        if self._is_stop_wanted:
            self._is_stop_wanted = False
            self._health.stopping()
            _log.info("stopping: the last commit and snapshots follow")
            self._perform(self._told(StopRequested()))
        for event in self._transport.poll(self._wait_s()):
            self._perform(self._told(event))
        until, self._taken = time.perf_counter() + _SLICE_S / self._stages, 0
        self._work()
        while self._worker.taken and self._worker.has_work(now_ms()) and time.perf_counter() < until:
            self._work()
        self._tasks.turned(self._worker.slots)
        self._copying.turn(self._worker.copy_ahead)
        if time.monotonic() - self._looked_s > _LOOK_EVERY_S:
            self._look()

    def _wait_s(self) -> float:
        """How long to wait for what happens next, behind a rest where records may come together."""
        if self._worker.has_work(now_ms()):
            return 0.0
        if self._gathers and all(slot.state is TaskState.RUNNING for slot in self._worker.slots):
            time.sleep(rest_s(self._taken, self._left_s))
        idle_s, left_s = _IDLE_POLL_S / self._stages, self._left_s
        if left_s > 0:
            return min(idle_s, left_s)
        return 0.0 if self._taken else idle_s  # what was handled last may be due since

    @property
    def _left_s(self) -> float:
        """Until the next commit is due; not above 0 where it is already, or there was nothing to commit."""
        return self._worker.schedule.due_ms / 1000 - time.time()

    def _alive(self) -> None:
        """The loop turns, or waits inside a revocation; a stop that nobody answers ends here."""
        self._health.turned()
        if self._is_stop_wanted and self._stop is None:
            self._stop = StopLimit(BrokerProbe(self._kafka))
        if self._stop is not None:
            self._stop.check()

    def _work(self) -> None:
        began = time.perf_counter()
        instructions = self._worker.work(now_ms(), self._slice)
        took_s = time.perf_counter() - began
        handled = self._worker.take_handled()
        if handled is not None:
            self._metrics.record_batch(len(handled), took_s)
            if handled.topic == self._event_topic:
                self._scored(handled.timestamps_ms)
        taken = self._worker.taken
        self._taken += taken
        if taken and (taken == self._slice or took_s > _SLICE_S / self._stages):
            fitting = taken * _SLICE_S / self._stages / max(took_s, 1e-6)
            self._slice = int(max(1, min(_LARGEST_SLICE, 2 * self._slice, fitting)))
        self._note(instructions)
        self._perform(instructions)

    def _scored(self, timestamps_ms: np.ndarray) -> None:
        """Events whose predictions leave now, or with the commit of their cycle."""
        if self._is_immediate:
            self._metrics.record_latencies((now_ms() - timestamps_ms) / 1000.0)
        else:
            self._handled.append(timestamps_ms)

    def _told(self, event: Event) -> Sequence[Instruction]:
        self._log_event(event)
        if isinstance(event, Assigned):
            self._tasks.assigned(event.partitions)
        elif isinstance(event, TaskFound):
            self._tasks.found(event.partition)
        elif isinstance(event, SnapshotPublished) and not event.error:
            created_ms = self._snapshots.pop((event.partition, event.cycle), now_ms())
            self._metrics.record_snapshot(event.partition, created_ms)
        instructions = self._worker.on(event, now_ms())
        if isinstance(event, CommitReturned):
            self._commit_returned(event)
        elif isinstance(event, TaskFound):
            self._log_restored(event.partition)
        self._note(instructions)
        return instructions

    def _log_event(self, event: Event) -> None:
        match event:
            case Assigned(partitions) if partitions:
                _log.info("partitions gained", partitions=list(partitions))
            case Revoked(partitions) if partitions:
                _log.info("partitions asked back", partitions=list(partitions))
            case Lost(partitions) if partitions:
                _log.warning("partitions lost", partitions=list(partitions))
            case StandbyFound(found) if found.journal:
                _log.info("a followed task is found: from here on its cycles are replayed", partition=found.partition)
            case InputsWatched():
                self._inputs.told(event)
            case SnapshotPublished(partition, cycle, error) if not error:
                # Once a minute and partition, too many lines but for the last ones.
                tell = _log.debug if self._stop is None else _log.info
                tell("snapshot written", partition=partition, cycle=cycle)

    def _log_restored(self, partition: int) -> None:
        """Say what a changed app could not take over from the snapshot."""
        for slot in self._worker.slots:
            restored = slot.restored
            if slot.task.partition == partition and (restored.anew or restored.label_rows_dropped):
                _log.warning(
                    "the app changed: parts start anew",
                    partition=partition,
                    parts=", ".join(restored.anew),
                    label_rows_dropped=restored.label_rows_dropped,
                )

    def _note(self, instructions: Sequence[Instruction]) -> None:
        """Note for log and metrics what is about to be performed: here, or by the transport during a revocation."""
        self._tasks.note(instructions)
        for instruction in instructions:
            if isinstance(instruction, Commit):
                self._committing_since_s = time.perf_counter()
                self._in_flight, self._handled = self._in_flight + self._handled, []
            elif isinstance(instruction, PublishSnapshot):
                checkpoint = instruction.checkpoint
                self._snapshots[checkpoint.partition, checkpoint.cycle] = checkpoint.created_ms

    def _perform(self, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            self._transport.perform(instruction)

    def _commit_returned(self, returned: CommitReturned) -> None:
        if returned.outcome is not CommitOutcome.COMMITTED:
            self._metrics.record_abort()
            if returned.outcome is CommitOutcome.REFUSED and not returned.message:
                _log.info("commit refused; the same is sent again", reason=returned.note)
            else:
                _log.warning("commit refused", reason=returned.message)
            return
        self._metrics.record_commit(time.perf_counter() - self._committing_since_s)
        if self._in_flight:
            self._metrics.record_latencies((now_ms() - np.concatenate(self._in_flight)) / 1000.0)
        self._in_flight = []
        for partition, cycle in self._worker.take_committed():
            self._metrics.record_cycle(partition, cycle)

    def _look(self) -> None:
        """Now and then: lag, restore progress, and which partitions are here."""
        self._looked_s = time.monotonic()
        self._tasks.look(self._worker.slots, self._transport.loading())
        self._standbys.look(len(self._worker.slots), self._worker.standbys)
        self._inputs.look(self._transport.watch.report, {slot.task.partition for slot in self._worker.slots})
        lags = {source: lag for source, lag in self._transport.lags().items() if source.topic == self._input_topic}
        for source, records in lags.items():
            self._metrics.record_lag(source.partition, records)
        self.keeps_up = sum(lags.values()) <= self._kafka.poll_records
        # Looked at twice: the group's answer is known a moment before the partitions that it gave.
        had_joined, self._has_joined = self._has_joined, self._transport.has_joined
        if had_joined and self._transport.stopped is None:
            self._health.running()


def now_ms() -> int:
    """Wall-clock time in ms since 1970: the one place where a worker reads it."""
    return time.time_ns() // 1_000_000
