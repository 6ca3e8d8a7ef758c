"""Hashes against published vectors, numbers in byte arrays against struct, random numbers against their authors'."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kernels import kernel
from stream.kernels.hashing import combine, hash_bytes, mix64, murmur2
from stream.kernels.memory import load_uint32, load_uint64
from stream.kernels.random import new_generator, next_uint64, uniform


def raw(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint8)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0xEF46DB3751D8E999), (b"a", 0xD24EC4F1A98C6E5B), (b"abc", 0x44BC2CF5AD770999)],
)
def test_hash_bytes_is_xxh64(data: bytes, expected: int) -> None:
    """Vectors of the xxHash specification, in the middle of other bytes."""
    assert hash_bytes(raw(b"xyz" + data + b"zz"), 3, 3 + len(data), 0) == expected


def xxh64(data: bytes, seed: int) -> int:
    """XXH64 as its specification says it, in whole numbers."""
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5, m = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, 2**64 - 1

    def rot(x: int, r: int) -> int:
        return (x << r | x >> 64 - r) & m

    def step(acc: int, lane: int) -> int:
        return rot(acc + lane * p2 & m, 31) * p1 & m

    at = 0
    if len(data) >= 32:
        acc = [seed + p1 + p2 & m, seed + p2 & m, seed, seed - p1 & m]
        while at + 32 <= len(data):
            acc = [step(a, lane) for a, lane in zip(acc, struct.unpack_from("<4Q", data, at), strict=True)]
            at += 32
        h = rot(acc[0], 1) + rot(acc[1], 7) + rot(acc[2], 12) + rot(acc[3], 18) & m
        for a in acc:
            h = (h ^ step(0, a)) * p1 + p4 & m
    else:
        h = seed + p5 & m
    h = h + len(data) & m
    while at + 8 <= len(data):
        h, at = rot(h ^ step(0, struct.unpack_from("<Q", data, at)[0]), 27) * p1 + p4 & m, at + 8
    if at + 4 <= len(data):
        h, at = rot(h ^ struct.unpack_from("<I", data, at)[0] * p1 & m, 23) * p2 + p3 & m, at + 4
    for byte in data[at:]:
        h = rot(h ^ byte * p5 & m, 11) * p1 & m
    h = (h ^ h >> 33) * p2 & m
    h = (h ^ h >> 29) * p3 & m
    return h ^ h >> 32


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**63 - 1))
def test_hash_bytes_agrees_with_the_specification(data: bytes, seed: int) -> None:
    """Any bytes, any seed."""
    assert int(hash_bytes(raw(data), 0, len(data), seed)) == xxh64(data, seed)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(data: bytes, expected: int) -> None:
    """Vectors of Kafka's own test (org.apache.kafka.common.utils.UtilsTest), as Java's signed ints."""
    assert murmur2(raw(b"xyz" + data + b"zz"), 3, 3 + len(data)) == expected % 2**32


def java_murmur2(data: bytes) -> int:
    """Kafka's Utils.murmur2, line by line, in whole numbers."""
    m, low = 0x5BD1E995, 2**32 - 1
    h = (0x9747B28C ^ len(data)) & low
    for at in range(0, len(data) // 4 * 4, 4):
        k = data[at] + (data[at + 1] << 8) + (data[at + 2] << 16) + (data[at + 3] << 24)
        k = k * m & low
        k = (k ^ k >> 24) * m & low
        h = (h * m & low) ^ k
    rest = data[len(data) // 4 * 4 :]
    if len(rest) == 3:
        h ^= rest[2] << 16
    if len(rest) >= 2:
        h ^= rest[1] << 8
    if len(rest) >= 1:
        h = (h ^ rest[0]) * m & low
    h = (h ^ h >> 13) * m & low
    return h ^ h >> 15


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_murmur2_agrees_with_java(data: bytes) -> None:
    """Any bytes; those above 127 are negative in Java."""
    assert murmur2(raw(data), 0, len(data)) == java_murmur2(data)


def test_combined_hashes_depend_on_order() -> None:
    """(1, 2) and (2, 1) are different keys."""
    one, two = np.uint64(1), np.uint64(2)
    assert combine(one, two) != combine(two, one)
    assert len({int(mix64(np.uint64(i))) for i in range(1000)}) == 1000


@kernel
def loaded(data: np.ndarray, position: int) -> tuple[np.uint64, np.uint64]:
    """The eight bytes at a place, and the four behind them."""
    return load_uint64(data, position), load_uint32(data, position + 8)


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 7))
def test_numbers_lie_little_endian_at_any_position(large: int, small: int, position: int) -> None:
    """As struct writes them, aligned or not."""
    assert loaded(raw(b"x" * position + struct.pack("<QI", large, small) + b"y"), position) == (large, small)


def test_the_generator_is_xoshiro256_plus_plus_seeded_by_splitmix64() -> None:
    """The authors' vectors."""
    assert new_generator(1234567).tolist()[:2] == [6457827717110365317, 3203168211198807973]
    state = np.array([1, 2, 3, 4], dtype=np.uint64)
    expected = [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205]
    assert [int(next_uint64(state)) for _ in range(5)] == expected


def test_random_numbers_are_uniform() -> None:
    """Means and counts of 60,000 draws lie within five standard deviations."""
    state = new_generator(1)
    drawn = np.array([uniform(state) for _ in range(60_000)])
    counts = np.bincount((6 * drawn).astype(np.int64), minlength=6)
    assert len(counts) == 6 and np.abs(counts - 10_000).max() < 5 * 91
    assert abs(drawn.mean() - 0.5) < 5 * 0.2887 / 245
