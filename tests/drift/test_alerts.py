"""Which detections become alerts, how severe they are, and how they read."""

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from stream.drift import (
    ADWIN,
    DDM,
    KSWIN,
    AlertPolicy,
    Detection,
    Detections,
    PageHinkley,
    Severity,
    compile_detector,
    describe,
    effect_size,
    severity,
)
from stream.errors import ConfigError

FOUND = Detection(
    row=40,
    signal=0,
    before=0.0312,
    after=0.1118,
    spread=0.2,
    statistic=0.0806,
    placed_offset=48_213,
    placed_time_ms=1_767_608_520_000,
    size_before=40_000,
    size_after=600,
    seen=40_600,
)


def batch_of(*entries: Detection) -> Detections:
    return Detections(
        **{
            name: np.array([getattr(entry, name) for entry in entries])
            for name in Detections.__dataclass_fields__  # the fields of both are the same
        }
    )


def test_the_sentence_says_what_where_and_when() -> None:
    """As an operator reads it."""
    assert describe("card-fraud/champion", 2, "error", ADWIN(), FOUND) == (
        "card-fraud/champion, partition 2: the error rose from 0.031 to 0.112 after offset 48,213 "
        "(2026-01-05 10:22 UTC; ADWIN, delta 0.002)"
    )


@pytest.mark.parametrize(
    ("declaration", "changes", "expected"),
    [
        (PageHinkley(), {"before": 1234.5, "after": 99.5}, "fell from 1.23e+03 to 99.5 "),
        (
            DDM(),
            {"before": 0.0},
            "rose from 0 to 0.112 after offset 48,213 (2026-01-05 10:22 UTC; DDM, drift threshold 3)",
        ),
        (ADWIN(), {"before": 0.10001, "after": 0.10002}, "rose from 0.10001 to 0.10002 "),
        (ADWIN(), {"placed_time_ms": 10**18}, "(1000000000000000000 ms since 1970; ADWIN"),
        (KSWIN(), {"statistic": 0.6}, "changed its distribution (distance 0.60, mean 0.031 to 0.112) after"),
    ],
)
def test_sentences_of_other_changes(declaration: ADWIN, changes: dict[str, Any], expected: str) -> None:
    """Falls, large and close numbers, odd times, and a change that is not the mean's."""
    assert expected in describe("app", 0, "score", declaration, replace(FOUND, **changes))


def test_severity_grows_with_the_effect() -> None:
    """The same rise among widely, less widely and narrowly spread values, and between constants."""
    effects = [effect_size(ADWIN(), replace(FOUND, spread=spread)) for spread in (0.5, 0.2, 0.1, 0.0)]
    assert effects == pytest.approx([0.1612, 0.403, 0.806, math.inf])
    assert [severity(ADWIN(), replace(FOUND, spread=spread)) for spread in (0.5, 0.2, 0.1, 0.0)] == [
        Severity.INFO,
        Severity.WARNING,
        Severity.CRITICAL,
        Severity.CRITICAL,
    ]
    assert effect_size(ADWIN(), replace(FOUND, after=FOUND.before, spread=0.0)) == 0.0


def test_the_effect_of_a_changed_distribution() -> None:
    """Two normal distributions one standard deviation apart are 0.3829 apart: the effect is 1."""
    assert effect_size(KSWIN(), replace(FOUND, statistic=0.382925)) == pytest.approx(1.0, abs=1e-5)
    assert effect_size(KSWIN(), replace(FOUND, statistic=1.0)) == math.inf


def test_small_early_and_welcome_changes_are_no_alerts() -> None:
    """Of five detections only the large late rises pass, and a fall where a fall is news too."""
    detections = batch_of(
        FOUND,
        replace(FOUND, spread=5.0),
        replace(FOUND, seen=2_000),
        replace(FOUND, before=0.3),
        replace(FOUND, before=0.3, signal=1),
    )
    chosen = AlertPolicy().select(ADWIN(), detections, only_rises=np.array([True, False]))
    assert chosen.tolist() == [True, False, False, False, True]
    nothing = compile_detector(ADWIN(), 2).update(np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert AlertPolicy().select(ADWIN(), nothing, np.array([True, False])).tolist() == []


def test_signals_share_the_significance() -> None:
    """ADWIN's delta and KSWIN's alpha are divided by 13 signals, unless the policy says otherwise."""
    policy = AlertPolicy()
    assert policy.tighten(ADWIN(delta=0.0026), 13) == ADWIN(delta=0.0026 / 13)
    assert policy.tighten(KSWIN(alpha=0.0052), 13) == KSWIN(alpha=0.0052 / 13)
    assert policy.tighten(DDM(), 13) == DDM()
    assert AlertPolicy(share_delta=False).tighten(ADWIN(), 13) == ADWIN()


def test_no_false_alarm_on_stationary_signals() -> None:
    """Twenty seeds of 25,000 events with 13 signals of six kinds: errors, scores, heavy tails, steps, constants."""
    policy = AlertPolicy()
    declaration = policy.tighten(ADWIN(), 13)
    offsets = np.arange(25_000)
    for seed in range(20):
        draw = np.random.default_rng(seed)
        errors = (draw.random((25_000, 4)) < [0.01, 0.03, 0.1, 0.4]).astype(float)
        scores = draw.beta(0.3, 5.0, (25_000, 2))
        amounts = draw.lognormal(3.0, 1.2, (25_000, 3))
        steps = draw.poisson(2.0, (25_000, 3)).astype(float)
        values = np.column_stack([errors, scores, amounts, steps, np.full(25_000, 0.1)])
        detections = compile_detector(declaration, 13, scaled=range(6, 13)).update(values, offsets, offsets)
        assert not policy.select(declaration, detections, np.zeros(13, np.bool_)).any(), seed


@pytest.mark.parametrize("parameter", ["min_effect", "warm_up"])
def test_a_policy_out_of_range_is_refused(parameter: str) -> None:
    """The text names the parameter."""
    with pytest.raises(ConfigError, match=f"AlertPolicy: {parameter}=-1, but it must not be negative"):
        AlertPolicy(**cast(Any, {parameter: -1}))
