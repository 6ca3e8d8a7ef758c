"""Keyed tables: from a 64-bit key hash to a row number, within a byte budget.

The table owns hashes and times; what is kept for a key lies in the caller's arrays, at the row given. Open addressing
with linear probing and backward-shift deletion (no tombstones: Knuth, TAOCP 3, 6.4, algorithm R), so that a table that
evicts for years stays as quick as a new one. A key costs 16 bytes, 6 to 12 in the slots (which are at most two thirds
full) and 1 in the eviction queue, beside the caller's row.

The arrays belong to a KeyTable (key_table.py). Before a batch that may bring n new keys its owner calls `reserve(n)`;
in its kernel, for each event, `row, is_new = find_or_insert(live, hash, now_ms)`. Where `is_new`, the row's old content
belongs to nobody and is to be overwritten (a generation count kept in the row and raised then tells what still refers
to an earlier owner). A row number holds until the next find_or_insert. The page of the row is marked, for the caller's
rows as well.

Two keys with one hash are one key: with a million keys the chance that any two meet is 3e-8.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.kernels.compile import kernel
from stream.kernels.eviction import next_victim
from stream.kernels.pages import before_write

# Cells of TableArrays.state.
KEYS: Final = 0  # rows in use
ROWS: Final = 1  # rows ever used: behind it nothing was written
FREE_ROW: Final = 2  # head of the list of freed rows, -1 where none; the next one stands in the place of the hash
SWEEP: Final = 3  # the row that is looked at next for expiry
EVICTIONS: Final = 4
EXPIRIES: Final = 5
QUEUE_NEXT: Final = 6
QUEUE_LENGTH: Final = 7
STATE_CELLS: Final = 8

HASH: Final = 0  # cells of a row of TableArrays.entries
SEEN_MS: Final = 1
FREED: Final = -(2**63)  # in SEEN_MS of a row without a key

EMPTY: Final = -1  # in place of a row: the slot is free
NEVER_MS: Final = 2**62  # expiry of a table whose keys do not expire
SWEPT_PER_INSERT: Final = 2  # so that a sweep overtakes the growth of the table


class TableArrays(NamedTuple):
    """A table as kernels take it: one argument."""

    slots: NDArray[np.int32]  # a power of two of them: row number + 1, so that memory that is new is free slots
    next_slots: NDArray[np.int32]  # more of them, which are to replace those once all rows are in; else one
    moved: NDArray[np.int64]  # (1,): how many rows were entered there; 0 where nothing is to be replaced
    entries: NDArray[np.int64]  # (max rows, 2): HASH and SEEN_MS of each row
    state: NDArray[np.int64]  # see above
    limits: NDArray[np.int64]  # (2,): most rows, expiry in ms
    queue: NDArray[np.int64]  # (rows / 16, 2): rows to evict next with the time they were last seen, oldest first
    pages: NDArray[np.uint8]  # marks of rows written


@kernel
def _home(slots: NDArray[np.int32], key_hash: int) -> int:
    # Multiplied, so that hashes that differ in high bits alone do not share a slot (Fibonacci hashing).
    spread = np.uint64(key_hash) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(spread >> np.uint64(32)) & (len(slots) - 1)  # type: ignore[return-value]


@kernel
def _slot_of(slots: NDArray[np.int32], entries: NDArray[np.int64], key_hash: int) -> int:
    """The slot that holds the key, or the free one where it belongs."""
    mask = len(slots) - 1
    slot = _home(slots, key_hash)
    while True:
        row = slots[slot] - 1
        if row == EMPTY or entries[row, HASH] == key_hash:
            return slot  # type: ignore[no-any-return]
        slot = (slot + 1) & mask


@kernel
def _empty_slot(slots: NDArray[np.int32], entries: NDArray[np.int64], slot: int) -> None:
    """Take the key out of `slot` and move those behind it up, where they may."""
    mask = len(slots) - 1
    hole = slot
    while True:
        slot = (slot + 1) & mask
        row = slots[slot] - 1
        if row == EMPTY:
            slots[hole] = 0
            return
        home = _home(slots, entries[row, HASH])
        if (slot - home) & mask >= (slot - hole) & mask:
            slots[hole] = row + 1
            hole = slot


@kernel
def _enter(table: TableArrays, row: int) -> None:
    """Let the slots lead to a row whose key is new."""
    key_hash = table.entries[row, HASH]
    table.slots[_slot_of(table.slots, table.entries, key_hash)] = row + 1
    if row < table.moved[0]:
        table.next_slots[_slot_of(table.next_slots, table.entries, key_hash)] = row + 1


@kernel
def _free_row(table: TableArrays, row: int) -> None:
    before_write(table.pages, row)
    key_hash = table.entries[row, HASH]
    _empty_slot(table.slots, table.entries, _slot_of(table.slots, table.entries, key_hash))
    if row < table.moved[0]:
        _empty_slot(table.next_slots, table.entries, _slot_of(table.next_slots, table.entries, key_hash))
    table.entries[row, HASH] = table.state[FREE_ROW]
    table.entries[row, SEEN_MS] = FREED
    table.state[FREE_ROW] = row
    table.state[KEYS] -= 1


@kernel
def _is_expired(table: TableArrays, row: int, now_ms: int) -> bool:
    return now_ms - table.entries[row, SEEN_MS] > table.limits[1]  # type: ignore[no-any-return]


@kernel
def _sweep(table: TableArrays, now_ms: int) -> None:
    """Free the next rows if their keys expired."""
    for _ in range(SWEPT_PER_INSERT):
        row = table.state[SWEEP]
        if row >= table.state[ROWS]:
            row = 0
        table.state[SWEEP] = row + 1
        if row < table.state[ROWS] and table.entries[row, SEEN_MS] != FREED and _is_expired(table, row, now_ms):
            _free_row(table, row)
            table.state[EXPIRIES] += 1


@kernel
def _take_row(table: TableArrays) -> int:
    """A row for a new key: one that was freed, else one never used, else that of the key not seen for longest."""
    state = table.state
    if state[FREE_ROW] < 0 and state[ROWS] == table.limits[0]:
        _free_row(table, next_victim(table.entries, table.queue, state[QUEUE_NEXT:]))
        state[EVICTIONS] += 1
    row = state[FREE_ROW]
    if row >= 0:
        state[FREE_ROW] = table.entries[row, HASH]
    else:
        row = state[ROWS]
        if row + 1 >= len(table.slots):
            raise IndexError("the table has no slot left: call KeyTable.reserve before the batch")
        state[ROWS] = row + 1
    state[KEYS] += 1
    return row  # type: ignore[no-any-return]


@kernel
def find_or_insert(table: TableArrays, key_hash: np.uint64, now_ms: int) -> tuple[int, bool]:
    """The row of a key and whether it is new there, at the stream time `now_ms`, which never runs backwards.

    A key not seen for longer than the table's expiry is new again. Where the budget is used up, the key not seen for
    longest makes room.
    """
    signed = np.int64(key_hash)
    row = np.int64(table.slots[_slot_of(table.slots, table.entries, signed)]) - 1
    if row != EMPTY:
        before_write(table.pages, row)
        expired = _is_expired(table, row, now_ms)
        if expired:
            table.state[EXPIRIES] += 1
        table.entries[row, SEEN_MS] = now_ms
        return row, expired  # type: ignore[return-value]
    _sweep(table, now_ms)
    row = _take_row(table)
    before_write(table.pages, row)
    table.entries[row, HASH] = signed
    table.entries[row, SEEN_MS] = now_ms
    _enter(table, row)
    return row, True


@kernel
def find(table: TableArrays, key_hash: np.uint64, now_ms: int) -> int:
    """The row of a key, -1 where it is unknown or expired. Changes nothing: the key does not count as seen."""
    row = np.int64(table.slots[_slot_of(table.slots, table.entries, np.int64(key_hash))]) - 1
    return -1 if row == EMPTY or _is_expired(table, row, now_ms) else row  # type: ignore[return-value]


@kernel
def remove(table: TableArrays, key_hash: np.uint64) -> bool:
    """Forget a key; whether it was there. Its row goes to the next new key."""
    row = np.int64(table.slots[_slot_of(table.slots, table.entries, np.int64(key_hash))]) - 1
    if row == EMPTY:
        return False
    _free_row(table, row)
    return True


@kernel
def move_rows(table: TableArrays, most_rows: int) -> bool:
    """Enter so many more rows into `next_slots`; whether all are in."""
    first = table.moved[0]
    end = min(first + most_rows, table.state[ROWS])
    for row in range(first, end):
        if table.entries[row, SEEN_MS] != FREED:
            slot = _slot_of(table.next_slots, table.entries, table.entries[row, HASH])
            table.next_slots[slot] = row + 1
    table.moved[0] = end
    return end == table.state[ROWS]  # type: ignore[no-any-return]
