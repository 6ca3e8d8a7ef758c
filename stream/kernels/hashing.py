"""Hashes: XXH64 for byte strings, a finaliser and a combiner for 64-bit values, and that of Kafka's partitions."""

import numpy as np
from numpy.typing import NDArray

from stream.kernels.compile import kernel
from stream.kernels.memory import load_uint32, load_uint64

# The five primes of XXH64 (xxHash specification 0.1.1).
_PRIME_1 = np.uint64(0x9E3779B185EBCA87)
_PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_3 = np.uint64(0x165667B19E3779F9)
_PRIME_4 = np.uint64(0x85EBCA77C2B2AE63)
_PRIME_5 = np.uint64(0x27D4EB2F165667C5)

# Constants of splitmix64's finaliser (Steele, Lea, Flood 2014; variant 13 of Stafford) and its increment, 2**64 / phi.
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

# Seed and factor of Kafka's MurmurHash2.
_MURMUR_SEED = np.uint64(0x9747B28C)
_MURMUR_FACTOR = np.uint64(0x5BD1E995)


@kernel
def rotate_left(value: np.uint64, bits: int) -> np.uint64:
    """`value` turned left by `bits`, 1 to 63."""
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@kernel
def mix64(value: np.uint64) -> np.uint64:
    """A permutation of the 64-bit values in which every input bit moves every output bit (splitmix64's finaliser)."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


@kernel
def combine(first: np.uint64, second: np.uint64) -> np.uint64:
    """One hash of two, in which their order matters: for composite keys."""
    return mix64(mix64(first + _GOLDEN) + second)  # type: ignore[no-any-return]


@kernel
def _round(accumulator: np.uint64, value: np.uint64) -> np.uint64:
    return rotate_left(accumulator + value * _PRIME_2, 31) * _PRIME_1  # type: ignore[no-any-return]


@kernel
def _hash_stripes(data: NDArray[np.uint8], start: int, end: int, seed: np.uint64) -> np.uint64:
    """The part of XXH64 that takes 32 bytes at a time."""
    one, two = seed + _PRIME_1 + _PRIME_2, seed + _PRIME_2
    three, four = seed, seed - _PRIME_1
    for position in range(start, end - 31, 32):
        one = _round(one, load_uint64(data, position))
        two = _round(two, load_uint64(data, position + 8))
        three = _round(three, load_uint64(data, position + 16))
        four = _round(four, load_uint64(data, position + 24))
    total = rotate_left(one, 1) + rotate_left(two, 7) + rotate_left(three, 12) + rotate_left(four, 18)
    for accumulator in (one, two, three, four):
        total = (total ^ _round(np.uint64(0), accumulator)) * _PRIME_1 + _PRIME_4
    return total  # type: ignore[no-any-return]


@kernel
def hash_bytes(data: NDArray[np.uint8], start: int, end: int, seed: int) -> np.uint64:
    """XXH64 of data[start:end], a contiguous uint8 array. Seed 0 is the usual one; others give independent hashes."""
    length = end - start
    position = start
    if length >= 32:
        value = _hash_stripes(data, start, end, np.uint64(seed))
        position += length & ~31
    else:
        value = np.uint64(seed) + _PRIME_5
    value += np.uint64(length)
    while position + 8 <= end:
        value ^= _round(np.uint64(0), load_uint64(data, position))
        value = rotate_left(value, 27) * _PRIME_1 + _PRIME_4
        position += 8
    if position + 4 <= end:
        value ^= load_uint32(data, position) * _PRIME_1
        value = rotate_left(value, 23) * _PRIME_2 + _PRIME_3
        position += 4
    while position < end:
        value ^= np.uint64(data[position]) * _PRIME_5
        value = rotate_left(value, 11) * _PRIME_1
        position += 1
    value = (value ^ (value >> np.uint64(33))) * _PRIME_2
    value = (value ^ (value >> np.uint64(29))) * _PRIME_3
    return value ^ (value >> np.uint64(32))  # type: ignore[no-any-return]


@kernel
def murmur2(data: NDArray[np.uint8], start: int, end: int) -> int:
    """MurmurHash2 of data[start:end] as Kafka's Java client computes it (org.apache.kafka.common.utils.Utils.murmur2).

    0 to 2**32 - 1: Java's int, unsigned. Its partition is `(murmur2 & 0x7fffffff) % partitions`.
    """
    low = np.uint64(0xFFFFFFFF)
    hashed = (_MURMUR_SEED ^ np.uint64(end - start)) & low
    position = start
    while position + 4 <= end:
        word = load_uint32(data, position) * _MURMUR_FACTOR & low
        word = (word ^ (word >> np.uint64(24))) * _MURMUR_FACTOR & low
        hashed = (hashed * _MURMUR_FACTOR & low) ^ word
        position += 4
    if position < end:
        for place in range(position, end):
            hashed ^= np.uint64(data[place]) << np.uint64(8 * (place - position))
        hashed = hashed * _MURMUR_FACTOR & low
    hashed = (hashed ^ (hashed >> np.uint64(13))) * _MURMUR_FACTOR & low
    return np.int64(hashed ^ (hashed >> np.uint64(15)))  # type: ignore[return-value]
