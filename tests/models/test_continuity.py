"""The same bits however the stream is cut, and wherever it is stopped and continued."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import models as m
from stream.errors import TaskCorrupted
from stream.kernels.pages import PAGE_ROWS
from stream.models.declaration import Declaration
from stream.records import Floats
from tests.models.streams import rows_of, texts

ROWS = 300
MODELS: dict[str, tuple[Declaration, m.Task]] = {
    "logistic": (m.StandardScaler() | m.LogisticRegression(m.Adam(), l1=0.001), m.BINARY),
    "linear": (m.MinMaxScaler(window_size=20) | m.LinearRegression(m.FTRL()), m.REGRESSION),
    "pa": (m.StandardScaler(window_size=9) | m.PAClassifier(), m.BINARY),
    "gaussian": (m.GaussianNB(), m.multiclass(("a", "b", "c", "d"))),
    "multinomial": (m.MultinomialNB(), m.BINARY),
    "trees": (m.MinMaxScaler() | m.HalfSpaceTrees(n_trees=3, height=4, window_size=40, seed=5), m.ANOMALY),
}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


def run(model: m.Model, targets: Floats, cuts: list[int]) -> bytes:
    """Everything the model says about the rows between the cuts, batch by batch."""
    said = []
    for first, last in pairwise(cuts):
        scored = model.score_and_learn(rows_of(texts().batch, first, last), targets[first:last])
        said.append((scored.scores, scored.top_features, scored.top_contributions))
    return b"".join(np.concatenate(part).tobytes() for part in zip(*said, strict=True))


def state(model: m.Model) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.arrays().items()}


def new(name: str) -> tuple[m.Model, Floats]:
    declared, task = MODELS[name]
    targets = {m.REGRESSION: texts().numbers, m.BINARY: texts().binary, m.ANOMALY: texts().binary}
    return m.compile_model(declared, texts().layout, task), targets.get(task, texts().classes)


@EVERY_MODEL
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, ROWS), max_size=8))
def test_every_split_into_batches_gives_the_same_bits(name: str, cuts: list[int]) -> None:
    """Labelled and unlabelled rows, in batches of any size, empty ones too."""
    whole, targets = new(name)
    parts, _ = new(name)
    assert run(whole, targets, [0, ROWS]) == run(parts, targets, [0, *sorted(cuts), ROWS])
    assert state(whole) == state(parts)


@EVERY_MODEL
@settings(max_examples=10, deadline=None)
@given(at=st.integers(0, ROWS))
def test_saved_loaded_and_continued_equals_continued(name: str, at: int) -> None:
    """The arrays of a model hold all that it goes on from."""
    whole, targets = new(name)
    run(whole, targets, [0, at])
    saved = {key: array.copy() for key, array in whole.arrays().items()}
    loaded, _ = new(name)
    loaded.load(saved)
    assert run(whole, targets, [at, ROWS]) == run(loaded, targets, [at, ROWS])
    assert state(whole) == state(loaded)


@EVERY_MODEL
def test_state_of_another_shape_is_refused(name: str) -> None:
    """Corrupt state is named, and nothing of it is taken over."""
    model, targets = new(name)
    run(model, targets, [0, 50])
    before = state(model)
    wrong = {key: np.zeros((*array.shape, 2)) for key, array in model.arrays().items()}
    with pytest.raises(TaskCorrupted, match=r"state of a model: scalars is float64.*, expected float64"):
        model.load(wrong)
    with pytest.raises(TaskCorrupted, match="expected"):
        model.load({"weights": wrong["weights"]})
    assert state(model) == before


def test_every_changed_row_of_the_sparse_table_lies_in_a_marked_page() -> None:
    """Snapshots copy again only the pages that are marked."""
    for name in ("logistic", "linear", "pa", "gaussian", "multinomial", "trees"):
        model, targets = new(name)
        table = model.paged()["table"]
        before = table.array.copy()
        run(model, targets, [0, 3])
        changed = np.flatnonzero((table.array != before).any(axis=1))
        assert len(changed)
        assert table.marks[changed // PAGE_ROWS].all(), name


def test_read_only_and_strided_rows_are_scored_like_others() -> None:
    """Feature rows that were kept in a buffer may be neither writable nor contiguous."""
    one, targets = new("logistic")
    other, _ = new("logistic")
    batch = rows_of(texts().batch, 0, 50)
    wide = np.repeat(batch.dense, 2, axis=1)[:, ::2]
    frozen = targets[:50].copy()
    frozen.flags.writeable = False
    expected = one.score_and_learn(batch, targets[:50]).scores
    given_rows = type(batch)(wide, batch.indptr, batch.indices, batch.values)
    assert np.array_equal(other.score_and_learn(given_rows, frozen).scores, expected)
