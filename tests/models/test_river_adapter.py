"""Any model of River behind the interface of compiled ones."""

import numpy as np
import pytest
from river import anomaly, compose, forest, linear_model, naive_bayes, neighbors, preprocessing, tree

from stream import models as m
from stream.errors import ConfigError, TaskCorrupted
from stream.records import FeatureBatch, FeatureLayout, SparseGroup
from tests.models.streams import dense_batch, drifting, rows_of, texts

ROWS = 400
NUMBERS = FeatureLayout(("a", "b"), ())


def module_level(x: dict[str, float]) -> dict[str, float]:
    return x


def test_a_forest_by_its_name_scores_and_learns_as_river_does_by_hand() -> None:
    """`models.AdaptiveRandomForest` is River's class; rows become dictionaries, absent keys where missing."""
    stream = texts()
    declared = m.AdaptiveRandomForest(n_models=3, seed=1)
    model = m.compile_model(declared, stream.layout, m.BINARY)
    scored = model.score_and_learn(rows_of(stream.batch, 0, ROWS), stream.binary[:ROWS])
    river = forest.ARFClassifier(n_models=3, seed=1)
    for i, (x, target) in enumerate(zip(stream.dicts[:ROWS], stream.binary[:ROWS], strict=True)):
        probabilities = river.predict_proba_one(x)
        assert scored.scores[i, 0] == (probabilities.get(True, 0.0) if probabilities else 0.5)
        if not np.isnan(target):
            river.learn_one(x, bool(target))
    assert (scored.top_features == -1).all()
    assert model.is_pickled


@pytest.mark.parametrize("scale_at", m.ScaleAt)
def test_a_pipeline_of_river_agrees_with_the_compiled_one(scale_at: m.ScaleAt) -> None:
    """Both learn their scalers in the order that was asked for, and neither touches the object it was given."""
    stream = drifting()
    given = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    compiled = m.compile_model(m.StandardScaler() | m.LogisticRegression(), stream.layout, m.BINARY, scale_at)
    adapted = m.compile_model(given, stream.layout, m.BINARY, scale_at)
    for first in range(0, ROWS, 100):
        batch = rows_of(stream.batch, first, first + 100)
        expected = compiled.score(batch).scores
        np.testing.assert_allclose(adapted.score(batch).scores, expected, rtol=1e-9)
        compiled.learn(batch, stream.binary[first : first + 100])
        adapted.learn(batch, stream.binary[first : first + 100])
    assert adapted.metrics()["rows_learned"] == compiled.metrics()["rows_learned"]
    assert given["LogisticRegression"].weights == {}


def test_declarations_and_river_mix_in_a_pipeline() -> None:
    """A declared step becomes River's class of the same parameters."""
    stream = drifting()
    batch, targets = rows_of(stream.batch, 0, ROWS), stream.binary[:ROWS]
    for declared in (
        m.StandardScaler() | tree.HoeffdingTreeClassifier(grace_period=50),
        preprocessing.StandardScaler() | m.LogisticRegression(m.SGD(0.1)),
    ):
        scores = m.compile_model(declared, stream.layout, m.BINARY).score_and_learn(batch, targets).scores
        assert scores.std() > 0.01


def test_classes_numbers_and_anomalies_are_scored() -> None:
    """Each task reads what River gives for it."""
    dense = dense_batch(np.array([[1.0, np.nan], [5.0, np.inf], [1.1, 0.0], [5.1, 0.0]]))
    classes = m.compile_model(naive_bayes.GaussianNB(), NUMBERS, m.multiclass(("low", "high")))
    targets = np.array([0.0, 1.0, 0.0, 1.0])
    assert classes.score_and_learn(dense, targets).scores[0].tolist() == [0.5, 0.5]
    assert classes.score(dense).scores.argmax(axis=1).tolist() == [0, 1, 0, 1]
    assert classes.metrics() == {"rows_learned": 4.0, "invalid_inputs": 2.0, "invalid_targets": 0.0}
    number = m.compile_model(linear_model.LinearRegression(), NUMBERS, m.REGRESSION)
    assert number.score_and_learn(dense, targets).scores[1, 0] == 0.0
    detector = m.compile_model(anomaly.HalfSpaceTrees(seed=1, window_size=2), NUMBERS, m.BINARY)
    scored = detector.score_and_learn(dense, np.full(4, np.nan))
    assert scored.scores[:2, 0].tolist() == [0.0, 0.0]
    assert detector.metrics()["rows_learned"] == 4.0


def test_a_target_that_cannot_be_is_counted() -> None:
    """As with compiled models."""
    model = m.compile_model(naive_bayes.GaussianNB(), NUMBERS, m.BINARY)
    model.score_and_learn(dense_batch(np.ones((4, 2))), np.array([0.0, 2.0, 0.5, np.nan]))
    assert model.metrics()["rows_learned"] == 1.0
    assert model.metrics()["invalid_targets"] == 2.0


