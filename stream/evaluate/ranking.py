"""ROC-AUC and PR-AUC: exact from all scores, and from counts by bin of score with a bound on the error.

A live metric cannot keep all scores. It counts positives and negatives in 641 bins that are fine where scores crowd:
16 for each halving of the distance to 0 or to 1, down to 2^-21. So two scores share a bin if their distances from the
nearer end differ by less than 6 %.
"""

from dataclasses import dataclass

import numpy as np

from stream.evaluate.tasks import NOT_DEFINED
from stream.kernels import kernel
from stream.kernels.bits import float_to_bits
from stream.records import Floats, Ints

FINENESS = 4  # bits of the mantissa that tell bins apart: 16 bins for each halving
HALVINGS = 20
HALF = HALVINGS << FINENESS  # the bin of 0.5
BINS = 2 * HALF + 1
_LOWEST = (1023 - 1 - HALVINGS) << FINENESS  # exponent and mantissa bits of 2^-21


@kernel
def bin_of_score(score: float) -> int:
    """The bin, 0 to BINS - 1, of a score between 0 and 1; never falls as the score rises."""
    distance = score if score <= 0.5 else 1.0 - score
    from_end: int = max((float_to_bits(distance) >> (52 - FINENESS)) - _LOWEST, 0)
    return from_end if score <= 0.5 else BINS - 1 - from_end


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value known within bounds; NaN where it is not defined."""

    value: float
    low: float
    high: float


def roc_auc(scores: Floats, targets: Floats) -> float:
    """Chance that a positive scores above a negative, ties counting half; exact (Mann-Whitney).

    Args:
        scores: (n,), any unit; rows with NaN are left out.
        targets: (n,), 1 for positives, 0 for others; rows with NaN are left out.

    Returns:
        The area, NaN without positives or without negatives.
    """
    positives, negatives = _tied_counts(scores, targets)
    return roc_auc_from_counts(positives, negatives).value


def pr_auc(scores: Floats, targets: Floats) -> float:
    """Average precision: precision at each score, weighted by the share of positives there; exact.

    Arguments as for `roc_auc`. NaN without positives.
    """
    positives, negatives = _tied_counts(scores, targets)
    return pr_auc_from_counts(positives, negatives).value


def _tied_counts(scores: Floats, targets: Floats) -> tuple[Ints, Ints]:
    known = ~(np.isnan(scores) | np.isnan(targets))
    _, ranks = np.unique(scores[known], return_inverse=True)
    is_positive = targets[known] > 0.5
    size = int(ranks.max()) + 1 if len(ranks) else 0
    return np.bincount(ranks[is_positive], minlength=size), np.bincount(ranks[~is_positive], minlength=size)


def roc_auc_from_counts(positives: Ints, negatives: Ints) -> Bounded:
    """ROC-AUC from counts by ascending bin; the bounds hold whatever the order of the scores in each bin.

    Pairs in one bin count half, so the error is at most half the share of such pairs.
    """
    pairs = float(positives.sum()) * float(negatives.sum())
    if pairs == 0.0:
        return Bounded(NOT_DEFINED, NOT_DEFINED, NOT_DEFINED)
    below = np.cumsum(negatives) - negatives
    above_sure = float(positives.astype(np.float64) @ below)
    shared = float(positives.astype(np.float64) @ negatives)
    return Bounded((above_sure + shared / 2.0) / pairs, above_sure / pairs, (above_sure + shared) / pairs)


def pr_auc_from_counts(positives: Ints, negatives: Ints) -> Bounded:
    """Average precision from counts by ascending bin, a bin being one tie; bounds as for ROC-AUC.

    In a bin with p positives and q negatives, above which there are P and N, the precision at any of its positives lies
    between (P + 1) / (P + 1 + N + q), all negatives first, and (P + p) / (P + p + N), all positives first.
    """
    total = float(positives.sum())
    if total == 0.0:
        return Bounded(NOT_DEFINED, NOT_DEFINED, NOT_DEFINED)
    here, others = positives[::-1].astype(np.float64), negatives[::-1].astype(np.float64)
    upto, others_upto = np.cumsum(here), np.cumsum(others)
    holds = here > 0.0
    share, upto, others_upto = here[holds] / total, upto[holds], others_upto[holds]
    first = upto - here[holds] + 1.0
    return Bounded(
        value=float(share @ (upto / (upto + others_upto))),
        low=float(share @ (first / (first + others_upto))),
        high=float(share @ (upto / (upto + others_upto - others[holds]))),
    )
