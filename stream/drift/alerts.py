"""When a detection is worth an alert, how severe it is, and the sentence that says so.

A detector on one stationary signal is wrong now and then; many signals times many partitions make that certain. Four
controls keep alerts believable: the detectors of one task share their significance, a change must have a size, a
signal must have settled, and an error that falls is no trouble. docs/drift.md has what each of them brings.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from statistics import NormalDist

import numpy as np

from stream.drift.declarations import ADWIN, KSWIN, Declaration
from stream.drift.detections import Detection, Detections
from stream.errors import ConfigError
from stream.records import Bools


class Severity(Enum):
    """How much a change matters, by its effect size (see `effect_size`)."""

    INFO = "INFO"  # below 0.2: hardly visible among the values
    WARNING = "WARNING"  # 0.2 to 0.5: a small effect, after Cohen
    CRITICAL = "CRITICAL"  # 0.5 and above: a medium or large one


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """What a detection must be to become an alert. Detectors go on as if there were no policy.

    Args:
        share_delta: Divide the significance (ADWIN's delta, KSWIN's alpha) by the number of signals, so that it holds
            for all signals together (Bonferroni) and not for each.
        min_effect: Smallest effect size that is worth an alert. See `effect_size`.
        warm_up: Values of a signal before its first alert: a model that still learns changes its error and its score.

    Raises:
        ConfigError: A parameter is negative; the text names it.
    """

    share_delta: bool = True
    min_effect: float = 0.1
    warm_up: int = 2_000

    def __post_init__(self) -> None:
        if not self.min_effect >= 0.0:
            raise ConfigError(f"AlertPolicy: min_effect={self.min_effect!r}, but it must not be negative.")
        if self.warm_up < 0:
            raise ConfigError(f"AlertPolicy: warm_up={self.warm_up!r}, but it must not be negative.")

    def tighten(self, declaration: Declaration, signals: int) -> Declaration:
        """The declaration to compile for so many signals. DDM and Page-Hinkley have no significance to share."""
        if self.share_delta and isinstance(declaration, ADWIN):
            return replace(declaration, delta=declaration.delta / signals)
        if self.share_delta and isinstance(declaration, KSWIN):
            return replace(declaration, alpha=declaration.alpha / signals)
        return declaration

    def select(self, declaration: Declaration, detections: Detections, only_rises: Bools) -> Bools:
        """Which detections are worth an alert.

        Args:
            declaration: The detector that made them.
            detections: (m,) of one batch.
            only_rises: (signals,): True where a fall is good news (an error) and no alert.

        Returns:
            (m,), True where there is to be an alert.
        """
        effects = np.array([effect_size(declaration, detection) for detection in detections], np.float64)
        is_bad_news = (detections.after > detections.before) | ~only_rises[detections.signal]
        return (effects >= self.min_effect) & (detections.seen > self.warm_up) & is_bad_news


def effect_size(declaration: Declaration, detection: Detection) -> float:
    """How far the signal moved, in standard deviations of its values: Cohen's d.

    KSWIN may find a change that leaves the mean where it was: there it is the shift of a normal distribution that gives
    the same distance between distributions, 2 * inverse normal((1 + distance) / 2).
    """
    if not isinstance(declaration, KSWIN):
        return detection.effect
    return 2.0 * NormalDist().inv_cdf((1.0 + detection.statistic) / 2.0) if detection.statistic < 1.0 else math.inf


def severity(declaration: Declaration, detection: Detection) -> Severity:
    """The severity of a detection; see `Severity` for the limits."""
    effect = effect_size(declaration, detection)
    if effect < 0.2:
        return Severity.INFO
    return Severity.WARNING if effect < 0.5 else Severity.CRITICAL


def describe(source: str, partition: int, signal: str, declaration: Declaration, detection: Detection) -> str:
    """The sentence of an alert.

    Args:
        source: Whose signal it is: "app/model", or "app" for a feature.
        partition: Of the event topic.
        signal: As a person would call it: "error", "score", "feature amount".
        declaration: The detector, as the user declared it.
        detection: What it found.

    Returns:
        For example: "card-fraud/champion, partition 2: the error rose from 0.031 to 0.112 after offset 48,213
        (2026-01-05 10:22 UTC; ADWIN, delta 0.002)".
    """
    place = f"after offset {detection.placed_offset:,} ({_minute(detection.placed_time_ms)}; {_setting(declaration)})"
    before, after = _told_apart(detection.before, detection.after)
    if isinstance(declaration, KSWIN):
        change = f"changed its distribution (distance {detection.statistic:.2f}, mean {before} to {after})"
    else:
        change = f"{'rose' if detection.after > detection.before else 'fell'} from {before} to {after}"
    return f"{source}, partition {partition}: the {signal} {change} {place}"


def _told_apart(before: float, after: float) -> tuple[str, str]:
    """Both numbers with two or three significant digits, or as many more as it takes to tell them apart."""
    for digits in range(3, 17):
        texts = _rounded(before, digits), _rounded(after, digits)
        if texts[0] != texts[1]:
            return texts
    return texts


def _rounded(value: float, digits: int) -> str:
    return f"{value:.3f}" if digits == 3 and 0.01 <= abs(value) < 1.0 else f"{value:.{digits}g}"


def _minute(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return f"{time_ms} ms since 1970"  # a year that datetime does not know


def _setting(declaration: Declaration) -> str:
    """Name and the one parameter that decides how sensitive a detector is."""
    main = {"ADWIN": "delta", "DDM": "drift_threshold", "PageHinkley": "threshold", "KSWIN": "alpha"}[declaration.name]
    return f"{declaration.name}, {main.replace('_', ' ')} {getattr(declaration, main):g}"
