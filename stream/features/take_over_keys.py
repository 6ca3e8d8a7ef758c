"""The table of keys from a saved one, which may hold more keys than the new budget."""

from dataclasses import dataclass

import numpy as np

from stream.kernels import table
from stream.records import Ints


@dataclass(frozen=True, slots=True)
class KeptKeys:
    """A saved table as far as it is kept."""

    entries: Ints
    state: Ints
    queue: Ints
    saved_rows: Ints  # (rows,): of each row its number when it was saved


def keep_keys(entries: Ints, state: Ints, queue: Ints, most: int) -> KeptKeys:
    """The table as it was; where it has more rows than `most`, the keys seen last, as if the others were evicted."""
    if len(entries) <= most:
        return KeptKeys(entries, state, queue, np.arange(len(entries)))
    used = np.flatnonzero(entries[:, table.SEEN_MS] != table.FREED)
    by_age = used[np.lexsort((used, entries[used, table.SEEN_MS]))]  # as the table evicts: of equals the smaller first
    kept = np.sort(by_age[max(len(used) - most, 0) :])
    state = state.copy()
    state[[table.KEYS, table.ROWS]] = len(kept)
    state[table.FREE_ROW] = -1
    state[[table.SWEEP, table.QUEUE_NEXT, table.QUEUE_LENGTH]] = 0
    state[table.EVICTIONS] += len(used) - len(kept)
    return KeptKeys(entries[kept], state, queue[:0], kept)
