"""What a user may declare, how it is written down, and what is refused."""

import subprocess
import sys

import pytest

from stream import models as m
from stream.errors import ConfigError
from stream.records import FeatureLayout, SparseGroup

LAYOUT = FeatureLayout(("amount", "hour"), (SparseGroup("merchant", 0, 8),))


def test_a_pipeline_has_a_canonical_text_with_every_parameter() -> None:
    """Defaults are written out, and whole numbers are the same as floats."""
    declared = m.StandardScaler() | m.LogisticRegression(m.AdaGrad(1), l2=0.5)
    assert declared.definition == (
        "StandardScaler(with_std=True, window_size=None) | LogisticRegression(optimizer=AdaGrad(lr=1.0, eps=1e-08), "
        "loss=Log(weight_pos=1.0, weight_neg=1.0), l2=0.5, l1=0.0, intercept_init=0.0, intercept_lr=0.01, "
        "clip_gradient=1000000000000.0, initializer=Zeros())"
    )
    assert declared.digest == (m.StandardScaler() | m.LogisticRegression(m.AdaGrad(1.0), l2=0.5)).digest
    assert declared.digest != (m.StandardScaler() | m.LogisticRegression(m.AdaGrad(1), l2=0.25)).digest


def test_a_model_of_another_layout_task_or_order_has_another_digest() -> None:
    """State fits only where all that decides the arithmetic is the same."""
    declared = m.StandardScaler() | m.GaussianNB()
    models = [
        m.compile_model(declared, LAYOUT, m.BINARY),
        m.compile_model(declared, LAYOUT, m.BINARY, m.ScaleAt.LABEL),
        m.compile_model(declared, LAYOUT, m.multiclass(("a", "b"))),
        m.compile_model(declared, FeatureLayout(("amount",), ()), m.BINARY),
    ]
    assert len({model.digest for model in models}) == 4
    assert m.compile_model(declared, LAYOUT, m.BINARY).digest == models[0].digest


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (
            lambda: m.LogisticRegression(penalty=1),  # type: ignore[call-arg]
            "Its parameters are: optimizer, loss, l2, l1",
        ),
        (lambda: m.LogisticRegression(l1=0.1, l2=0.1), "l1 and l2 exclude each other"),
        (lambda: m.LogisticRegression(m.FTRL(), l1=0.1), "give l1 to FTRLProximal itself"),
        (lambda: m.LogisticRegression(loss=m.Squared()), "LogisticRegression.loss is Squared"),
        (lambda: m.LogisticRegression(clip_gradient=float("inf")), "above 0 and at most 1e+12"),
        (
            lambda: m.LogisticRegression(optimizer=0.1),  # type: ignore[arg-type]
            "expected one of Optimizer",
        ),
        (lambda: m.SGD(-0.1), "SGD.lr is -0.1: expected a finite number at least 0"),
        (lambda: m.StandardScaler(window_size=0), "expected an integer from 1 to 100000"),
        (lambda: m.MultinomialNB(alpha=0), "MultinomialNB.alpha is 0: expected a finite number above 0"),
        (lambda: m.HalfSpaceTrees(), "HalfSpaceTrees.seed is None: give a number"),
        (lambda: m.HalfSpaceTrees(seed=1, limits={"hour": (24.0, 0.0)}), "expected a lower, then an upper"),
        (lambda: m.PAClassifier(mode=3), "expected an integer from 0 to 2"),
        (lambda: m.StandardScaler() | "LogisticRegression", "expected a declaration of stream.models"),
        (lambda: m.multiclass(("a", "a")), "at least two different classes"),
    ],
)
def test_a_mistaken_parameter_is_an_error_at_declaration(declare, text) -> None:  # type: ignore[no-untyped-def]
    """The message names the parameter, what it is, and what was expected."""
    with pytest.raises(ConfigError) as error:
        declare()
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("declared", "task", "text"),
    [
        (m.LogisticRegression(), m.REGRESSION, "cannot predict a regression target: it is made for binary"),
        (m.LogisticRegression(), m.multiclass(("a", "b", "c")), "Take GaussianNB or MultinomialNB"),
        (m.LinearRegression(), m.BINARY, "Take LogisticRegression"),
        (m.GaussianNB(), m.ANOMALY, "Take HalfSpaceTrees"),
        (m.StandardScaler(), m.BINARY, "must end in an estimator"),
        (m.GaussianNB() | m.LogisticRegression(), m.BINARY, "only scalers come before the one estimator"),
        (m.StandardScaler() | m.MultinomialNB(), m.BINARY, "makes negative values of counts"),
        (m.HalfSpaceTrees(seed=1, limits={"day": (0.0, 1.0)}), m.BINARY, "limits names day"),
        ("LogisticRegression", m.BINARY, "is no model"),
    ],
)
def test_what_makes_no_sense_together_is_refused(declared: object, task: m.Task, text: str) -> None:
    """A model is compiled for a task it can do, from steps that follow one another."""
    with pytest.raises(ConfigError) as error:
        m.compile_model(declared, LAYOUT, task)
    assert text in str(error.value)


def test_sparse_groups_must_follow_one_another() -> None:
    """Contributions are summed by group, so that an index belongs to one."""
    layout = FeatureLayout((), (SparseGroup("word", 0, 8), SparseGroup("country", 6, 4)))
    with pytest.raises(ConfigError, match="'country' starts at 6 with 4 indices"):
        m.compile_model(m.LogisticRegression(), layout, m.BINARY)


def test_a_misspelt_model_is_answered_with_near_names() -> None:
    """Names come from here and from River."""
    with pytest.raises(AttributeError, match="did you mean HoeffdingTreeClassifier"):
        m.HoeffdingTreClassifier  # noqa: B018


def test_compiled_models_do_not_import_river() -> None:
    """River's import takes seconds, which an app of compiled models alone must not wait for."""
    program = (
        "import sys; from stream import models as m; from stream.records import FeatureLayout\n"
        "m.compile_model(m.StandardScaler() | m.LogisticRegression(), FeatureLayout(('a',), ()), m.BINARY)\n"
        "assert not any(name.split('.')[0] == 'river' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)