@pytest.mark.parametrize(
    ("estimator", "path"),
    [
        (forest.ARFClassifier(), "ARFClassifier.seed"),
        (neighbors.KNNClassifier(), "KNNClassifier.engine.seed"),
        (preprocessing.StandardScaler() | anomaly.HalfSpaceTrees(), "Pipeline.HalfSpaceTrees.seed"),
    ],
)
def test_a_missing_seed_is_refused_with_its_path(estimator: object, path: str) -> None:
    """However deep it is nested."""
    task = m.ANOMALY if "HalfSpaceTrees" in path else m.BINARY
    with pytest.raises(ConfigError, match=rf"^{path} is None: give a number"):
        m.compile_model(estimator, NUMBERS, task)


def test_what_cannot_be_stored_is_refused() -> None:
    """A lambda has no name to be stored under; a function of a module has."""
    with pytest.raises(ConfigError, match="define it at the top level of a module"):
        m.compile_model(compose.FuncTransformer(lambda x: x) | naive_bayes.GaussianNB(), NUMBERS, m.BINARY)
    model = m.compile_model(compose.FuncTransformer(module_level) | naive_bayes.GaussianNB(), NUMBERS, m.BINARY)
    assert "tests.models.test_river_adapter.module_level" in model.definition


def test_rivers_model_for_another_task_is_refused() -> None:
    """The message says what it is made for."""
    with pytest.raises(ConfigError, match="HoeffdingTreeRegressor cannot predict a binary target"):
        m.compile_model(tree.HoeffdingTreeRegressor(), NUMBERS, m.BINARY)
    with pytest.raises(ConfigError, match="LogisticRegression cannot predict a multiclass target"):
        m.compile_model(linear_model.LogisticRegression(), NUMBERS, m.multiclass(("a", "b", "c")))


def test_the_definition_holds_every_parameter_and_no_address() -> None:
    """It is the same for equal objects, and another for another parameter."""
    one, same, other = (m.compile_model(forest.ARFClassifier(n_models=n, seed=1), NUMBERS, m.BINARY) for n in (3, 3, 4))
    assert one.digest == same.digest != other.digest
    assert "ARFClassifier(n_models=3, max_features='sqrt'" in one.definition
    assert "drift_detector=river.drift.adwin.ADWIN(delta=0.001" in one.definition
    assert "0x" not in one.definition


def test_saved_loaded_and_continued_equals_continued() -> None:
    """The self-test of `stream check` finds nothing in a seeded forest."""
    stream = drifting()
    batch, targets = rows_of(stream.batch, 0, ROWS), stream.binary[:ROWS]
    found = m.check_reproducible(forest.ARFClassifier(3, seed=1), stream.layout, m.BINARY, batch, targets)
    assert found.is_reproducible
    assert found.rows == ROWS


class Forgetful(naive_bayes.GaussianNB):  # type: ignore[misc]
    """Loses what it learned when it is pickled."""

    def __getstate__(self) -> dict[str, object]:
        return dict(vars(naive_bayes.GaussianNB()))


class Moody(naive_bayes.GaussianNB):  # type: ignore[misc]
    """Draws from numpy's global generator, which nobody seeded for it."""

    def predict_proba_one(self, x: dict[str, float]) -> dict[object, float]:
        return {True: np.random.random()}


def test_the_self_test_finds_hidden_randomness_and_lost_state() -> None:
    """And says from which row on."""
    stream = drifting()
    batch, targets = rows_of(stream.batch, 0, 60), stream.binary[:60]
    moody = m.check_reproducible(Moody(), stream.layout, m.BINARY, batch, targets)
    assert moody.first_difference == 0
    forgetful = m.check_reproducible(Forgetful(), stream.layout, m.BINARY, batch, targets)
    assert forgetful.first_difference is None
    assert forgetful.first_difference_after_load == 30
    assert not forgetful.is_reproducible


def test_state_of_another_river_is_refused_with_what_to_do() -> None:
    """River changes what it stores between minor versions; patches are read."""
    model = m.compile_model(naive_bayes.GaussianNB(), NUMBERS, m.BINARY)
    state = model.arrays()
    with pytest.raises(ConfigError, match=r"written by River 0\.21\.2.*install river==0\.21\.\*, or discard"):
        model.load({**state, "river_version": np.frombuffer(b"0.21.2", dtype=np.uint8)})
    with pytest.raises(TaskCorrupted, match="cannot be read"):
        model.load({**state, "pickle": state["pickle"][:20]})
    with pytest.raises(TaskCorrupted, match="is of a LinearRegression, expected a GaussianNB"):
        other = m.compile_model(linear_model.LinearRegression(), NUMBERS, m.REGRESSION).arrays()
        model.load(other)
    with pytest.raises(TaskCorrupted, match="expected counts, pickle, river_version"):
        model.load({"pickle": state["pickle"]})


def test_sparse_features_are_keys_of_group_and_index() -> None:
    """The index counts from the start of its group."""
    layout = FeatureLayout(("a",), (SparseGroup("word", 0, 5), SparseGroup("country", 5, 3)))
    model = m.compile_model(naive_bayes.MultinomialNB(), layout, m.BINARY)
    batch = FeatureBatch(np.array([[1.0]]), np.array([0, 2]), np.array([4, 6]), np.array([2.0, 1.0]))
    model.score_and_learn(batch, np.ones(1))
    import pickle

    assert list(pickle.loads(model.arrays()["pickle"].tobytes()).feature_counts) == ["a", "word=4", "country=1"]
