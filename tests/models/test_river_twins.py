"""Every compiled model against River's, over every parameter, on three streams of 20,000 rows."""

import numpy as np
import pytest

from stream import models as m
from stream.models.declaration import Declaration
from stream.models.task import Task
from tests.models.streams import STREAMS
from tests.models.twin import assert_twins

FOUR = m.multiclass(("low", "middle", "high", "top"))
S = m.StandardScaler()

CLASSIFIERS: dict[str, Declaration] = {
    "defaults": S | m.LogisticRegression(),
    "unscaled-clipped": m.LogisticRegression(m.SGD(1e-3), clip_gradient=0.25),
    "sgd-l2": S | m.LogisticRegression(m.SGD(0.05), l2=0.01),
    "sgd-l1": S | m.LogisticRegression(m.SGD(0.05), l1=0.002),
    "sgd-inverse-scaling-l1": S | m.LogisticRegression(m.SGD(m.InverseScaling(0.5, 0.3)), l1=0.001),
    "intercept": S | m.LogisticRegression(intercept_init=0.5, intercept_lr=0.2),
    "intercept-inverse-scaling": S | m.LogisticRegression(intercept_lr=m.InverseScaling(0.1)),
    "intercept-fixed": S | m.LogisticRegression(intercept_init=-1.0, intercept_lr=0.0),
    "initializer": S | m.LogisticRegression(initializer=m.Constant(0.3)),
    "ada-grad": S | m.LogisticRegression(m.AdaGrad(0.05, eps=1e-3)),
    "ada-grad-l1": S | m.LogisticRegression(m.AdaGrad(0.05), l1=0.001),
    "adam": S | m.LogisticRegression(m.Adam(0.02, beta_1=0.8, beta_2=0.99, eps=1e-6)),
    "adam-inverse-scaling-l2": S | m.LogisticRegression(m.Adam(m.InverseScaling(0.1)), l2=0.001),
    "adam-l1": S | m.LogisticRegression(m.Adam(0.02), l1=0.0005),
    "ftrl": S | m.LogisticRegression(m.FTRLProximal(alpha=0.1, beta=0.5, l1=0.3, l2=0.5)),
    "ftrl-initializer": S | m.LogisticRegression(m.FTRL(), initializer=m.Constant(-0.2)),
    "class-weights": S | m.LogisticRegression(loss=m.Log(weight_pos=4.0, weight_neg=0.5)),
    "hinge": S | m.LogisticRegression(loss=m.Hinge(0.7)),
    "focal": S | m.LogisticRegression(loss=m.BinaryFocalLoss(gamma=1.5, beta=0.5)),
    "centred": m.StandardScaler(with_std=False) | m.LogisticRegression(m.SGD(1e-4)),
    "rolling": m.StandardScaler(window_size=100) | m.LogisticRegression(),
    "rolling-centred": m.StandardScaler(with_std=False, window_size=7) | m.LogisticRegression(m.SGD(1e-4)),
    "min-max": m.MinMaxScaler() | m.LogisticRegression(m.SGD(0.1)),
    "rolling-min-max": m.MinMaxScaler(window_size=50) | m.LogisticRegression(m.SGD(0.1)),
    "two-scalers": m.MinMaxScaler() | S | m.LogisticRegression(),
    "pa": S | m.PAClassifier(mode=0),
    "pa-1": S | m.PAClassifier(C=0.05, mode=1),
    "pa-2": S | m.PAClassifier(C=0.05, mode=2, learn_intercept=False),
    "gaussian": m.GaussianNB(),
    "gaussian-scaled": S | m.GaussianNB(),
    "min-max-multinomial": m.MinMaxScaler() | m.MultinomialNB(alpha=0.3),
}
REGRESSORS: dict[str, Declaration] = {
    "squared": S | m.LinearRegression(),
    "squared-l2-clipped": S | m.LinearRegression(m.SGD(0.005), l2=0.01, clip_gradient=0.8),
    "squared-l1-intercept": S
    | m.LinearRegression(m.AdaGrad(), l1=0.001, intercept_init=2.0, intercept_lr=m.InverseScaling(0.2, 0.1)),
    "initializer": S | m.LinearRegression(m.FTRL(0.2, 0.7, 0.1, 0.3), initializer=m.Constant(0.1)),
    "absolute": S | m.LinearRegression(loss=m.Absolute()),
    "huber": S | m.LinearRegression(m.Adam(0.01), m.Huber(0.3)),
    "quantile": S | m.LinearRegression(loss=m.Quantile(0.8)),
    "cauchy": S | m.LinearRegression(loss=m.Cauchy(2.0)),
    "epsilon-insensitive": S | m.LinearRegression(loss=m.EpsilonInsensitiveHinge(0.2)),
    "poisson": S | m.LinearRegression(m.SGD(0.001), m.Poisson(), clip_gradient=1.0),
}
DETECTORS: dict[str, Declaration] = {
    "scaled": m.MinMaxScaler() | m.HalfSpaceTrees(n_trees=7, height=5, window_size=133, seed=3),
    "defaults": m.MinMaxScaler() | m.HalfSpaceTrees(seed=42),
    "limits": m.HalfSpaceTrees(n_trees=3, height=4, limits={"constant": (0.0, 9.0)}, seed=0),
}
EVERY_STREAM = pytest.mark.parametrize("stream", STREAMS)
QUICK = {"defaults", "class-weights"}


