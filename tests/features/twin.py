"""Keyed features once more, as slow and as obvious as possible: every event is kept, every value computed anew."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from river import stats, utils

from tests.features.events import Event


class KeyedTwin:
    """What a feature of one expression says about each event, from the list of all events that entered before it."""

    def __init__(self, lateness_ms: int, *, key: tuple[str, ...] = ("card",), include_current: bool = False) -> None:
        self._lateness_ms = lateness_ms
        self._key = key
        self._include_current = include_current
        self._now = -math.inf
        self._entered: dict[Any, list[Event]] = defaultdict(list)

    def histories(self, events: Sequence[Event]) -> list[tuple[float, float, list[Event] | None]]:
        """For each event: stream time, the key's own time, and what entered for its key; None for a null key."""
        return [self._next(event) for event in events]

    def _next(self, event: Event) -> tuple[float, float, list[Event] | None]:
        self._now = max(self._now, event["time"])
        key = tuple(event.get(name) for name in self._key)
        if None in key:
            return self._now, event["time"], None
        before = list(self._entered[key])
        if event["time"] >= self._now - self._lateness_ms:
            self._entered[key].append(event)
        seen = list(self._entered[key]) if self._include_current else before
        return self._now, max([event["time"], *(other["time"] for other in before)]), seen


def window(stat: str, column: str, window_ms: int, events: Sequence[Event], twin: KeyedTwin) -> list[float]:
    """An exact window (now - window, now]."""
    results = []
    for now, _, seen in twin.histories(events):
        if seen is None:
            results.append(math.nan)
            continue
        values = [e[column] for e in seen if e.get(column) is not None and e["time"] > now - window_ms]
        results.append(_statistic(stat, values))
    return results


def _statistic(stat: str, values: list[Any]) -> float:
    if stat == "count":
        return float(len(values))
    if stat == "nunique":
        return float(len(set(values)))
    if stat == "sum":
        return math.fsum(values)
    if not values:
        return math.nan
    if stat == "mean":
        return math.fsum(values) / len(values)
    if stat in ("min", "max"):
        return float(min(values) if stat == "min" else max(values))
    if len(values) < 2:
        return math.nan
    variance = float(statistics.variance([Fraction(value) for value in values]))
    return variance if stat == "var" else math.sqrt(variance)


def ewm(stat: str, column: str, halflife_ms: int, events: Sequence[Event], twin: KeyedTwin) -> list[float]:
    """Weights 2 ** (-age / halflife), where age is counted from the key's latest event."""
    results = []
    for _, key_now, seen in twin.histories(events):
        if seen is None:
            results.append(math.nan)
            continue
        known = [e for e in seen if e.get(column) is not None]
        weights = [2.0 ** ((e["time"] - key_now) / halflife_ms) for e in known]
        values = [float(e[column]) for e in known]
        total = math.fsum(weights)
        weighted = math.fsum(w * x for w, x in zip(weights, values, strict=True))
        if stat in ("count", "sum"):
            results.append(total if stat == "count" else weighted)
        elif not known:
            results.append(math.nan)
        else:
            mean = weighted / total
            spread = math.fsum(w * (x - mean) ** 2 for w, x in zip(weights, values, strict=True)) / total
            results.append(mean if stat == "mean" else spread)
    return results


def since_last(events: Sequence[Event], twin: KeyedTwin) -> list[float]:
    """Seconds since the key's latest event."""
    results = []
    for event, (_, _, seen) in zip(events, twin.histories(events), strict=True):
        times = [other["time"] for other in seen or []]
        results.append(max(0.0, (event["time"] - max(times)) / 1000) if times else math.nan)
    return results


def distance_km(events: Sequence[Event], twin: KeyedTwin, *, as_speed: bool = False) -> list[float]:
    """Great-circle distance from the key's latest known point, by the spherical law of haversines."""
    results = []
    for event, (_, _, seen) in zip(events, twin.histories(events), strict=True):
        points = [other for other in seen or [] if "latitude" in other and "longitude" in other]
        if not points or "latitude" not in event or "longitude" not in event:
            results.append(math.nan)
            continue
        last = max(enumerate(points), key=lambda pair: (pair[1]["time"], pair[0]))[1]
        distance = _haversine_km(last, event)
        passed_h = (event["time"] - last["time"]) / 3_600_000
        results.append(distance if not as_speed else (distance / passed_h if passed_h > 0 else math.nan))
    return results


def _haversine_km(first: Event, second: Event) -> float:
    north_1, north_2 = math.radians(first["latitude"]), math.radians(second["latitude"])
    half_east = math.radians(second["longitude"] - first["longitude"]) / 2
    chord = math.sin((north_2 - north_1) / 2) ** 2 + math.cos(north_1) * math.cos(north_2) * math.sin(half_east) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(min(1.0, chord)))


def river_window(stat: str, column: str, window_ms: int, events: Sequence[Event]) -> list[float]:
    """A second opinion for events in order: River's statistics in rolling windows of time, the event included."""
    make = {"sum": stats.Sum, "mean": stats.Mean, "var": stats.Var}[stat]
    windows: dict[str, Any] = {}
    results = []
    for event in events:
        card = event["card"]
        if card not in windows:
            windows[card] = utils.TimeRolling(make, period=timedelta(milliseconds=window_ms))
        windows[card].update(event[column], t=datetime.fromtimestamp(event["time"] / 1000, UTC).replace(tzinfo=None))
        results.append(float(windows[card].get()))
    return results
