"""The owner of a keyed table's arrays: sizes, growth, saving and loading. The kernels are in table.py."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.errors import TaskCorrupted
from stream.kernels.pages import Paged, new_pages
from stream.kernels.reserved import reserved
from stream.kernels.table import (
    EVICTIONS,
    EXPIRIES,
    FREE_ROW,
    KEYS,
    NEVER_MS,
    QUEUE_LENGTH,
    ROWS,
    STATE_CELLS,
    TableArrays,
    move_rows,
)

MAX_ROWS: Final = 2**30  # slots are int32, and there are up to three for two rows
_ENTRY_BYTES: Final = 16
_SLOT_BYTES: Final = 4
_FIRST_ROWS: Final = 1024
# Slots are replaced by more of them while rows are entered there, so many for each key that a batch may bring. It
# begins when they are half full and must be over when two thirds are: three rows a key would do. Each takes 0.1 to
# 0.5 µs, as caches go.
_MOVED_A_KEY: Final = 4
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
    Rows are taken in ascending order at first, so that arrays cut to `rows` hold all there is. The arrays have their
    full length from the beginning, of which memory is taken as it is used (see reserved.py); the slots, which are used
    all over, grow in `reserve` alone, some rows at a time: nothing that a kernel returns depends on when.
    """

    __slots__ = ("_live", "_max_rows")

    def __init__(self, budget_bytes: int, row_bytes: int, expiry_ms: int | None = None) -> None:
        if expiry_ms is not None and not 0 <= expiry_ms < NEVER_MS:
            raise ValueError(f"expiry_ms must lie in 0 .. {NEVER_MS - 1}, not be {expiry_ms}")
        self._max_rows = rows_within(budget_bytes, row_bytes)
        state = np.zeros(STATE_CELLS, dtype=np.int64)
        state[FREE_ROW] = -1
        limits = np.array([self._max_rows, NEVER_MS if expiry_ms is None else expiry_ms], dtype=np.int64)
        self._live = self._empty(state, limits)

    @property
    def live(self) -> TableArrays:
        """What kernels take. Another one after `reserve` or `load`."""
        return self._live

    @property
    def max_rows(self) -> int:
        """How many keys the budget holds, and rows the caller's arrays must have."""
        return self._max_rows

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

    def reserve(self, new_keys: int) -> None:
        """Make room for `new_keys` more keys, or as many as the budget allows: to be called before every batch."""
        wanted = min(self.rows + new_keys, self._max_rows)
        while len(self._live.slots) < _slots_for(wanted):  # those on their way may be too few: they were for less
            self._begin_more_slots(wanted)
            move_rows(self._live, self.rows)
            self._live = _moved(self._live)
        self._begin_more_slots(wanted)
        if len(self._live.next_slots) > 1 and move_rows(self._live, _MOVED_A_KEY * new_keys):
            self._live = _moved(self._live)

    def _begin_more_slots(self, wanted: int) -> None:
        """Once they are half full, unless more are on their way or no key can ever need them."""
        live = self._live
        if len(live.next_slots) == 1 and 2 * wanted > len(live.slots) and len(live.slots) < _slots_for(self._max_rows):
            more = max(2 * len(live.slots), _slots_for(wanted))
            self._live = live._replace(next_slots=np.zeros(more, dtype=np.int32))

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
        is_within = 0 <= state[KEYS] <= rows <= self._max_rows and queued <= _queue_for(self._max_rows)
        if rows != len(entries) or queued != len(queue) or not is_within:
            raise TaskCorrupted(
                f"keyed table: {len(entries)} entries and {len(queue)} queued rows do not fit the state, which says "
                f"{rows} and {queued} of at most {self._max_rows}; restore an older snapshot"
            )
        live = self._empty(state.copy(), self._live.limits)
        live.entries[:rows] = entries
        live.queue[:queued] = queue
        self._live = live._replace(next_slots=np.zeros(_slots_for(max(rows, _FIRST_ROWS)), dtype=np.int32))
        move_rows(self._live, rows)
        self._live = _moved(self._live)

    def _empty(self, state: NDArray[np.int64], limits: NDArray[np.int64]) -> TableArrays:
        """Without rows, whatever the state says."""
        return TableArrays(
            slots=np.zeros(_slots_for(min(_FIRST_ROWS, self._max_rows)), dtype=np.int32),
            next_slots=np.zeros(1, dtype=np.int32),
            moved=np.zeros(1, dtype=np.int64),
            entries=reserved((self._max_rows, 2)),
            state=state,
            limits=limits,
            queue=reserved((_queue_for(self._max_rows), 2)),
            pages=new_pages(self._max_rows),
        )

    def _checked(self, arrays: Mapping[str, NDArray[np.int64]], name: str) -> NDArray[np.int64]:
        array = arrays.get(name)
        expected = (STATE_CELLS,) if name == "state" else (2,)
        shape = None if array is None else (array.shape if name == "state" else array.shape[1:])
        if array is None or array.dtype != np.int64 or shape != expected:
            got = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise TaskCorrupted(f"keyed table: {name} must be int64 with shape (…, 2) or ({STATE_CELLS},), not {got}")
        return array


def _moved(table: TableArrays) -> TableArrays:
    """The table whose next slots, in which all rows are, are its slots."""
    return table._replace(slots=table.next_slots, next_slots=np.zeros(1, np.int32), moved=np.zeros(1, np.int64))
