"""No single event turns a model's numbers into NaN. What is absurd and a number moves scales, as it does River's."""

import numpy as np
import pytest

from stream import models as m
from stream.models.declaration import Declaration
from stream.records import FeatureBatch, FeatureLayout, SparseGroup
from tests.models.streams import dense_batch

LAYOUT = FeatureLayout(("a", "b"), ())
LEARNERS: list[tuple[Declaration, m.Task]] = [
    (m.StandardScaler() | m.LogisticRegression(), m.BINARY),
    (m.LogisticRegression(m.Adam()), m.BINARY),
    (m.LinearRegression(), m.REGRESSION),
    (m.LinearRegression(m.FTRL()), m.REGRESSION),
    (m.StandardScaler(window_size=3) | m.PAClassifier(mode=0), m.BINARY),
    (m.MinMaxScaler() | m.GaussianNB(), m.BINARY),
    (m.MultinomialNB(), m.BINARY),
    (m.MinMaxScaler() | m.HalfSpaceTrees(seed=1, window_size=2), m.ANOMALY),
]


@pytest.mark.parametrize(("declared", "task"), LEARNERS, ids=lambda value: getattr(value, "definition", "")[:60])
def test_the_worst_accepted_numbers_leave_no_nan(declared: Declaration, task: m.Task) -> None:
    """After values of the largest accepted magnitude, and infinities, every score and weight is a number."""
    rows = [[1e100, -1e100], [-1e100, 1e100], [np.inf, 1.0], [1e100, -np.inf], [np.nan, 1e100], [1.0, 2.0], [1e-300, 0]]
    batch = dense_batch(np.array(rows * 3, dtype=float))
    targets = np.array([1.0, 0.0] * 11)[: len(batch)]
    model = m.compile_model(declared, LAYOUT, task)
    scores = model.score_and_learn(batch, targets).scores
    model.learn(batch, targets)
    scores = np.concatenate([scores, model.score(batch).scores])
    assert np.isfinite(scores).all()
    for name, array in model.arrays().items():
        assert not np.isnan(array).any(), name


def test_an_infinite_input_is_a_missing_one_and_counted() -> None:
    """The model is what it would be had the value been missing."""
    declared = m.StandardScaler() | m.LogisticRegression()
    bad, missing = (m.compile_model(declared, LAYOUT, m.BINARY) for _ in range(2))
    targets = np.array([1.0, 0.0, 1.0])
    bad.score_and_learn(dense_batch(np.array([[1.0, 2.0], [np.inf, 3.0], [2.0, 1e101]])), targets)
    missing.score_and_learn(dense_batch(np.array([[1.0, 2.0], [np.nan, 3.0], [2.0, np.nan]])), targets)
    assert bad.metrics()["invalid_inputs"] == 2.0
    assert missing.metrics()["invalid_inputs"] == 0.0
    for name in ("scalers", "weights"):
        assert np.array_equal(bad.arrays()[name], missing.arrays()[name])


def test_an_invalid_sparse_value_is_a_missing_one_and_counted() -> None:
    """The same for hashed features."""
    layout = FeatureLayout((), (SparseGroup("word", 0, 4),))
    model = m.compile_model(m.LogisticRegression(m.SGD(1.0)), layout, m.BINARY)
    indptr, indices = np.array([0, 3]), np.array([0, 1, 3])
    model.score_and_learn(FeatureBatch(np.zeros((1, 0)), indptr, indices, np.array([1.0, np.inf, np.nan])), np.ones(1))
    assert model.arrays()["table"][:, 0].tolist() == [0.5, 0.0, 0.0, 0.0]
    assert model.metrics()["invalid_inputs"] == 1.0


@pytest.mark.parametrize(
    ("declared", "task", "targets", "learned", "invalid"),
    [
        (m.LogisticRegression(), m.BINARY, [0.0, 1.0, 2.0, 0.5, np.nan, -1.0, np.inf], 2, 4),
        (m.GaussianNB(), m.multiclass(("a", "b", "c")), [0.0, 2.0, 3.0, 0.5, np.nan, -1.0, np.inf], 2, 4),
        (m.LinearRegression(), m.REGRESSION, [0.0, 1.0, 2.0, 0.5, np.nan, -1.0, np.inf], 5, 1),
    ],
)
def test_a_target_that_cannot_be_is_counted_and_not_learned(
    declared: Declaration, task: m.Task, targets: list[float], learned: int, invalid: int
) -> None:
    """NaN is no label; what the task does not know is an invalid one."""
    model = m.compile_model(declared, LAYOUT, task)
    model.score_and_learn(dense_batch(np.ones((len(targets), 2))), np.array(targets))
    assert model.metrics()["rows_learned"] == learned
    assert model.metrics()["invalid_targets"] == invalid


def test_a_negative_count_is_not_learned_by_multinomial_naive_bayes() -> None:
    """It would make the share of a word negative, whose logarithm is NaN."""
    model = m.compile_model(m.MultinomialNB(), LAYOUT, m.BINARY)
    model.score_and_learn(dense_batch(np.array([[1.0, -5.0], [2.0, 1.0]])), np.array([1.0, 0.0]))
    assert model.metrics()["invalid_inputs"] == 1.0
    assert np.isfinite(model.score(dense_batch(np.array([[1.0, 1.0]]))).scores).all()


@pytest.mark.parametrize("scaler", [m.StandardScaler(), m.MinMaxScaler(), m.StandardScaler(window_size=20)], ids=repr)
def test_an_absurd_value_ruins_a_scaler_for_good_and_a_clip_keeps_it_whole(scaler: Declaration) -> None:
    """40 events after 1e15 the scores of 0 and 10 are nearly the same still; had it been clipped to 10 they are not."""

    def spread(first: float) -> float:
        values = np.array([first, *np.tile([0.0, 10.0], 20)])
        model = m.compile_model(scaler | m.LogisticRegression(), FeatureLayout(("a",), ()), m.BINARY)
        targets = np.tile([0.0, 1.0], 21)[: len(values)]
        scores = model.score_and_learn(dense_batch(values[:, None]), targets).scores[:, 0]
        return float(abs(scores[-1] - scores[-2]))

    assert 10 * spread(1e15) < spread(10.0)
