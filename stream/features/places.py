"""Expressions over places: distance and speed between consecutive events of a key."""

from typing import Any

from stream.features.expression import Expression, keyed_apply, without_current


def distance_km(latitude: Expression, longitude: Expression, **keyed: Any) -> Expression:
    """Great-circle distance in km from the key's previous point to this one (degrees; haversine, radius 6371.0088 km).

    The previous point is the latest earlier one with both coordinates; null where there is none.
    """
    return keyed_apply("distance_km", (latitude, longitude), without_current("distance_km", keyed))


def speed_kmh(latitude: Expression, longitude: Expression, **keyed: Any) -> Expression:
    """`distance_km` over the time from the previous point; null where no time has passed between them."""
    return keyed_apply("speed_kmh", (latitude, longitude), without_current("speed_kmh", keyed))
