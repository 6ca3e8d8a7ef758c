"""Every compiled model against River's, over every parameter, on three streams of 20,000 rows."""

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest
from river import compose

from stream import models as m
from stream.models.declaration import Declaration, steps_of
from stream.models.task import Task
from tests.models.streams import STREAMS, rows_of
from tests.models.twin import RiverTwin, assert_twins

FOUR = m.multiclass(("low", "middle", "high", "top"))
S = m.StandardScaler()

CLASSIFIERS: dict[str, Declaration] = {
    "defaults": S | m.LogisticRegression(),
    "unscaled": m.LogisticRegression(m.SGD(1e-3), intercept_init=-1.0, intercept_lr=0.0, clip_gradient=0.25),
    "sgd-l2": S | m.LogisticRegression(m.SGD(0.05), l2=0.01, intercept_init=0.5, intercept_lr=0.2),
    "sgd-inverse-scaling-l1": S | m.LogisticRegression(m.SGD(m.InverseScaling(0.5, 0.3)), l1=0.001),
    "intercept-inverse-scaling": S | m.LogisticRegression(intercept_lr=m.InverseScaling(0.1)),
    "initializer": S | m.LogisticRegression(initializer=m.Constant(0.3)),
    "ada-grad-l1": S | m.LogisticRegression(m.AdaGrad(0.05, eps=1e-3), l1=0.001),
    "adam": S | m.LogisticRegression(m.Adam(0.02, beta_1=0.8, beta_2=0.99, eps=1e-6)),
    "adam-inverse-scaling-l2": S | m.LogisticRegression(m.Adam(m.InverseScaling(0.1)), l2=0.001),
    "ftrl": S | m.LogisticRegression(m.FTRLProximal(alpha=0.1, beta=0.5, l1=0.3, l2=0.5)),
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
    "gaussian": S | m.GaussianNB(),
    "min-max-multinomial": m.MinMaxScaler() | m.MultinomialNB(alpha=0.3),
}
IN_BOTH_ORDERS = {"defaults", "rolling", "rolling-min-max", "two-scalers", "initializer"}
REGRESSORS: dict[str, Declaration] = {
    "squared": S | m.LinearRegression(),
    "squared-l2": S | m.LinearRegression(m.SGD(0.005), l2=0.01, clip_gradient=0.8),
    "squared-l1": S
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
    "small": m.MinMaxScaler() | m.HalfSpaceTrees(n_trees=7, height=5, window_size=133, seed=3),
    "ten-high-trees": m.MinMaxScaler() | m.HalfSpaceTrees(seed=42),
    "limits": m.HalfSpaceTrees(n_trees=3, height=4, limits={"constant": (0.0, 9.0)}, seed=0),
}
MULTINOMIALS: dict[str, tuple[Task, Declaration]] = {
    "binary": (m.BINARY, m.MultinomialNB()),
    "four classes": (FOUR, m.MultinomialNB(alpha=0.01)),
}
EVERY_STREAM = pytest.mark.parametrize("stream", STREAMS)
QUICK = {"defaults", "squared"}


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
    """Probabilities are River's, where scalers learn with the label as River's do."""
    assert_twins(declared, STREAMS[stream](), m.BINARY, m.ScaleAt.LABEL)


@EVERY_STREAM
@each({name: declared for name, declared in CLASSIFIERS.items() if name in IN_BOTH_ORDERS})
def test_classifiers_agree_with_river_that_learns_during_predict(declared: Declaration, stream: str) -> None:
    """Probabilities are River's, where scalers learn at arrival."""
    assert_twins(declared, STREAMS[stream](), m.BINARY, m.ScaleAt.ARRIVAL)


@EVERY_STREAM
@each(REGRESSORS)
def test_regressors_agree_with_river(declared: Declaration, stream: str) -> None:
    """Predicted numbers are River's."""
    assert_twins(declared, STREAMS[stream](), m.REGRESSION, m.ScaleAt.ARRIVAL)


@EVERY_STREAM
@pytest.mark.parametrize(("task", "declared"), MULTINOMIALS.values(), ids=MULTINOMIALS)
@pytest.mark.slow
def test_multinomial_naive_bayes_agrees_with_river(task: Task, declared: Declaration, stream: str) -> None:
    """Probabilities of every class are River's, for counts and for other values that are not negative."""
    assert_twins(declared, STREAMS[stream]().absolute, task, m.ScaleAt.LABEL)


@EVERY_STREAM
@pytest.mark.slow
def test_gaussian_naive_bayes_tells_four_classes_apart_as_river_does(stream: str) -> None:
    """Probabilities of every class are River's."""
    assert_twins(m.GaussianNB(), STREAMS[stream](), FOUR, m.ScaleAt.LABEL)


@EVERY_STREAM
@each(DETECTORS)
def test_half_space_trees_agree_with_river_with_its_own_draws(declared: Declaration, stream: str) -> None:
    """The same seed draws River's trees, and anomaly scores are River's."""
    for scale_at in m.ScaleAt:
        assert_twins(declared, STREAMS[stream]().dense_only, m.ANOMALY, scale_at)


def test_every_parameter_of_every_compiled_model_has_a_twin() -> None:
    """Each has, in some twin above, a value that is not its default; whoever adds one adds its twin."""
    everything = (
        *CLASSIFIERS.values(),
        *REGRESSORS.values(),
        *DETECTORS.values(),
        *(d for _, d in MULTINOMIALS.values()),
    )
    declared = {
        (kind.__name__, name)
        for kind in map(m.__dict__.get, m.__all__)
        if isinstance(kind, type) and issubclass(kind, Declaration) and kind not in (Declaration, m.Pipeline)
        for name in ("", *inspect.signature(kind).parameters)  # "": the class itself, which may have none
    }
    assert declared - {seen for each in everything for seen in changed_in(each)} == set()


def changed_in(declared: Declaration) -> Iterator[tuple[str, str]]:
    """Class and name of each parameter that is not at its default, in a declaration and all parts of it."""
    for step in steps_of(declared):
        kind = type(step).__name__
        yield kind, ""
        for field in fields(step):  # type: ignore[arg-type]
            value = getattr(step, field.name)
            if value != field.default:
                yield kind, field.name
            if isinstance(value, Declaration):
                yield from changed_in(value)


def test_the_twin_of_these_tests_is_rivers_own_pipeline() -> None:
    """River's Pipeline gives the scores that the twin takes from single steps, in both orders."""
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


@pytest.mark.parametrize("scale_at", m.ScaleAt)
def test_labels_that_come_later_teach_what_they_teach_river(scale_at: m.ScaleAt) -> None:
    """Each label comes 500 events behind its event; the kept raw row is learned from then."""
    stream = STREAMS["shuttle"]()
    declared = S | m.LogisticRegression()
    model = m.compile_model(declared, stream.layout, m.BINARY, scale_at)
    river = RiverTwin(declared, m.BINARY, scale_at)
    scores, expected = [], []
    for first in range(0, 4000, 250):
        scores.append(model.score(rows_of(stream.batch, first, first + 250)).scores)
        expected += [river.score(x) for x in stream.dicts[first : first + 250]]
        if first >= 500:
            late = slice(first - 500, first - 250)
            model.learn(rows_of(stream.batch, late.start, late.stop), stream.binary[late])
            for x, target in zip(stream.dicts[late], stream.binary[late], strict=True):
                if not np.isnan(target):
                    river.learn(x, float(target))
    np.testing.assert_allclose(np.concatenate(scores), np.array(expected), rtol=1e-9, atol=1e-15)
