"""The owner of a keyed table's arrays: sizes, growth, saving and loading. The kernels are in table.py."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.errors import TaskCorrupted
from stream.kernels.pages import Paged, new_pages
from stream.kernels.table import (
    EMPTY,
    EVICTIONS,
    EXPIRIES,
    FREE_ROW,
    FREED,
    KEYS,
    NEVER_MS,
    QUEUE_LENGTH,
    ROWS,
    STATE_CELLS,
    TableArrays,
    fill_slots,
)

MAX_ROWS: Final = 2**30  # slots are int32, and there are up to three for two rows
_ENTRY_BYTES: Final = 16
_SLOT_BYTES: Final = 4
_FIRST_CAPACITY: Final = 1024
_QUEUE_SHARE: Final = 16  # one row in 16 is queued: 16 bytes of a queue's entry come to 1 byte a row


def _slots_for(rows: int) -> int:
    """The smallest power of two of which `rows` are at most two thirds."""
    return int(1 << (max(rows * 3 // 2, 2) - 1).bit_length())


def _queue_for(rows: int) -> int:
    return max(rows // _QUEUE_SHARE, 1)


def table_bytes(rows: int, row_bytes: int) -> int:
    """Bytes of a table of `rows` rows, the caller's rows of `row_bytes` bytes included."""
    return rows * (row_bytes + _ENTRY_BYTES) + _slots_for(rows) * _SLOT_BYTES + _queue_for(rows) * _ENTRY_BYTES


