"""What goes into the label store and what comes out of it."""

from dataclasses import dataclass

from stream.records import FeatureBatch, Floats, Ints


@dataclass(frozen=True, slots=True)
class Registered:
    """Events that were entered and are to be kept."""

    ids: Ints  # (n,)
    numbers: Ints  # (n,): of their rows; -1 where the label was there already, and where there is no id
    replaced: Ints  # (n,): of the rows whose label theirs is from now on, events that had the same id; -1 where none is
    stream_times_ms: Ints  # (n,): the stream's time at each


@dataclass(frozen=True, slots=True)
class JoinedLabels:
    """Labels that met their features, in the order of the labels: what there is to learn."""

    rows: Ints  # (n,): which of the labels
    features: FeatureBatch
    label_inputs: Ints  # (n, a): what target means need
    targets: Floats  # (n,)
    scores: Floats  # (n, scores): at prediction time
    offsets: Ints  # (n,): of the events
    times_ms: Ints  # (n,): of the events


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """What became of labels since the task began."""

    joined: int  # learned when they came
    early: int  # came before their event
    early_joined: int  # of those, learned with their event
    duplicate: int  # a label of that event was there already: the first one wins
    too_late: int  # the event's row was dropped before (horizon or budget): not learned
    unknown: int  # early, and no event came within two horizons (or the budget): not learned
    rows_evicted: int  # rows dropped for the budget, before their horizon, in memory and outside
