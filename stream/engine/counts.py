"""What a cycle has counted so far."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.engine.labels import LabelCounts
from stream.engine.metrics import LabelOutcome
from stream.records import Rejection, RejectReason


@dataclass(slots=True)
class CycleCounts:
    """Counts of the open cycle; a new one begins at zero."""

    events: int = 0
    rejections: Counter[RejectReason] = field(default_factory=Counter)
    learned: int = 0
    alerts: int = 0
    labels_before: LabelCounts | None = None
    evictions_before: int = 0

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Count rejected records by their reason."""
        self.rejections.update(rejection.reason for rejection in rejections)


def label_outcomes(before: LabelCounts | None, now: LabelCounts) -> dict[LabelOutcome, int]:
    """What became of labels between two counts."""
    before = before or LabelCounts(0, 0, 0, 0, 0, 0, 0)
    return {
        LabelOutcome.JOINED: now.joined - before.joined,
        LabelOutcome.EARLY: now.early - before.early,
        LabelOutcome.DUPLICATE: now.duplicate - before.duplicate,
        LabelOutcome.LATE: now.too_late - before.too_late,
        LabelOutcome.UNKNOWN: now.unknown - before.unknown,
    }