def each(declared: dict[str, Declaration]) -> pytest.MarkDecorator:
    """One test per declaration; all but the quick ones belong to `make test`."""
    return pytest.mark.parametrize(
        "declared",
        [
            pytest.param(value, id=name, marks=() if name in QUICK else (pytest.mark.slow,))
            for name, value in declared.items()
        ],
    )


@EVERY_STREAM
@each(CLASSIFIERS)
def test_classifiers_agree_with_river(declared: Declaration, stream: str) -> None:
    """Probabilities are River's, in River's order and with scalers that learn at arrival."""
    for scale_at in m.ScaleAt:
        assert_twins(declared, STREAMS[stream](), m.BINARY, scale_at)


@EVERY_STREAM
@each(REGRESSORS)
def test_regressors_agree_with_river(declared: Declaration, stream: str) -> None:
    """Predicted numbers are River's."""
    for scale_at in m.ScaleAt:
        assert_twins(declared, STREAMS[stream](), m.REGRESSION, scale_at)


@EVERY_STREAM
@pytest.mark.parametrize("task", [m.BINARY, FOUR], ids=["binary", "four classes"])
def test_multinomial_naive_bayes_agrees_with_river(task: Task, stream: str) -> None:
    """Probabilities of every class are River's, for counts and for other values that are not negative."""
    for alpha in (1.0, 0.01):
        assert_twins(m.MultinomialNB(alpha), STREAMS[stream]().absolute(), task, m.ScaleAt.LABEL)


@EVERY_STREAM
@pytest.mark.parametrize("declared", [m.GaussianNB(), S | m.GaussianNB()], ids=["raw", "scaled"])
def test_gaussian_naive_bayes_tells_four_classes_apart_as_river_does(declared: Declaration, stream: str) -> None:
    """Probabilities of every class are River's."""
    for scale_at in m.ScaleAt:
        assert_twins(declared, STREAMS[stream](), FOUR, scale_at)


@EVERY_STREAM
@each(DETECTORS)
def test_half_space_trees_agree_with_river_with_its_own_draws(declared: Declaration, stream: str) -> None:
    """The same seed draws River's trees, and anomaly scores are River's."""
    for scale_at in m.ScaleAt:
        assert_twins(declared, STREAMS[stream]().dense_only(), m.ANOMALY, scale_at)


def test_the_twin_of_these_tests_is_rivers_own_pipeline() -> None:
    """River's Pipeline gives the scores that the twin takes from single steps, in both orders."""
    import contextlib

    from river import compose

    from tests.models.twin import RiverTwin

    stream = STREAMS["drifting"]()
    declared = S | m.LogisticRegression()
    for scale_at in m.ScaleAt:
        pipeline = declared.to_river()
        scores = []
        with compose.learn_during_predict() if scale_at is m.ScaleAt.ARRIVAL else contextlib.nullcontext():
            for x, target in zip(stream.dicts[:3000], stream.binary[:3000], strict=True):
                scores.append([pipeline.predict_proba_one(x)[True]])
                if not np.isnan(target):
                    pipeline.learn_one(x, bool(target))
        twin = RiverTwin(declared, m.BINARY, scale_at).run(stream.dicts[:3000], stream.binary[:3000])
        assert np.array_equal(twin, np.array(scores))
