"""The table behind distinct counts: for every (owner, value) in a reservoir, the position of its latest occurrence.

Open addressing with linear probing and deletion by shifting back, at most half full. An event counts in a window as a
distinct value if it is the latest occurrence there: one table serves windows of all lengths.
"""

from stream.kernels import kernel
from stream.kernels.pages import before_write
from stream.records import Bytes, Ints

_KEY = 0  # field: hash of owner and value; 0 where the place is free
_POSITION = 1


@kernel
def occurrence_key(owner: int, value: int) -> int:
    """A 64-bit hash of an owner and a value, never 0 (murmur3's finaliser over both)."""
    hashed = (owner * -7046029254386353131) ^ value
    hashed = (hashed ^ ((hashed >> 33) & 0x7FFFFFFF)) * -49064778989728563
    hashed = (hashed ^ ((hashed >> 33) & 0x7FFFFFFF)) * -4265267296055464877
    hashed = hashed ^ ((hashed >> 33) & 0x7FFFFFFF)
    return hashed if hashed != 0 else 1


@kernel
def latest_occurrence(table: Ints, key: int) -> int:
    """The position kept for a key; -1 where there is none."""
    mask = table.shape[0] - 1
    place = key & mask
    while table[place, _KEY] != 0:
        if table[place, _KEY] == key:
            return int(table[place, _POSITION])
        place = (place + 1) & mask
    return -1


@kernel
def set_occurrence(table: Ints, pages: Bytes, key: int, position: int) -> None:
    """Keep the position for a key; the table must have room."""
    mask = table.shape[0] - 1
    place = key & mask
    while table[place, _KEY] != 0 and table[place, _KEY] != key:
        place = (place + 1) & mask
    before_write(pages, place)
    table[place, _KEY] = key
    table[place, _POSITION] = position


@kernel
def forget_occurrence(table: Ints, pages: Bytes, key: int) -> None:
    """Remove a key that is in the table; those behind it move up where they may (Knuth, 6.4, algorithm R)."""
    mask = table.shape[0] - 1
    place = key & mask
    while table[place, _KEY] != key:
        place = (place + 1) & mask
    following = place
    while True:
        following = (following + 1) & mask
        moved = table[following, _KEY]
        if moved == 0:
            break
        if ((following - (moved & mask)) & mask) >= ((following - place) & mask):
            before_write(pages, place)
            table[place, _KEY] = moved
            table[place, _POSITION] = table[following, _POSITION]
            place = following
    before_write(pages, place)
    table[place, _KEY] = 0
    table[place, _POSITION] = 0


@kernel
def copy_occurrences(old: Ints, new: Ints, pages: Bytes) -> None:
    """Put all of a table into a larger, empty one."""
    for place in range(old.shape[0]):
        if old[place, _KEY] != 0:
            set_occurrence(new, pages, old[place, _KEY], old[place, _POSITION])
