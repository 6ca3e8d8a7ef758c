"""Distance between two points of the earth."""

import math

from stream.kernels import kernel
from stream.kernels.elementary import atan2, cos, sin

_EARTH_DIAMETER_KM = 2 * 6371.0088  # twice the mean radius (IUGG)
_RADIANS = math.pi / 180


@kernel
def haversine_km(latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> float:
    """Great-circle distance in km between two points in degrees (Sinnott, "Virtues of the Haversine", 1984)."""
    half_north = sin((latitude_2 - latitude_1) * (_RADIANS / 2))
    half_east = sin((longitude_2 - longitude_1) * (_RADIANS / 2))
    chord = half_north * half_north + cos(latitude_1 * _RADIANS) * cos(latitude_2 * _RADIANS) * half_east * half_east
    return _EARTH_DIAMETER_KM * atan2(math.sqrt(chord), math.sqrt(max(0.0, 1.0 - chord)))  # type: ignore[no-any-return]
