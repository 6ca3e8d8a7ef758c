"""Streaming real-time inference on Kafka with exactly-once online learning.

`App`, `col` and `udf`, and the modules `models` and `drift`, are what a declaration is written with. They are imported
when they are first asked for, so that `stream --help` does not wait for numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream import drift as drift
    from stream import models as models
    from stream.app import App as App
    from stream.features import col as col
    from stream.features import distance_km as distance_km
    from stream.features import lit as lit
    from stream.features import speed_kmh as speed_kmh
    from stream.features import udf as udf
    from stream.features import when as when

_HOMES = {
    "App": "stream.app",
    "col": "stream.features",
    "distance_km": "stream.features",
    "lit": "stream.features",
    "speed_kmh": "stream.features",
    "udf": "stream.features",
    "when": "stream.features",
}

__all__ = ["App", "col", "distance_km", "drift", "lit", "models", "speed_kmh", "udf", "when"]


def __getattr__(name: str) -> Any:
    if name in ("drift", "models"):
        return import_module(f"stream.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'stream' has no attribute {name!r}")
