"""A simulated worker process: one worker for each stage of its app, which take turns as in a real one."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.engine.lifecycle import TaskState
from stream.engine.protocol import Event, Instruction, StopRequested
from stream.engine.slot import Slot
from stream.engine.worker import Worker
from stream.testing.connection import Connection

# So little that a snapshot is copied in several pieces, between which records are handled.
COPIED_BYTES = 100_000


@dataclass(slots=True)
class StageWorker:
    """The worker of one stage, with its clients."""

    worker: Worker
    connection: Connection
    is_asked_to_stop: bool = False

    @property
    def slots(self) -> Sequence[Slot]:
        """Its tasks."""
        return self.worker.slots

    @property
    def is_over(self) -> bool:
        """True once it has stopped."""
        return self.connection.stopped is not None

    @property
    def error(self) -> Exception | None:
        """Why it stopped; None for a stop that was asked for."""
        return self.connection.stopped.error if self.connection.stopped else None

    @property
    def is_fenced(self) -> bool:
        """True if another process has taken its transactional id over."""
        return self.connection.broker.is_fenced(self.connection.transactional_id, self.connection)

    @property
    def has_failed(self) -> bool:
        """True if one of its tasks has."""
        return any(slot.state is TaskState.FAILED for slot in self.slots)

    def tell(self, event: Event, now_ms: int) -> None:
        """Give an event to the worker."""
        self._perform(self.worker.on(event, now_ms))

    def turn(self, draw: random.Random, now_ms: int) -> None:
        """What a worker's loop does once, and some steps of its threads."""
        connection = self.connection
        for _ in range(draw.randint(0, 8)):
            if (event := connection.advance()) is not None:
                self.tell(event, now_ms)
        if not connection.is_revoking:
            for event in connection.poll(40):
                self.tell(event, now_ms)
        if not connection.is_revoking:
            self._perform(self.worker.work(now_ms, draw.randint(1, 40)))
            self.worker.copy_ahead(COPIED_BYTES)

    def _perform(self, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            self.connection.perform(instruction)


@dataclass(slots=True)
class Process:
    """A worker process: alive, paused until a moment, or gone; whatever befalls it befalls all its stages."""

    slot: int
    stages: tuple[StageWorker, ...]
    paused_until_ms: int = 0
    is_stopping: bool = field(default=False, init=False)

    @property
    def is_over(self) -> bool:
        """True once all stages have stopped: only then does it end, and leave its groups."""
        return all(each.is_over for each in self.stages)

    @property
    def is_revoking(self) -> bool:
        """True inside a revocation of one stage, in which the others neither poll nor work."""
        return any(each.connection.is_revoking and not each.is_over for each in self.stages)

    @property
    def is_busy(self) -> bool:
        """True while something asked for is not done."""
        return any(each.connection.is_busy or each.worker.is_committing for each in self.stages)

    @property
    def has_failed(self) -> bool:
        """True if a task has."""
        return any(each.has_failed for each in self.stages)

    def turn(self, draw: random.Random, now_ms: int) -> None:
        """Let each stage have its turn; where one has stopped, the others are asked to."""
        for each in self.stages:
            each.connection.heartbeat()
            if each.is_over or (self.is_revoking and not each.connection.is_revoking):
                continue
            each.turn(draw, now_ms)
        self.is_stopping |= any(each.is_over for each in self.stages)
        if self.is_stopping:
            self.request_stop(now_ms)

    def request_stop(self, now_ms: int) -> None:
        """SIGTERM: each stage hears of it between two turns of its loop."""
        self.is_stopping = True
        for each in self.stages:
            if not (each.is_asked_to_stop or each.is_over or self.is_revoking):
                each.is_asked_to_stop = True
                each.tell(StopRequested(), now_ms)

    def leave(self) -> None:
        """Leave all groups."""
        for each in self.stages:
            each.connection.close()
