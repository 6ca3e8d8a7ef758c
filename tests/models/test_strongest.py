"""Which features a linear model names with its score."""

import numpy as np

from stream import models as m
from stream.records import FeatureBatch, FeatureLayout, SparseGroup
from tests.models.streams import dense_batch


def linear(layout: FeatureLayout, weights: list[float], table: list[float] = []) -> m.Model:  # noqa: B006
    """A model with these weights."""
    model = m.compile_model(m.LogisticRegression(), layout, m.BINARY)
    arrays = model.arrays()
    model.load({**arrays, "weights": np.array([weights]).T, "table": np.array(table).reshape(-1, 1)})
    return model


def test_the_three_largest_contributions_come_in_order() -> None:
    """Weight times input, by magnitude; the lower index first among equals; what adds nothing is not named."""
    layout = FeatureLayout(("a", "b", "c", "d", "e"), ())
    model = linear(layout, [1.0, -2.0, 0.5, 2.0, 3.0])
    rows = [[1.0, 1.0, 1.0, 1.0, 0.0], [4.0, np.nan, 0.0, 0.0, 0.0], [2.0, 1.0, 4.0, -1.0, 0.0], [np.nan] * 5]
    scored = model.score(dense_batch(np.array(rows)))
    assert scored.top_features.tolist() == [[1, 3, 0], [0, -1, -1], [0, 1, 2], [-1, -1, -1]]
    assert scored.top_contributions.tolist() == [[-2, 2, 1], [4, 0, 0], [2, -2, 2], [0, 0, 0]]
    assert scored.top_features.dtype == np.int32


def test_a_sparse_group_contributes_the_sum_of_its_entries() -> None:
    """Group g is named d + g."""
    layout = FeatureLayout(
        ("a",), (SparseGroup("word", 0, 3), SparseGroup("empty", 3, 2), SparseGroup("country", 5, 2))
    )
    model = linear(layout, [1.0], [1.0, 2.0, -4.0, 9.0, 9.0, 0.0, 8.0])
    batch = FeatureBatch(
        np.array([[2.5], [1.0]]), np.array([0, 3, 4]), np.array([0, 2, 6, 1]), np.array([1.0, 1.5, 0.25, 3.0])
    )
    scored = model.score(batch)
    assert scored.top_features.tolist() == [[1, 0, 3], [1, 0, -1]]
    assert scored.top_contributions.tolist() == [[-5.0, 2.5, 2.0], [6.0, 1.0, 0.0]]


def test_contributions_are_those_of_the_score_not_of_what_was_learned_from_it() -> None:
    """They are taken, as the score is, before the row is learned from."""
    layout = FeatureLayout(("a",), ())
    model = m.compile_model(m.LogisticRegression(m.SGD(1.0)), layout, m.BINARY)
    scored = model.score_and_learn(dense_batch(np.array([[2.0], [2.0]])), np.array([1.0, 1.0]))
    assert scored.top_features.tolist() == [[-1, -1, -1], [0, -1, -1]]
    assert scored.top_contributions[:, 0].tolist() == [0.0, 2.0]  # 1.0 * (1 - 0.5) * 2.0 was learned, times 2.0
