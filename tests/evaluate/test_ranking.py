"""Exact areas against their definitions, and the bins of the bounded ones."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from stream.evaluate import pr_auc, roc_auc
from stream.evaluate.ranking import BINS, bin_of_score


def naive_roc_auc(scores: list[float], targets: list[float]) -> float:
    """The share of pairs in the right order, ties counting half."""
    positives = [score for score, target in zip(scores, targets, strict=True) if target]
    negatives = [score for score, target in zip(scores, targets, strict=True) if not target]
    wins = [(high > low) + (high == low) / 2 for high, low in itertools.product(positives, negatives)]
    return sum(wins) / len(wins)


def naive_pr_auc(scores: list[float], targets: list[float]) -> float:
    """Sum over thresholds, from the highest, of precision times the recall gained."""
    rows = list(zip(scores, targets, strict=True))
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        decided = [target for score, target in rows if score >= threshold]
        recall = sum(decided) / sum(targets)
        area += sum(decided) / len(decided) * (recall - recall_before)
        recall_before = recall
    return area


@given(some.lists(some.tuples(some.integers(0, 6), some.booleans()), min_size=2, max_size=40))
def test_exact_areas_are_their_definitions(rows: list[tuple[int, bool]]) -> None:
    """For any scores with ties, both areas are what the naive formulas say."""
    scores = [score / 6 for score, _ in rows]
    targets = [float(target) for _, target in rows]
    areas = roc_auc(np.array(scores), np.array(targets)), pr_auc(np.array(scores), np.array(targets))
    if 0 < sum(targets) < len(targets):
        assert areas[0] == pytest.approx(naive_roc_auc(scores, targets), abs=1e-12)
    else:
        assert np.isnan(areas[0])
    if sum(targets) > 0:
        assert areas[1] == pytest.approx(naive_pr_auc(scores, targets), abs=1e-12)
    else:
        assert np.isnan(areas[1])


def test_a_known_area() -> None:
    """Scores .1 .4 .35 .8 of targets 0 0 1 1: ROC-AUC 3/4, average precision 5/6."""
    scores, targets = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])
    assert roc_auc(scores, targets) == 0.75
    assert pr_auc(scores, targets) == pytest.approx(5 / 6)


def test_bins_rise_with_the_score_and_are_fine_at_both_ends() -> None:
    """From 0 to 1 no bin falls, the ends are the first and the last, and near both ends a factor of two is 16 bins."""
    scores = np.unique(np.concatenate([np.linspace(0, 1, 5_001), 10.0 ** -np.arange(8), 1 - 10.0 ** -np.arange(8)]))
    bins = [bin_of_score(score) for score in scores.tolist()]
    assert bins == sorted(bins)
    assert (bins[0], bins[-1]) == (0, BINS - 1)
    assert bin_of_score(0.001) - bin_of_score(0.0005) == 16
    assert bin_of_score(1 - 0.0005) - bin_of_score(1 - 0.001) == 16
