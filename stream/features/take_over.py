"""State of a plan from the saved state of another: every part that both have goes on, all others begin empty.

Parts are told apart by their definition (`state_places`). Rows keep their numbers, so that what windows hold of a key
stays that key's, unless the new budget holds fewer keys: then those seen last are kept, as if the others had been
evicted. A window that only the new plan has begins with the events that the old windows over the same expression still
held. A weighted variance that joins a mean begins as if all values so far had been at the mean.

Lateness, expiry and budget are no part of a definition: they hold from here on for what was taken over, too.
"""

from collections.abc import Mapping

import numpy as np

from stream.features.plan import FeaturePlan
from stream.features.state_layout import DROPPED, FIRST_FREE, Group
from stream.features.state_places import GroupPlaces, Span, StatePlaces
from stream.features.take_over_keys import keep_keys
from stream.features.take_over_ring import NOBODY, SavedRing, take_over_ring
from stream.records import Array, Ints

_Arrays = Mapping[str, Array]


def take_over(plan: FeaturePlan, saved: StatePlaces, arrays: _Arrays, empty: _Arrays) -> dict[str, Array]:
    """The arrays of a state of `plan` that goes on where another plan's was saved.

    Args:
        plan: the new plan.
        saved: where the parts lie in `arrays`.
        arrays: the old plan's, as they were saved.
        empty: arrays of an empty state of the new plan.
    """
    places = plan.places
    taken = {name: array.copy() for name, array in empty.items()}
    control, saved_control = _ints(taken, "control"), _ints(arrays, "control")
    control[:FIRST_FREE] = saved_control[:FIRST_FREE]
    for name in places.vocabulary_counts.keys() & saved.vocabulary_counts.keys():
        control[places.vocabulary_counts[name]] = saved_control[saved.vocabulary_counts[name]]
    _copy(taken["running"], places.running, arrays["running"], saved.running)
    _copy(taken["vocabulary"], places.vocabularies, arrays["vocabulary"], saved.vocabularies)
    _copy(taken["categories"], places.categories, arrays["categories"], saved.categories)
    for group, (name, group_places) in zip(plan.state.groups, places.groups.items(), strict=True):
        if name in saved.groups:
            taken |= _take_over_group(plan, group, group_places, saved.groups[name], arrays, control)
    return taken


def _take_over_group(
    plan: FeaturePlan, group: Group, new: GroupPlaces, saved: GroupPlaces, arrays: _Arrays, control: Ints
) -> dict[str, Array]:
    """Keys, rows and rings of one group; writes the rings' places in `control`."""
    of = f"keys{saved.number}."
    saved_entries = _ints(arrays, of + "entries")
    keys = keep_keys(
        saved_entries, _ints(arrays, of + "state"), _ints(arrays, of + "queue"), plan.budget.keys[group.index]
    )
    saved_rows = _ints(arrays, of + "rows")[keys.saved_rows]
    rows = np.tile(group.first_row(), (len(saved_rows), 1))
    _copy(rows.T, new.fields, saved_rows.T, saved.fields)
    to = f"keys{new.number}."
    taken: dict[str, Array] = {to + "entries": keys.entries, to + "state": keys.state, to + "queue": keys.queue}
    taken[to + "rows"] = rows
    new_rows = np.full(len(saved_entries), NOBODY)
    new_rows[keys.saved_rows] = np.arange(len(keys.saved_rows))
    for reservoir, (name, ring) in zip(group.reservoirs.values(), new.rings.items(), strict=True):
        if name not in saved.rings:
            continue
        places = saved.rings[name]
        _copy_first(rows, ring.chains, saved_rows, places.chains)
        for length in ring.windows.keys() & places.windows.keys():
            _copy(rows.T, ring.windows[length].fields, saved_rows.T, places.windows[length].fields)
        entries = _ints(arrays, f"window{places.number}.entries")
        saved_ring = SavedRing(places, entries, _ints(arrays, "control"), new_rows)
        most_events = plan.budget.reservoir_events[group.index, reservoir.index]
        kept, dropped = take_over_ring(ring, saved_ring, rows, control, most_events)
        control[DROPPED] += dropped
        taken |= {f"window{ring.number}.{array_name}": array for array_name, array in kept.items()}
    return taken


def _copy(to: Array, places: Mapping[str, Span], of: Array, saved: Mapping[str, Span]) -> None:
    """Copy the places that both have."""
    for name in places.keys() & saved.keys():
        (first, count), (saved_first, _) = places[name], saved[name]
        to[first : first + count] = of[saved_first : saved_first + count]


def _copy_first(rows: Ints, chains: Mapping[str, Span], saved_rows: Ints, saved: Mapping[str, Span]) -> None:
    """Copy the keys' newest entries of the chains that both have."""
    for stat in chains.keys() & saved.keys():
        rows[:, chains[stat][0]] = saved_rows[:, saved[stat][0]]


def _ints(arrays: _Arrays, name: str) -> Ints:
    """That array, which must be one of whole numbers: `FeatureState.take_over` checks it."""
    return arrays[name].view(np.int64)
