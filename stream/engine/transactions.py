"""A worker's transactions: the one that outputs go into, and the one that is being committed (rules 7 to 12)."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stream.engine.effects import Effects, OutputBatch
from stream.engine.metrics import CycleMetrics
from stream.engine.protocol import Abort, Commit, Instruction, OffsetAndMetadata, Produce, Send
from stream.engine.restore import metadata_of
from stream.engine.snapshot import Checkpoint
from stream.errors import RetriableError

# Refusals in a row after which the worker gives up: one is ordinary while others join or leave (7 in 8 joins), this
# many means that something else is wrong. (Whoever performs commits tells repeated ones ever later: a minute in all.)
_REFUSALS_AT_MOST = 20
# Stale membership is cured by the next try, of which each has the group's newest word about the worker.
_REFUSALS_OF_A_MEMBER = 2


@dataclass(frozen=True, slots=True)
class ClosedCycle:
    """What one task's cycle asks for, what it did, and the snapshot to publish once it is committed."""

    effects: Effects
    metrics: CycleMetrics
    checkpoint: Checkpoint | None

    @property
    def task(self) -> tuple[int, int]:
        """Partition and epoch of the task."""
        return self.effects.partition, self.effects.epoch


@dataclass(frozen=True, slots=True)
class _Sent:
    """Predictions that left outside the transaction, kept until the cycle that they belong to is committed."""

    task: tuple[int, int]  # partition and epoch
    outputs: tuple[OutputBatch, ...]


@dataclass(slots=True)
class _InFlight:
    transaction: int
    cycles: list[ClosedCycle]
    sent: list[_Sent]
    refusals: int = 0
    stale: int = 0  # of those, the last ones that came without a reason
    apart: deque[ClosedCycle] | None = None  # cycles that wait for a transaction of their own; None: all go in one
    heard: set[tuple[int, int]] = field(default_factory=set)  # partition and epoch of the tasks that those are of


@dataclass(slots=True)
class _Open:
    """The transaction that outputs go into now, or will once the one in flight is committed."""

    number: int = 1
    has_begun: bool = False
    held: list[OutputBatch] = field(default_factory=list)
    sent: list[_Sent] = field(default_factory=list)


