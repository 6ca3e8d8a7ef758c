"""A River model in a snapshot: marked as a pickle, and refused where another version of River wrote it."""

from dataclasses import replace

import pytest
import river
from river import naive_bayes

from stream import App, col, models
from stream.app import compile_app
from stream.engine.loading import load_ahead
from stream.engine.plan import Plan
from stream.engine.protocol import TaskFound
from stream.engine.snapshot import Checkpoint
from stream.engine.snapshot_format import decode_manifest, describe, encode_manifest
from stream.errors import ConfigError
from tests.engine.build import EVENT_SCHEMA, T0, batch, payments, task_of


def declare() -> Plan:
    """A River model beside a compiled one."""
    app = App("app")
    events = app.events("payments", schema=EVENT_SCHEMA, key="card", time="at", id="id", label="fraud")
    events.features(amount=col("amount").log1p())
    app.model("champion", models.LogisticRegression())
    app.model("bayes", naive_bayes.GaussianNB())
    return compile_app(app, {})


def taken() -> Checkpoint:
    """A checkpoint after some payments."""
    task = task_of(declare())
    task.process(batch("payments", payments(50, has_label=True), 1), T0)
    task.close_cycle()
    return task.checkpoint(T0)


def with_river(checkpoint: Checkpoint, version: str) -> Checkpoint:
    """The same, its pickle replaced by what no version can read, said to be of this one."""
    arrays = {**checkpoint.arrays, "model/bayes/pickle": checkpoint.arrays["model/bayes/pickle"][:3]}
    return replace(checkpoint, arrays=arrays, facts={**checkpoint.facts, "pickled/model/bayes": version})


def test_the_manifest_says_which_arrays_are_pickles_and_of_which_river() -> None:
    """And of no others."""
    manifest = decode_manifest(encode_manifest(describe(taken(), ())))
    marked = {name: fact for name, fact in manifest.facts.items() if name.startswith("pickled/")}
    assert marked == {"pickled/model/bayes": river.__version__}


def test_a_pickle_of_another_river_is_refused_unread_with_what_to_do() -> None:
    """Whatever it holds: it is not unpickled."""
    with pytest.raises(
        ConfigError, match=r"model/bayes was written by River 0\.19\.1.*install river==0\.19\.\*"
    ) as told:
        task_of(declare()).load(with_river(taken(), "0.19.1"))
    assert "give the model another name" in str(told.value)


def test_what_was_loaded_ahead_is_gone_on_with() -> None:
    """The state is that of the helper thread, not a second one; a refused one is left to the worker to meet."""
    plan, checkpoint = declare(), taken()
    found = TaskFound(0, {}, (), (checkpoint,), (), {}, {})
    ahead = load_ahead(found, plan)
    assert ahead.loaded is not None
    task = task_of(plan)
    task.load(checkpoint, ahead.loaded)
    assert task.state is ahead.loaded.state
    assert task.checkpoint(T0).arrays["model/champion/scalars"].tolist() == (
        checkpoint.arrays["model/champion/scalars"].tolist()
    )
    refused = replace(found, checkpoints=(with_river(checkpoint, "0.19.1"),))
    assert load_ahead(refused, plan) is refused
    assert load_ahead(replace(found, checkpoints=()), plan).loaded is None