def rows_within(budget_bytes: int, row_bytes: int) -> int:
    """The most rows whose table fits the budget. Raises ValueError where not even one does."""
    low, high = 0, min(budget_bytes // (row_bytes + _ENTRY_BYTES), MAX_ROWS)
    while low < high:
        middle = (low + high + 1) // 2
        if table_bytes(middle, row_bytes) <= budget_bytes:
            low = middle
        else:
            high = middle - 1
    if low < 1:
        raise ValueError(
            f"a budget of {budget_bytes} bytes does not hold one key: a row takes {table_bytes(1, row_bytes)} bytes"
        )
    return low


class KeyTable:
    """A keyed table within `budget_bytes`, of which the caller's own arrays take `row_bytes` a row.

    Keys not seen for more than `expiry_ms` of stream time are forgotten; None keeps them until the budget is used up.
    Rows are taken in ascending order at first, so that arrays cut to `rows` hold all there is. The arrays grow by
    doubling, in `reserve` alone; nothing that a kernel returns depends on when that happens.
    """

    __slots__ = ("_live", "_max_rows")

    def __init__(self, budget_bytes: int, row_bytes: int, expiry_ms: int | None = None) -> None:
        if expiry_ms is not None and not 0 <= expiry_ms < NEVER_MS:
            raise ValueError(f"expiry_ms must lie in 0 .. {NEVER_MS - 1}, not be {expiry_ms}")
        self._max_rows = rows_within(budget_bytes, row_bytes)
        capacity = min(_FIRST_CAPACITY, self._max_rows)
        state = np.zeros(STATE_CELLS, dtype=np.int64)
        state[FREE_ROW] = -1
        self._live = TableArrays(
            slots=np.full(_slots_for(capacity), EMPTY, dtype=np.int32),
            entries=_free_entries(capacity),
            state=state,
            limits=np.array([self._max_rows, NEVER_MS if expiry_ms is None else expiry_ms], dtype=np.int64),
            queue=np.zeros((_queue_for(capacity), 2), dtype=np.int64),
            pages=new_pages(capacity),
        )

    @property
    def live(self) -> TableArrays:
        """What kernels take. Another one after `reserve` has grown the table or `load` has filled it."""
        return self._live

    @property
    def max_rows(self) -> int:
        """How many keys the budget holds."""
        return self._max_rows

    @property
    def capacity(self) -> int:
        """How many rows the caller's arrays must have."""
        return len(self._live.entries)

    @property
    def rows(self) -> int:
        """How many rows were ever used: what lies behind them need not be saved."""
        return int(self._live.state[ROWS])

    @property
    def keys(self) -> int:
        """How many keys are held (some may have expired and not be swept yet)."""
        return int(self._live.state[KEYS])

    @property
    def evictions(self) -> int:
        """How many keys had to go because the budget was used up."""
        return int(self._live.state[EVICTIONS])

    @property
    def expiries(self) -> int:
        """How many keys were forgotten because they were not seen for long enough."""
        return int(self._live.state[EXPIRIES])

    @property
    def paged(self) -> Paged:
        """The entries with the marks of their pages, which the caller's rows share."""
        return Paged(self._live.entries, self._live.pages, self.rows)

    @property
    def state_bytes(self) -> int:
        """Bytes that the table's own arrays take now."""
        return sum(array.nbytes for array in self._live)

    def reserve(self, new_keys: int) -> int:
        """Make room for `new_keys` more keys, or as many as the budget allows; returns `capacity`.

        To be called before every batch with the number of its events. Where the capacity has changed, the caller gives
        its own arrays that many rows, keeping their content.
        """
        wanted = min(self.rows + new_keys, self._max_rows)
        if wanted > self.capacity:
            capacity = self.capacity
            while capacity < wanted:
                capacity *= 2
            self._grow(min(capacity, self._max_rows))
        return self.capacity

    def _grow(self, capacity: int) -> None:
        old = self._live
        entries = _free_entries(capacity)
        entries[: len(old.entries)] = old.entries
        queue = np.zeros((_queue_for(capacity), 2), dtype=np.int64)
        self._place(old._replace(entries=entries, queue=queue, pages=new_pages(capacity)))

    def _place(self, table: TableArrays) -> None:
        """Make `table` the live one, with slots of the right number filled anew."""
        slots = np.full(_slots_for(len(table.entries)), EMPTY, dtype=np.int32)
        self._live = table._replace(slots=slots)
        fill_slots(self._live)

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """All that is needed to continue. The slots are not: they follow from the entries."""
        live = self._live
        return {
            "entries": live.entries[: self.rows],
            "state": live.state,
            "queue": live.queue[: int(live.state[QUEUE_LENGTH])],
        }

    def load(self, arrays: Mapping[str, NDArray[np.int64]]) -> None:
        """Take over what `arrays` of a table with the same budget gave.

        Raises TaskCorrupted where it does not fit: discard it and restore another snapshot.
        """
        entries, state, queue = (self._checked(arrays, name) for name in ("entries", "state", "queue"))
        rows, queued = int(state[ROWS]), int(state[QUEUE_LENGTH])
        if rows != len(entries) or queued != len(queue) or not 0 <= state[KEYS] <= rows <= self._max_rows:
            raise TaskCorrupted(
                f"keyed table: {len(entries)} entries and {len(queue)} queued rows do not fit the state, which says "
                f"{rows} and {queued} of at most {self._max_rows}; restore an older snapshot"
            )
        capacity = min(_FIRST_CAPACITY, self._max_rows)
        while capacity < rows:
            capacity = min(capacity * 2, self._max_rows)
        held = _free_entries(capacity)
        held[:rows] = entries
        whole_queue = np.zeros((_queue_for(capacity), 2), dtype=np.int64)
        whole_queue[:queued] = queue
        pages = new_pages(capacity)
        self._place(self._live._replace(entries=held, state=state.copy(), queue=whole_queue, pages=pages))

    def _checked(self, arrays: Mapping[str, NDArray[np.int64]], name: str) -> NDArray[np.int64]:
        array = arrays.get(name)
        expected = (STATE_CELLS,) if name == "state" else (2,)
        shape = None if array is None else (array.shape if name == "state" else array.shape[1:])
        if array is None or array.dtype != np.int64 or shape != expected:
            got = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise TaskCorrupted(f"keyed table: {name} must be int64 with shape (…, 2) or ({STATE_CELLS},), not {got}")
        return array


def _free_entries(capacity: int) -> NDArray[np.int64]:
    entries = np.full((capacity, 2), FREED, dtype=np.int64)
    entries[:, 0] = -1
    return entries