class Transactions:
    """One is open at a time; while it is being committed the outputs of the next are held back.

    Args:
        owns: whether the worker still has the task of this partition and epoch.
    """

    def __init__(self, owns: Callable[[int, int], bool]) -> None:
        self._owns = owns
        self._open = _Open()
        self._in_flight: _InFlight | None = None

    @property
    def is_committing(self) -> bool:
        """True while the outcome of a commit is awaited."""
        return self._in_flight is not None

    @property
    def is_apart(self) -> bool:
        """True while tasks are sent one by one, to find the one whose effects are refused: nothing may join them."""
        return self._in_flight is not None and self._in_flight.apart is not None

    @property
    def last_begun(self) -> int:
        """Number of the newest transaction that holds outputs: those of a task assigned now may not enter it."""
        return self._open.number if self._open.has_begun else self._open.number - 1

    @property
    def last_over(self) -> int:
        """Number of the newest transaction whose outcome is known."""
        return self._open.number - 1 if self._in_flight is None else self._in_flight.transaction - 1

    @property
    def held_bytes(self) -> int:
        """Bytes of outputs that wait for the commit before them."""
        return sum(batch.data.nbytes for batch in self._open.held) if self._in_flight is not None else 0

    def produce(self, outputs: Sequence[OutputBatch]) -> list[Instruction]:
        """Put outputs into the open transaction, or hold them back."""
        self._open.held += outputs
        return self.produce_held()

    def send(self, partition: int, epoch: int, outputs: tuple[OutputBatch, ...]) -> list[Instruction]:
        """Send outputs of a task at once, and keep them until its cycle is committed."""
        if not outputs:
            return []
        self._open.sent.append(_Sent((partition, epoch), outputs))
        return [Send(outputs)]

    def produce_held(self) -> list[Instruction]:
        """Hand held outputs to the open transaction, unless the one before is still being committed."""
        if self._in_flight is not None or not self._open.held:
            return []
        produce = Produce(self._open.number, tuple(self._open.held))
        self._open.held, self._open.has_begun = [], True
        return [produce]

    def commit(self, cycles: list[ClosedCycle]) -> list[Instruction]:
        """End the open transaction with the journal records and offsets of these cycles; a new one is open."""
        instructions = self.produce_held()
        self._in_flight = _InFlight(self._open.number, cycles, self._open.sent)
        journal = tuple(cycle.effects.journal_output for cycle in cycles)
        instructions += [Produce(self._open.number, journal), _commit(self._in_flight)]
        self._open = _Open(self._open.number + 1)
        return instructions

    def is_awaited(self, transaction: int) -> bool:
        """Whether an answer about this transaction is news."""
        return self._in_flight is not None and self._in_flight.transaction == transaction

    def committed(self) -> list[ClosedCycle]:
        """The cycles of the one in flight, which is committed; `go_on` has to follow."""
        assert self._in_flight is not None
        cycles, self._in_flight.cycles = self._in_flight.cycles, []
        return cycles

    def go_on(self) -> list[Instruction]:
        """What is done with the cycles in flight: those that wait for a transaction of their own, else what is held."""
        in_flight = self._in_flight
        assert in_flight is not None
        while in_flight.apart and not in_flight.cycles:
            in_flight.cycles = self._owned([in_flight.apart.popleft()])
        if in_flight.cycles:
            in_flight.refusals = 0
            return self._again(in_flight, self._sent_before(in_flight))
        self._in_flight = None
        # Tasks that had nothing to commit were not among them, and what they sent may be what did not arrive.
        unheard = [item for item in self._open.sent if item.task not in in_flight.heard]
        return [*(self._sends(unheard) if in_flight.apart is not None else []), *self.produce_held()]

    def is_stale(self, reason: str) -> bool:
        """Rule 16: whether this is one more refusal in a row without a reason than a member meets.

        Whom the group has expelled is refused for as long as it holds what was asked back of it.
        """
        assert self._in_flight is not None
        return not reason and self._in_flight.stale >= _REFUSALS_OF_A_MEMBER

    def send_again(self, reason: str) -> list[Instruction]:
        """Rule 9: the same effects, of the tasks still owned, in a new transaction; nothing if none is owned.

        Raises:
            RetriableError: that was in vain too often.
        """
        in_flight = self._in_flight
        assert in_flight is not None
        if in_flight.refusals >= _REFUSALS_AT_MOST:
            raise RetriableError(f"{in_flight.refusals} commits in a row were refused, the last with: {reason}")
        in_flight.refusals += 1
        in_flight.stale = 0 if reason else in_flight.stale + 1
        in_flight.cycles = self._owned(in_flight.cycles)
        # Stale membership, which is ordinary and comes without a reason, says nothing about what left at once.
        sent = self._sent_before(in_flight) if reason else []
        return self._again(in_flight, sent) if in_flight.cycles else [*sent, *self.go_on()]

    def send_apart(self) -> list[Instruction]:
        """Rule 12: something in these effects was refused for good; each task's are sent again by themselves."""
        in_flight = self._in_flight
        assert in_flight is not None
        in_flight.apart, in_flight.cycles = deque(in_flight.cycles), []
        in_flight.heard = {cycle.task for cycle in in_flight.apart}
        return self.go_on()

    def give_up(self) -> Effects | None:
        """The effects that were refused for good a second time, by themselves: they are dropped, `go_on` has to follow.

        None where it was the first time, or where other tasks' were with them: then `send_apart` has to follow.
        """
        in_flight = self._in_flight
        assert in_flight is not None
        if in_flight.apart is None:
            return None
        (cycle,) = in_flight.cycles
        in_flight.cycles = []
        return cycle.effects

    def drop_lost(self, kept: list[OutputBatch]) -> list[Instruction]:
        """Tasks were lost: of the open transaction only `kept` remains, the outputs of open cycles still owned."""
        if self._in_flight is not None:
            # The commit in flight is refused by the broker, or was done before the loss: its answer says which.
            self._open.held = kept
            return []
        if not self._open.has_begun:
            return []
        aborted = Abort(self._open.number)
        sent = [item for item in self._open.sent if self._owns(*item.task)]
        self._open = _Open(self._open.number + 1, held=kept, sent=sent)
        return [aborted, *self.produce_held()]

    def _owned(self, cycles: Sequence[ClosedCycle]) -> list[ClosedCycle]:
        return [cycle for cycle in cycles if self._owns(*cycle.task)]

    def _again(self, in_flight: _InFlight, sent: list[Instruction]) -> list[Instruction]:
        in_flight.transaction, self._open.number = self._open.number, self._open.number + 1
        effects = [cycle.effects for cycle in in_flight.cycles]
        outputs = tuple(batch for item in effects for batch in (*item.outputs, item.journal_output))
        return [*sent, Produce(in_flight.transaction, outputs), _commit(in_flight)]

    def _sent_before(self, in_flight: _InFlight) -> list[Instruction]:
        """What left outside the transaction, in case that it is this which did not arrive: under the same ids.

        That may be what the next cycle has sent meanwhile.
        """
        sent = [*in_flight.sent, *self._open.sent]
        if in_flight.apart is not None:
            tasks = {cycle.task for cycle in in_flight.cycles}
            sent = [item for item in sent if item.task in tasks]
        return self._sends(sent)

    def _sends(self, sent: Sequence[_Sent]) -> list[Instruction]:
        return [Send(item.outputs) for item in sent if self._owns(*item.task)]


def _commit(in_flight: _InFlight) -> Commit:
    offsets = {}
    for cycle in in_flight.cycles:
        record = cycle.effects.journal
        metadata = metadata_of(record.cycle, record.digest)
        for source, next_offset in cycle.effects.next_offsets.items():
            offsets[source] = OffsetAndMetadata(next_offset, metadata)
    return Commit(in_flight.transaction, offsets)
