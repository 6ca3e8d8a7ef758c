"""Detectors as a user declares them: River's names, parameters and defaults."""

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import ClassVar

from stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Declaration:
    """What every detector's declaration offers."""

    name: ClassVar[str]

    @property
    def definition(self) -> str:
        """The declaration as text: equal texts mean the same detector."""
        settings = ", ".join(f"{key}={value!r}" for key, value in asdict(self).items())
        return f"{self.name}({settings})"

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the definition: state may be kept while it stays."""
        return hashlib.sha256(self.definition.encode()).hexdigest()

    @property
    def parameters(self) -> dict[str, float]:
        """The numeric parameters, as an alert carries them."""
        return {key: float(value) for key, value in asdict(self).items() if not isinstance(value, str)}

    def _require(self, holds: bool, parameter: str, rule: str) -> None:
        if not holds:
            raise ConfigError(f"{self.name}: {parameter}={getattr(self, parameter)!r}, but {rule}.")

    def _require_integers(self, *parameters: str) -> None:
        for parameter in parameters:
            value = getattr(self, parameter)
            self._require(isinstance(value, int) and not isinstance(value, bool), parameter, "it must be an integer")


@dataclass(frozen=True, slots=True)
class ADWIN(Declaration):
    """Adaptive windowing: detects a change of the mean of any signal (Bifet and Gavaldà, SDM 2007).

    Detections are River's. A detection's `statistic` is the distance between the means of both parts; the change is
    placed at the boundary between buckets that is most likely. Buckets of old values are long, up to a quarter of their
    age (`max_buckets - 1` in general): so exactly is a change placed.

    Args:
        delta: Significance: smaller is more cautious. Between 0 and 1.
        clock: Values between two checks. At least 1.
        max_buckets: Buckets kept of each size: more are finer and slower. At least 2.
        min_window_length: Fewest values on either side of a cut. At least 1.
        grace_period: No check before the window holds more values than this.

    Raises:
        ConfigError: A parameter is out of range; the text names it and the rule.
    """

    name: ClassVar[str] = "ADWIN"

    delta: float = 0.002
    clock: int = 32
    max_buckets: int = 5
    min_window_length: int = 5
    grace_period: int = 10

    def __post_init__(self) -> None:
        self._require_integers("clock", "max_buckets", "min_window_length", "grace_period")
        self._require(0.0 < self.delta < 1.0, "delta", "it must lie between 0 and 1")
        self._require(self.clock >= 1, "clock", "it must be at least 1")
        self._require(2 <= self.max_buckets <= 64, "max_buckets", "it must be 2 to 64")
        self._require(self.min_window_length >= 1, "min_window_length", "it must be at least 1")
        self._require(self.grace_period >= 0, "grace_period", "it must not be negative")


@dataclass(frozen=True, slots=True)
class DDM(Declaration):
    """Drift detection method: the error rate rises above its minimum (Gama and others, SBIA 2004).

    Values are errors, 0 or 1; others are clipped to 0 to 1. It sees rises only. `before` is the error rate at its
    minimum since the last detection, `after` the rate in the warning zone; `statistic` is the rate of all values since
    the last detection and its standard error, which was above the limit. The change is placed at the start of the
    warning zone.

    Args:
        warm_start: No detection before more values than this. At least 1.
        warning_threshold: Standard errors above the minimum where the warning zone begins.
        drift_threshold: Standard errors above the minimum where a change is detected.

    Raises:
        ConfigError: A parameter is out of range; the text names it and the rule.
    """

    name: ClassVar[str] = "DDM"

    warm_start: int = 30
    warning_threshold: float = 2.0
    drift_threshold: float = 3.0

    def __post_init__(self) -> None:
        self._require_integers("warm_start")
        self._require(self.warm_start >= 1, "warm_start", "it must be at least 1")
        self._require(self.warning_threshold > 0.0, "warning_threshold", "it must be positive")
        self._require(
            self.warning_threshold <= self.drift_threshold < math.inf,
            "drift_threshold",
            "it must be finite and not below warning_threshold",
        )


@dataclass(frozen=True, slots=True)
class PageHinkley(Declaration):
    """Page-Hinkley: the cumulative sum of deviations from the mean leaves its extreme (Page, Biometrika 1954).

    `statistic` is the distance of the cumulative sum from its extreme, which was above `threshold`. The change is
    placed behind the extreme.

    Args:
        min_instances: No detection before this many values. At least 1.
        delta: Deviation from the mean that is tolerated, in the signal's unit.
        threshold: Distance from the extreme at which a change is detected.
        alpha: Forgetting factor of the cumulative sum, above 0, at most 1.
        mode: "up", "down" or "both": which changes of the mean count.

    Raises:
        ConfigError: A parameter is out of range; the text names it and the rule.
    """

    name: ClassVar[str] = "PageHinkley"

    min_instances: int = 30
    delta: float = 0.005
    threshold: float = 50.0
    alpha: float = 1 - 0.0001
    mode: str = "both"

    def __post_init__(self) -> None:
        self._require_integers("min_instances")
        self._require(self.min_instances >= 1, "min_instances", "it must be at least 1")
        self._require(0.0 <= self.delta < math.inf, "delta", "it must be finite and not negative")
        self._require(0.0 < self.threshold < math.inf, "threshold", "it must be finite and positive")
        self._require(0.0 < self.alpha <= 1.0, "alpha", "it must be above 0 and at most 1")
        self._require(self.mode in ("up", "down", "both"), "mode", 'it must be "up", "down" or "both"')


@dataclass(frozen=True, slots=True)
class KSWIN(Declaration):
    """Kolmogorov-Smirnov windowing: any change of the distribution (Raab, Heusinger, Schleif, Neurocomputing 2020).

    With each value the newest `stat_size` values are compared with as many drawn from the older ones in the window.
    `statistic` is the largest distance between both empirical distributions; a detection needs it above 0.1 and its
    exact p-value at most `alpha`. The change is placed at the start of the newest values.

    One test per value makes false alarms certain on long streams: expect about one in 1/alpha values, somewhat fewer
    because neighbouring tests overlap.

    Args:
        alpha: Significance of each test, above 0 and below 1.
        window_size: Values in the window: at least twice `stat_size`.
        stat_size: Newest values that are compared. 1 to 10,000.
        seed: Of the draws. Each signal draws from a stream of its own.

    Raises:
        ConfigError: A parameter is out of range; the text names it and the rule.
    """

    name: ClassVar[str] = "KSWIN"

    alpha: float = 0.005
    window_size: int = 100
    stat_size: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        self._require_integers("window_size", "stat_size", "seed")
        self._require(0.0 < self.alpha < 1.0, "alpha", "it must lie between 0 and 1")
        self._require(1 <= self.stat_size <= 10_000, "stat_size", "it must be 1 to 10,000")
        self._require(
            self.window_size >= 2 * self.stat_size,
            "window_size",
            f"it must be at least twice stat_size ({self.stat_size}), so that as many older values can be drawn",
        )
        self._require(0 <= self.seed < 2**63, "seed", "it must be 0 to 2^63 - 1")
