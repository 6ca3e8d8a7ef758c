"""Prequential metrics of a binary classification, beside no-change, majority and prior."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.evaluate.decisions import Decisions, binary_decisions
from stream.evaluate.ranking import BINS, Bounded, bin_of_score, pr_auc_from_counts, roc_auc_from_counts
from stream.evaluate.segments import row_of_segment
from stream.evaluate.tasks import NOT_DEFINED
from stream.kernels import kernel
from stream.kernels.elementary import log
from stream.records import Floats, Ints

CALIBRATION_BINS = 10
CERTAIN = 1e-15  # probabilities are kept this far from 0 and 1 in the log loss (as River does)

# Who decided: the second index of BinaryState.tables.
MODEL, NO_CHANGE, MAJORITY = 0, 1, 2
# Columns of BinaryState.losses.
LOG_LOSS, BRIER, PRIOR_LOG_LOSS, PRIOR_BRIER = 0, 1, 2, 3


class BinaryState(NamedTuple):
    """Counts and sums; one row for all events, one per segment, one for segments without a row of their own."""

    tables: Ints  # (rows, 3, 2, 2): events by who decided, target, decision
    losses: Floats  # (rows, 4): sums of the losses
    last: Ints  # (rows,): the last target
    reliability: Floats  # (rows, 10, 3): events, sum of scores, positives, by tenth of the score
    ranks: Ints  # (rows, 2, BINS): events by target and bin of score
    keys: Ints  # (segments,): see row_of_segment
    tallies: Ints  # (2,): segments in use, rows skipped


@dataclass(frozen=True, slots=True)
class BinarySummary:
    """What is known of a binary classification so far. NaN where the rows do not define it.

    Baselines are updated as the model is: they predict each target from those before it. `no_change` repeats the last
    one (negative at first), `majority` decides for the more frequent class (negative if equal), the prior predicts
    the running rate, (positives + 1) / (events + 2). A model that knows nothing has a PR-AUC of `base_rate` and a
    ROC-AUC of 0.5.
    """

    count: int
    base_rate: float  # share of positives
    roc_auc: Bounded
    pr_auc: Bounded
    log_loss: float
    brier: float
    calibration_error: float  # expected calibration error, ten bins of equal width
    decisions: Decisions
    no_change: Decisions
    majority: Decisions
    prior_log_loss: float
    prior_brier: float


def new_state(segments: int) -> BinaryState:
    """Nothing seen yet, with room for so many segments."""
    rows = segments + 2
    return BinaryState(
        tables=np.zeros((rows, 3, 2, 2), np.int64),
        losses=np.zeros((rows, 4)),
        last=np.zeros(rows, np.int64),
        reliability=np.zeros((rows, CALIBRATION_BINS, 3)),
        ranks=np.zeros((rows, 2, BINS), np.int64),
        keys=np.zeros(segments, np.int64),
        tallies=np.zeros(2, np.int64),
    )


@kernel
def update_binary(scores: Floats, targets: Floats, segments: Ints, threshold: float, state: BinaryState) -> None:
    """Take in rows; those without score or target (NaN) are counted and skipped. `segments` may be empty."""
    for i in range(len(scores)):
        if scores[i] != scores[i] or targets[i] != targets[i]:
            state.tallies[1] += 1
            continue
        score = min(max(scores[i], 0.0), 1.0)
        target = 1 if targets[i] > 0.5 else 0
        _add(score, target, threshold, state, 0)
        if len(segments) > 0:
            _add(score, target, threshold, state, row_of_segment(state.keys, state.tallies, segments[i]))


@kernel
def _add(score: float, target: int, threshold: float, state: BinaryState, row: int) -> None:
    tables, losses, reliability = state.tables, state.losses, state.reliability
    negatives = tables[row, MODEL, 0, 0] + tables[row, MODEL, 0, 1]
    positives = tables[row, MODEL, 1, 0] + tables[row, MODEL, 1, 1]
    prior = (positives + 1.0) / (negatives + positives + 2.0)
    losses[row, LOG_LOSS] += _log_loss(score, target)
    losses[row, BRIER] += (score - target) * (score - target)
    losses[row, PRIOR_LOG_LOSS] += _log_loss(prior, target)
    losses[row, PRIOR_BRIER] += (prior - target) * (prior - target)
    tables[row, MODEL, target, 1 if score >= threshold else 0] += 1
    tables[row, NO_CHANGE, target, state.last[row]] += 1
    tables[row, MAJORITY, target, 1 if positives > negatives else 0] += 1
    state.last[row] = target
    tenth = min(int(score * CALIBRATION_BINS), CALIBRATION_BINS - 1)
    reliability[row, tenth, 0] += 1.0
    reliability[row, tenth, 1] += score
    reliability[row, tenth, 2] += target
    state.ranks[row, target, bin_of_score(score)] += 1


@kernel
def _log_loss(probability: float, target: int) -> float:
    probability = min(max(probability, CERTAIN), 1.0 - CERTAIN)
    loss: float = -log(probability) if target == 1 else -log(1.0 - probability)
    return loss


def summarise_binary(state: BinaryState, row: int) -> BinarySummary:
    """The metrics of one row of the state."""
    tables = state.tables[row]
    count = int(tables[MODEL].sum())
    mean_losses = state.losses[row] / count if count else np.full(4, NOT_DEFINED)
    _, scores, positives = state.reliability[row].T
    return BinarySummary(
        count=count,
        base_rate=float(tables[MODEL, 1].sum()) / count if count else NOT_DEFINED,
        roc_auc=roc_auc_from_counts(state.ranks[row, 1], state.ranks[row, 0]),
        pr_auc=pr_auc_from_counts(state.ranks[row, 1], state.ranks[row, 0]),
        log_loss=float(mean_losses[LOG_LOSS]),
        brier=float(mean_losses[BRIER]),
        calibration_error=float(np.abs(scores - positives).sum()) / count if count else NOT_DEFINED,
        decisions=binary_decisions(tables[MODEL]),
        no_change=binary_decisions(tables[NO_CHANGE]),
        majority=binary_decisions(tables[MAJORITY]),
        prior_log_loss=float(mean_losses[PRIOR_LOG_LOSS]),
        prior_brier=float(mean_losses[PRIOR_BRIER]),
    )
