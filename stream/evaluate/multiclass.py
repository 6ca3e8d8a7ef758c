"""Prequential metrics of a classification with several classes, beside no-change, majority and prior."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.evaluate.decisions import ClassDecisions, class_decisions
from stream.evaluate.segments import row_of_segment
from stream.evaluate.tasks import NOT_DEFINED
from stream.kernels import kernel
from stream.kernels.elementary import log
from stream.records import Floats, Ints

CERTAIN = 1e-15  # probabilities are kept this far from 0 in the log loss (as River does)

# Who decided: the second index of MulticlassState.tables.
MODEL, NO_CHANGE, MAJORITY = 0, 1, 2


class MulticlassState(NamedTuple):
    """Counts and sums; rows as in BinaryState."""

    tables: Ints  # (rows, 3, classes, classes): events by who decided, target, decision
    losses: Floats  # (rows, 2): sums of the log loss of the scores and of the prior
    seen: Ints  # (rows, classes): events by target
    choices: Ints  # (rows, 2): the last target, the most frequent one
    keys: Ints  # (segments,): see row_of_segment
    tallies: Ints  # (2,): segments in use, rows skipped


@dataclass(frozen=True, slots=True)
class MulticlassSummary:
    """What is known of a classification so far. NaN where the rows do not define it.

    Baselines predict each target from those before it: `no_change` repeats the last one, `majority` takes the most
    frequent (the first to become so), both class 0 at first; the prior gives a class (its events + 1) / (events +
    classes).
    """

    count: int
    log_loss: float
    decisions: ClassDecisions
    no_change: ClassDecisions
    majority: ClassDecisions
    prior_log_loss: float


def new_state(segments: int, classes: int) -> MulticlassState:
    """Nothing seen yet, with room for so many segments."""
    rows = segments + 2
    return MulticlassState(
        tables=np.zeros((rows, 3, classes, classes), np.int64),
        losses=np.zeros((rows, 2)),
        seen=np.zeros((rows, classes), np.int64),
        choices=np.zeros((rows, 2), np.int64),
        keys=np.zeros(segments, np.int64),
        tallies=np.zeros(2, np.int64),
    )


@kernel
def update_multiclass(scores: Floats, targets: Floats, segments: Ints, state: MulticlassState) -> None:
    """Take in rows; those with a missing score, or whose target is missing or no class, are counted and skipped."""
    classes = scores.shape[1]
    for i in range(len(scores)):
        decision = 0
        is_known = 0.0 <= targets[i] < classes
        for c in range(classes):
            is_known = is_known and scores[i, c] == scores[i, c]
            if scores[i, c] > scores[i, decision]:
                decision = c
        if not is_known:
            state.tallies[1] += 1
            continue
        target = int(targets[i])
        _add(scores[i, target], target, decision, state, 0)
        if len(segments) > 0:
            row = row_of_segment(state.keys, state.tallies, segments[i])
            _add(scores[i, target], target, decision, state, row)


@kernel
def _add(probability: float, target: int, decision: int, state: MulticlassState, row: int) -> None:
    tables, seen, choices = state.tables, state.seen, state.choices
    events = seen[row].sum()
    prior = (seen[row, target] + 1.0) / (events + seen.shape[1])
    state.losses[row, 0] -= log(min(max(probability, CERTAIN), 1.0))
    state.losses[row, 1] -= log(prior)
    tables[row, MODEL, target, decision] += 1
    tables[row, NO_CHANGE, target, choices[row, 0]] += 1
    tables[row, MAJORITY, target, choices[row, 1]] += 1
    seen[row, target] += 1
    choices[row, 0] = target
    if seen[row, target] > seen[row, choices[row, 1]]:
        choices[row, 1] = target


def summarise_multiclass(state: MulticlassState, row: int) -> MulticlassSummary:
    """The metrics of one row of the state."""
    tables = state.tables[row]
    count = int(state.seen[row].sum())
    log_loss, prior_log_loss = state.losses[row] / count if count else (NOT_DEFINED, NOT_DEFINED)
    return MulticlassSummary(
        count=count,
        log_loss=float(log_loss),
        decisions=class_decisions(tables[MODEL]),
        no_change=class_decisions(tables[NO_CHANGE]),
        majority=class_decisions(tables[MAJORITY]),
        prior_log_loss=float(prior_log_loss),
    )
