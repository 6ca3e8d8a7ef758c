"""Events that a task goes on with, and how they come to it: from upstream services, or from another stage."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stream.engine.admission import admit
from stream.engine.alerts import AlertWriter
from stream.engine.encoded import EncodedRecord
from stream.engine.envelope import Opener
from stream.engine.order import first_of
from stream.engine.plan import Plan
from stream.engine.record_partitions import sampled_elsewhere
from stream.engine.source import Source
from stream.engine.state import LearnedState
from stream.records import Bools, ColumnBatch, Floats, Ints, RecordBatch, Rejection


@dataclass(frozen=True, slots=True)
class Rejected:
    """Records of a batch that go to the dead-letter topic."""

    batch: RecordBatch
    rejections: Sequence[Rejection]

    def since(self, begin_ms: int) -> "Rejected":
        """Those with this timestamp or a later one."""
        times = self.batch.timestamps_ms
        return Rejected(self.batch, [each for each in self.rejections if times[each.row] >= begin_ms])


@dataclass(frozen=True, slots=True)
class Accepted:
    """Events in their order, and what came of the records that they were among."""

    batch: RecordBatch  # of the event topic
    columns: ColumnBatch
    times_ms: Ints  # (n,): event times
    rejected: tuple[Rejected, ...]
    alerts: list[tuple[int, EncodedRecord]]  # with the offsets that raised them
    taken: int  # records of the fetched batch, from its first
    needs: int | None  # the writer's schema id that the record behind them wants


class FromUpstream:
    """Decodes and admits the records of the event topic, and watches how many are no good.

    Args:
        plan: how they are read.
        source: their decoder.
        alerts: writes of shares above their limits.
    """

    def __init__(self, plan: Plan, source: Source, alerts: AlertWriter) -> None:
        self._plan = plan
        self._source = source
        self._alerts = alerts
        self.partitions = 0  # of the event topic in the cycle at hand; 0 where not known

    def take(self, batch: RecordBatch, state: LearnedState, now_ms: int) -> Accepted:
        """The events of the records up to the first whose writer's schema is unknown."""
        decoded = self._source.decode(batch)
        taken = batch.part(0, decoded.end)
        admitted = admit(self._plan.events, taken, decoded.columns)
        columns = admitted.columns
        rejections = sorted((*decoded.rejections, *admitted.rejections), key=lambda rejection: rejection.row)
        alerts = self._share_alerts(taken, state, rejections, columns.rows[admitted.has_other_key], now_ms)
        rejected = (Rejected(taken, rejections),) if rejections else ()
        return Accepted(taken, columns, admitted.times_ms, rejected, alerts, decoded.end, decoded.needs)

    def _share_alerts(
        self, batch: RecordBatch, state: LearnedState, rejections: Sequence[Rejection], other_keys: Ints, now_ms: int
    ) -> list[tuple[int, EncodedRecord]]:
        """Alerts that too many records were rejected, carry another key than their field, or lie where their key does
        not belong, with their offsets."""
        is_rejected, has_other_key = np.zeros((2, len(batch)), np.bool_)
        is_rejected[[rejection.row for rejection in rejections]] = True
        has_other_key[other_keys] = True
        rejected = state.rejections.observe(is_rejected)
        mismatched = state.key_mismatches.observe(has_other_key)
        looked_at, is_elsewhere = self._sampled_elsewhere(batch)
        misplaced = state.other_partitions.observe(is_elsewhere)
        misplaced = [at._replace(row=int(looked_at[at.row])) for at in misplaced]
        return [
            *((int(batch.offsets[at.row]), self._alerts.rejections(batch, at, now_ms)) for at in rejected),
            *((int(batch.offsets[at.row]), self._alerts.key_mismatches(batch, at, now_ms)) for at in mismatched),
            *((int(batch.offsets[at.row]), self._alerts.other_partitions(batch, at, now_ms)) for at in misplaced),
        ]

    def _sampled_elsewhere(self, batch: RecordBatch) -> tuple[Ints, Bools]:
        """See `sampled_elsewhere`; without a key field nothing depends on where a record lies."""
        return sampled_elsewhere(batch, self.partitions if self._plan.events.key else 0)


class FromStage:
    """Opens the records of a repartition topic, and puts the events back into the order of the event topic.

    What could be wrong with them the first stage has said; a schema that is refused here alone has its dead letter.

    Args:
        plan: of the last stage.
        source: the events' decoder.
        partition: of the task.
    """

    def __init__(self, plan: Plan, source: Source, partition: int) -> None:
        assert plan.arrives is not None
        self._plan = plan
        self._source = source
        self._partition = partition
        self._opener = Opener(plan.events.topic, plan.arrives)
        self.partitions = 0

    def take(self, batch: RecordBatch, state: LearnedState, now_ms: int) -> Accepted:
        """The events that may go on, up to the record that would release one whose writer's schema is unknown."""
        assert state.stage.order is not None
        opened = self._opener.open(batch)
        arrived, taken, needs = opened.travellers, len(batch), None
        order = state.stage.order
        released = order.released_with(arrived)
        decoded = self._source.decode(released.travellers.batch)
        if decoded.needs is not None:
            blocked = int(released.travellers.sequences[decoded.end])
            place = int(np.flatnonzero(arrived.sequences <= blocked)[-1])
            taken, needs = int(opened.rows[place]), decoded.needs
            released = order.released_with(first_of(arrived, place))
            decoded = self._source.decode(released.travellers.batch)
        order.keep(released)
        ready = replace(released.travellers.batch, partition=self._partition)
        admitted = admit(self._plan.events, ready, decoded.columns)
        columns = with_carried(admitted.columns, self._plan, released.travellers.features)
        refused = Rejected(ready, [*decoded.rejections, *admitted.rejections])
        strange = Rejected(batch, [each for each in opened.rejections if each.row < taken])
        rejected = tuple(each for each in (refused, strange) if each.rejections)
        return Accepted(ready, columns, admitted.times_ms, rejected, [], taken, needs)


def with_carried(columns: ColumnBatch, plan: Plan, features: Floats) -> ColumnBatch:
    """The events with the features that they bring along as further columns.

    Args:
        columns: n events, of some of the records.
        plan: whose `events.carried` says where they belong.
        features: (records, f) NaN is missing.
    """
    if not plan.events.carried:
        return columns
    values = np.ascontiguousarray(features[columns.rows])
    return ColumnBatch(
        (*columns.columns, *plan.events.carried),
        columns.rows,
        np.concatenate([columns.cells, values.view(np.int64)], axis=1),
        np.concatenate([columns.present, ~np.isnan(values)], axis=1),
        columns.data,
        columns.items,
    )
