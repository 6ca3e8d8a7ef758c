"""A ring of windows from the saved ring of another plan's windows over the same expression."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.features.recount import count_window, fill_occurrences, link_chain
from stream.features.reservoir import GENERATION_SHIFT, OWNER, ROW_MASK, TIME, VALUE
from stream.features.ring import first_events
from stream.features.state_places import RingPlaces, WindowPlaces
from stream.kernels.pages import new_pages
from stream.records import Ints

NOBODY = -1  # the new row of a key that was not kept
_NOBODY_S_OWNER = -1 << GENERATION_SHIFT  # row 0 of a generation that no row ever has
_SIGNS = {"min": -1.0, "max": 1.0}


@dataclass(frozen=True, slots=True)
class SavedRing:
    """A ring as it was saved."""

    places: RingPlaces
    entries: Ints
    control: Ints
    rows: Ints  # (old rows,): new row of each, or NOBODY

    @property
    def head(self) -> int:
        """Position after the newest entry."""
        return int(self.control[self.places.head])

    def tail(self, window_ms: str) -> int:
        """Position of the oldest entry in a window of this length.

        A window that was not there before takes all that the ring holds: what is too old leaves at the next event.
        """
        return int(self.control[self.places.windows.get(window_ms, self.places.longest).tail])


def take_over_ring(
    places: RingPlaces, saved: SavedRing, rows: Ints, control: Ints, most_events: int
) -> tuple[dict[str, Ints], int]:
    """Entries and table of occurrences of a ring, and how many events its budget had no room for.

    Args:
        places: of the new ring.
        saved: the saved one.
        rows: of the keys; fields that both plans have are filled, and what is new is filled here.
        control: of the new plan; tails and head are set.
        most_events: what the new budget holds, a power of two.
    """
    head = saved.head
    tails = {length: saved.tail(length) for length in places.windows}
    longest = min(tails.values())
    first = max(longest, head - most_events)
    entries = _entries(places, saved, first, most_events)
    has_distinct = any("distinct" in window.fields for window in places.windows.values())
    distinct = np.zeros((2 * len(entries) if has_distinct else 1, 2), np.int64)
    if has_distinct:
        fill_occurrences(entries, first, head, distinct, new_pages(len(distinct)))
    for stat, (newest, link) in places.chains.items():
        if stat not in saved.places.chains:
            link_chain(entries, new_pages(len(entries)), (first, head), rows, (newest, link, _SIGNS[stat]))
    control[places.head] = head
    for length, window in places.windows.items():
        control[window.tail] = max(tails[length], first)
        known = saved.places.windows[length].fields if length in saved.places.windows else {}
        fields = _to_count(window, known if tails[length] >= first else {}, rows)
        count_window(entries, int(control[window.tail]), head, rows, fields, distinct)
    return {"entries": entries, "distinct": distinct}, first - longest


def _entries(places: RingPlaces, saved: SavedRing, first: int, most_events: int) -> Ints:
    """The saved entries from position `first` on, in the new layout and with their owners' new rows."""
    size = first_events(most_events)
    while size < saved.head - first:
        size *= 2
    positions = np.arange(first, saved.head)
    kept = saved.entries[positions & (len(saved.entries) - 1)]
    entries = np.zeros((size, VALUE + 1 + len(places.chains)), np.int64)
    owners = kept[:, OWNER]
    rows = saved.rows[owners & ROW_MASK]
    moved = np.zeros((len(kept), entries.shape[1]), np.int64)
    moved[:, OWNER] = np.where(rows == NOBODY, _NOBODY_S_OWNER, owners >> GENERATION_SHIFT << GENERATION_SHIFT | rows)
    moved[:, [TIME, VALUE]] = kept[:, [TIME, VALUE]]
    for stat, (_, link) in places.chains.items():
        if stat in saved.places.chains:
            moved[:, link] = kept[:, saved.places.chains[stat][1]]
    entries[positions & (size - 1)] = moved
    return entries


def _to_count(window: WindowPlaces, known: Mapping[str, object], rows: Ints) -> Ints:
    """Fields of count, sum, squares and distinct that are to be counted, set to 0; -1 for those that are not."""
    fields = np.full(4, -1, np.int64)
    for place, name in enumerate(("count", "sum", "squares", "distinct")):
        if name in window.fields and name not in known:
            fields[place], width = window.fields[name]
            rows[:, fields[place] : fields[place] + width] = 0
    return fields
