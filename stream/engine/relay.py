"""What a task of a stage before the last does: it computes features by its key, and sends events on (rule 34)."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stream.engine.admission import event_times
from stream.engine.effects import OutputBatch, Outputs
from stream.engine.envelope import Opener, Sealer, Travellers
from stream.engine.forwarding import Forwarding
from stream.engine.learned_labels import LabelReader, LearnedLabels
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.features import key_hashes
from stream.records import Bools, ColumnBatch, Floats, Ints, RecordBatch

# Odd, so that no key is lost (Knuth, MMIX's multiplier): combines the hashes of a composite key's columns.
_MULTIPLIER = np.uint64(6364136223846793005)


class Relay(Forwarding):
    """The first stage, which takes events in from upstream services, or one between the first and the last.

    An event that a later stage cannot decode, whose schema a registry refused there alone, goes on without features:
    the last stage writes its dead letter, and no sequence has a gap.

    Where features count labels by this stage's key, the last stage sends those back that it has learned. They lie among
    the events, and are learned where they lie; those that are left of a feature that is no more are passed over.

    Args:
        plan: of the stage.
        partition: of the task.
        format: where outputs go and in which format.
    """

    def __init__(self, plan: Plan, partition: int, format: OutputFormat) -> None:
        assert plan.leaves is not None
        super().__init__(plan, partition, format)
        self._partition = partition
        self._opener = Opener(plan.events.topic, plan.arrives) if plan.arrives else None
        self._sealer = Sealer(plan.leaves)
        self._key = plan.leaves.key
        self._labels = LabelReader()

    def process(self, batch: RecordBatch, now_ms: int, emit_from_ms: int | None) -> Outputs:
        """Send on the events of the records up to the first whose writer's schema is unknown."""
        return self._begin(batch, now_ms) if self._opener is None else self._go_on(self._opener, batch, now_ms)

    def _begin(self, batch: RecordBatch, now_ms: int) -> Outputs:
        """Records of the event topic: number those that are accepted."""
        accepted = self._upstream.take(batch, self.state, now_ms)
        rows = accepted.columns.rows
        first = int(self.state.stage.accepted[0])
        self.state.stage.accepted[0] += len(rows)
        travellers = Travellers(
            accepted.batch.chosen(rows),
            np.full(len(rows), self._partition),
            first + np.arange(len(rows)),
            self._computed(accepted.columns, accepted.times_ms),
        )
        told = tuple(self._told(accepted, now_ms))
        on = self._sealed(travellers, accepted.columns, np.arange(len(rows)))
        return Outputs((), told, accepted.taken, accepted.needs, on)

    def _go_on(self, opener: Opener, batch: RecordBatch, now_ms: int) -> Outputs:
        """Records of another stage: add the features by this one's key."""
        are_labels = self._labels.are_labels(batch)
        others = np.flatnonzero(~are_labels)
        opened = opener.open(batch.chosen(others))
        arrived, places = opened.travellers, others[opened.rows]
        decoded = self._source.decode(arrived.batch)
        columns, count = decoded.columns, decoded.end
        taken = len(batch) if decoded.needs is None else int(places[count])
        strange = [replace(each, row=int(others[each.row])) for each in opened.rejections]
        times = event_times(self._plan.events, arrived.batch, columns)
        features = np.full((count, len(self._plan.features.layout.dense)), np.nan)
        if self._plan.counts_labels:
            labels = self._labels.open(batch, np.flatnonzero(are_labels[:taken]))
            features[columns.rows] = self._computed_among(labels, columns, times, places[columns.rows])
            strange += labels.rejections
        else:
            features[columns.rows] = self._computed(columns, times)
        travellers = Travellers(
            arrived.batch.part(0, count),
            arrived.partitions[:count],
            arrived.sequences[:count],
            np.concatenate([arrived.features[:count], features], axis=1),
        )
        strange = sorted((each for each in strange if each.row < taken), key=lambda each: each.row)
        told = (self._letters(batch, strange, now_ms),) if strange else ()
        return Outputs((), told, taken, decoded.needs, self._sealed(travellers, columns, columns.rows))

    def _computed(self, columns: ColumnBatch, times_ms: Ints) -> Floats:
        self._counts.events += len(columns)
        return self.state.features.compute(columns, times_ms).batch.dense

    def _computed_among(self, labels: LearnedLabels, columns: ColumnBatch, times_ms: Ints, places: Ints) -> Floats:
        """As `_computed`, where labels lie among the events: `places` says which records of the batch those are."""
        dense = np.empty((len(columns), len(self._plan.features.layout.dense)))
        for events, learned in _in_turns(np.searchsorted(places, labels.rows), len(columns)):
            if events.stop > events.start:
                dense[events] = self._computed(columns.part(events.start, events.stop), times_ms[events])
            self.state.features.learn_labels_of_keys(labels.keys[learned], labels.targets[learned])
        return dense

    def _sealed(self, travellers: Travellers, columns: ColumnBatch, rows: Ints) -> tuple[OutputBatch, ...]:
        """The events as records; `rows` says which of them each row of columns is."""
        if self.is_replaying:
            return ()
        keys, has_key = np.zeros(len(travellers), np.int64), np.zeros(len(travellers), np.bool_)
        if self._key:
            keys[rows], has_key[rows] = self._hashed(columns)
        return self._sealer.seal(travellers, keys, has_key)

    def _hashed(self, columns: ColumnBatch) -> tuple[Ints, Bools]:
        """A hash (n,) of the next stage's key, and where none of its columns is null."""
        hashed = np.zeros(len(columns), np.uint64)
        is_there = np.ones(len(columns), np.bool_)
        for column in self._key:
            values = key_hashes(column, columns)
            hashed = hashed * _MULTIPLIER + values.view(np.uint64)
            is_there &= values != 0
        return hashed.view(np.int64), is_there


def _in_turns(before: Ints, count: int) -> Iterator[tuple[slice, slice]]:
    """Events and the labels that follow them, run by run.

    Args:
        before: (labels,) events that lie before each label, ascending.
        count: of events.
    """
    event_ends = np.unique(np.append(before, count))
    label_ends = np.searchsorted(before, event_ends, side="right")
    first_event, first_label = 0, 0
    for event_end, label_end in zip(event_ends.tolist(), label_ends.tolist(), strict=True):
        yield slice(first_event, event_end), slice(first_label, label_end)
        first_event, first_label = event_end, label_end
