"""Random numbers whose state is an array: xoshiro256++ (Blackman and Vigna 2021), seeded by splitmix64."""

import numpy as np
from numpy.typing import NDArray

from stream.kernels.compile import kernel
from stream.kernels.hashing import mix64, rotate_left

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's increment
_TO_UNIT = 2.0**-53


def new_generator(seed: int, stream: int = 0) -> NDArray[np.uint64]:
    """State of a generator, (4,) uint64. Different streams of one seed do not meet: give one to each user.

    Raises ValueError where seed or stream is not in 0 .. 2**64 - 1.
    """
    for name, value in (("seed", seed), ("stream", stream)):
        if not 0 <= value < 2**64:
            raise ValueError(f"{name} must lie in 0 .. 2**64 - 1, not be {value}")
    state = np.empty(4, dtype=np.uint64)
    seed_generator(state, np.uint64(seed), np.uint64(stream))
    return state


@kernel
def seed_generator(state: NDArray[np.uint64], seed: np.uint64, stream: np.uint64) -> None:
    """Start the generator `state` anew from `seed` and `stream`."""
    counter = seed if stream == np.uint64(0) else seed ^ mix64(stream)
    for i in range(4):
        counter += _GOLDEN
        state[i] = mix64(counter)


@kernel
def next_uint64(state: NDArray[np.uint64]) -> np.uint64:
    """64 random bits."""
    result = rotate_left(state[0] + state[3], 23) + state[0]
    shifted = state[1] << np.uint64(17)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = rotate_left(state[3], 45)
    return result  # type: ignore[no-any-return]


@kernel
def uniform(state: NDArray[np.uint64]) -> float:
    """A float64 in [0, 1), a multiple of 2**-53."""
    return np.int64(next_uint64(state) >> np.uint64(11)) * _TO_UNIT
