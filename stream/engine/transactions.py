"""A worker's transactions: the one that outputs go into, and the one that is being committed (rules 7 to 12)."""

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


@dataclass(frozen=True, slots=True)
class ClosedCycle:
    """What one task's cycle asks for, what it did, and the snapshot to publish once it is committed."""

    effects: Effects
    metrics: CycleMetrics
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class _Sent:
    """Predictions that left outside the transaction, kept until the cycle that they belong to is committed."""

    partition: int
    epoch: int
    outputs: tuple[OutputBatch, ...]


@dataclass(slots=True)
class _InFlight:
    transaction: int
    cycles: list[ClosedCycle]
    sent: list[_Sent]
    refusals: int = 0


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
        self._open.sent.append(_Sent(partition, epoch, outputs))
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
        """The one in flight is committed: its cycles, once."""
        assert self._in_flight is not None
        cycles, self._in_flight = self._in_flight.cycles, None
        return cycles

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
        in_flight.cycles = [each for each in in_flight.cycles if self._owns(each.effects.partition, each.effects.epoch)]
        if not in_flight.cycles:
            self._in_flight = None
            return self.produce_held()
        in_flight.transaction, self._open.number = self._open.number, self._open.number + 1
        effects = [cycle.effects for cycle in in_flight.cycles]
        outputs = tuple(batch for item in effects for batch in (*item.outputs, item.journal_output))
        return [*self._sent_again(in_flight, reason), Produce(in_flight.transaction, outputs), _commit(in_flight)]

    def drop_lost(self, kept: list[OutputBatch]) -> list[Instruction]:
        """Tasks were lost: of the open transaction only `kept` remains, the outputs of open cycles still owned."""
        if self._in_flight is not None:
            # The commit in flight is refused by the broker, or was done before the loss: its answer says which.
            self._open.held = kept
            return []
        if not self._open.has_begun:
            return []
        aborted = Abort(self._open.number)
        sent = [item for item in self._open.sent if self._owns(item.partition, item.epoch)]
        self._open = _Open(self._open.number + 1, held=kept, sent=sent)
        return [aborted, *self.produce_held()]

    def _sent_again(self, in_flight: _InFlight, reason: str) -> list[Instruction]:
        """What left outside the transaction, in case that it is this which did not arrive: under the same ids.

        That may be what the next cycle has sent meanwhile. Stale membership, which is ordinary and comes without a
        reason, says nothing about them.
        """
        sent = [item.outputs for item in (*in_flight.sent, *self._open.sent) if self._owns(item.partition, item.epoch)]
        return [Send(outputs) for outputs in sent] if reason else []


def _commit(in_flight: _InFlight) -> Commit:
    offsets = {}
    for cycle in in_flight.cycles:
        record = cycle.effects.journal
        metadata = metadata_of(record.cycle, record.digest)
        for source, next_offset in cycle.effects.next_offsets.items():
            offsets[source] = OffsetAndMetadata(next_offset, metadata)
    return Commit(in_flight.transaction, offsets)
