"""What a cycle has counted so far."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.engine.label_values import LabelCounts
from stream.engine.metrics import LabelOutcome, Losses
from stream.features import FeatureMetrics
from stream.records import Rejection, RejectReason


@dataclass(slots=True)
class CycleCounts:
    """Counts of the open cycle; a new one begins at zero."""

    events: int = 0
    rejections: Counter[RejectReason] = field(default_factory=Counter)
    learned: int = 0
    alerts: int = 0
    invalid_labels: int = 0
    undecided: int = 0
    labels_before: LabelCounts | None = None
    losses_before: Losses = field(default_factory=Losses)

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Count rejected records by their reason."""
        self.rejections.update(rejection.reason for rejection in rejections)


def losses(keyed: FeatureMetrics, labels: LabelCounts | None) -> Losses:
    """What state has lost since it began."""
    return Losses(
        keys_evicted=keyed.evictions,
        keys_expired=keyed.expiries,
        late_events=keyed.late_events,
        window_events_dropped=keyed.dropped_events,
        label_rows_evicted=labels.rows_evicted if labels else 0,
    )


def label_outcomes(before: LabelCounts | None, now: LabelCounts | None, invalid: int) -> dict[LabelOutcome, int]:
    """What became of labels between two counts; None where there is no label topic, and nothing to join."""
    if now is None:
        return {LabelOutcome.INVALID: invalid}
    before = before or LabelCounts(0, 0, 0, 0, 0, 0, 0)
    return {
        LabelOutcome.INVALID: invalid,
        LabelOutcome.JOINED: now.joined - before.joined,
        LabelOutcome.EARLY: now.early - before.early,
        LabelOutcome.DUPLICATE: now.duplicate - before.duplicate,
        LabelOutcome.LATE: now.too_late - before.too_late,
        LabelOutcome.UNKNOWN: now.unknown - before.unknown,
    }
