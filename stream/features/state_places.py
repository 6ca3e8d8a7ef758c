"""Where each part of the state lies, by the part's definition: what a snapshot says, so that another plan can read it.

A part is named by a digest of all that its content depends on, not by a feature's name: features that share a part
share its name, and a feature that was renamed finds its part again.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stream.errors import TaskCorrupted
from stream.features.definition import definition, digest_of, key_definition, walk
from stream.features.state_layout import (
    GENERATION,
    Ewm,
    Group,
    Previous,
    Reservoir,
    StateLayout,
    Window,
    hashes_values,
    vocabulary_places,
)
from stream.features.typed import KEYED, Node
from stream.features.types import Type

# Raise it where the meaning of what a part holds changes: parts of other versions start anew.
VERSION = 1

Span = tuple[int, int]  # first place, number of places


@dataclass(frozen=True, slots=True)
class WindowPlaces:
    """A window's place in the control array, and its fields in a key's row."""

    tail: int
    fields: Mapping[str, Span]  # count, sum, squares, distinct: those that it has


@dataclass(frozen=True, slots=True)
class RingPlaces:
    """A reservoir: the number of its arrays, its place in control, its chains and windows."""

    number: int
    head: int
    chains: Mapping[str, Span]  # min, max: field of the row, field of the entry
    windows: Mapping[str, WindowPlaces]  # by length in ms

    @property
    def longest(self) -> WindowPlaces:
        """The window whose oldest event is the ring's."""
        return self.windows[max(self.windows, key=int)]


@dataclass(frozen=True, slots=True)
class GroupPlaces:
    """All state by one key: the number of its arrays, and the fields of its rows."""

    number: int
    width: int
    fields: Mapping[str, Span]  # of whatever is no window
    rings: Mapping[str, RingPlaces]


@dataclass(frozen=True, slots=True)
class StatePlaces:
    """All parts of a plan's state."""

    running: Mapping[str, Span]
    vocabularies: Mapping[str, Span]
    vocabulary_counts: Mapping[str, int]  # place in control
    categories: Mapping[str, Span]
    groups: Mapping[str, GroupPlaces]
    parts: tuple[str, ...]  # what features read: names of `parts_of`


def places_of(state: StateLayout, nodes: Iterable[Node], truth: str = "") -> StatePlaces:
    """Describe a plan's state; `nodes` are all of the plan's, and `truth` says what its labels mean."""
    by_index = {node.index: digest_of(definition(node)) for node in nodes}
    vocabularies = {place: _places(node) for place, node in ((n.index, n) for n in nodes) if _places(node)}
    numbers = {id(reservoir): number for number, (_, reservoir) in enumerate(state.reservoirs)}
    buckets = {node.index: node.options["buckets"] for node in nodes if node.operator == "target_mean"}
    return StatePlaces(
        running={f"labels {truth}": (0, 3)}
        | {by_index[index]: (first, 3) for index, first in state.running.places.items()},
        vocabularies={by_index[i]: (first, vocabularies[i]) for i, first in state.vocabulary.places.items()},
        vocabulary_counts={by_index[index]: slot for index, slot in state.vocabulary_slots.items()},
        categories={by_index[i]: (first, buckets[i]) for i, first in state.categories.places.items()},
        groups={key_definition(group.key): _group(group, numbers) for group in state.groups},
        parts=tuple(sorted({part for node in nodes for part in parts_of(node)})),
    )


def parts_of(node: Node) -> set[str]:
    """Names of the parts of state that a node, or one below it, reads."""
    parts = set()
    for inner in walk(node):
        if inner.operator in KEYED:
            parts.add(_keyed_part(inner))
        elif inner.operator in ("fill_mean", "target_mean") or _places(inner):
            parts.add(digest_of(definition(inner)))
    return parts


def to_text(places: StatePlaces) -> str:
    """As JSON."""
    return json.dumps({"version": VERSION, **asdict(places)}, separators=(",", ":"), sort_keys=True)


def from_text(text: str) -> StatePlaces | None:
    """What `to_text` wrote; None where it is of another version, whose parts cannot be read.

    Raises:
        TaskCorrupted: it is none of these; restore an older snapshot.
    """
    try:
        read = json.loads(text)
        if read.pop("version") != VERSION:
            return None
        groups = {name: _read_group(group) for name, group in read.pop("groups").items()}
        return StatePlaces(groups=groups, parts=tuple(read.pop("parts")), **read)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskCorrupted(
            f"features: the snapshot's description of its parts is damaged ({error!r}); restore an older snapshot"
        ) from error


def _places(node: Node) -> int:
    """Places of a one-hot feature's vocabulary; 0 where it needs none."""
    if node.operator != "one_hot" or node.operands[0].type is Type.CATEGORY:
        return 0
    return vocabulary_places(node.options["max_categories"])


def _keyed_part(node: Node) -> str:
    """A keyed statistic, whether or not it includes the current event."""
    values = [key_definition(node.key), *(definition(operand) for operand in node.operands)]
    stat = node.options.get("stat", "")
    if node.operator == "ewm":
        return digest_of("ewm", str(node.options["halflife_ms"]), "var" if stat == "var" else "mean", *values)
    if node.operator in ("since_last", "distance_km", "speed_kmh"):
        return digest_of("previous", *values)
    family = {"mean": "sum", "std": "var"}.get(stat, stat)
    return digest_of("window", str(node.options["window_ms"]), family, str(hashes_values(node)), *values)


def _group(group: Group, numbers: Mapping[int, int]) -> GroupPlaces:
    fields = {} if not group.reservoirs else {"generation": (GENERATION, 1)}
    fields["last"] = (0, 1)
    for ewm in group.ewms.values():
        fields |= _ewm(ewm)
    for previous in group.previous.values():
        fields[_previous(previous)] = (previous.offset, previous.width)
    rings = {
        digest_of(definition(reservoir.value), str(reservoir.is_hashed)): _ring(reservoir, numbers[id(reservoir)])
        for reservoir in group.reservoirs.values()
    }
    return GroupPlaces(group.index, group.width, fields, rings)


def _ewm(ewm: Ewm) -> dict[str, Span]:
    name = digest_of("ewm", str(ewm.halflife_ms), definition(ewm.value))
    fields = {f"{name}.mean": (ewm.offset, 2)}
    return fields | ({f"{name}.squares": (ewm.offset + 2, 1)} if ewm.has_variance else {})


def _previous(previous: Previous) -> str:
    return digest_of("previous", *(definition(operand) for operand in previous.operands))


def _ring(reservoir: Reservoir, number: int) -> RingPlaces:
    return RingPlaces(
        number=number,
        head=reservoir.head_slot,
        chains={stat: (newest, link) for stat, newest, link, _ in reservoir.chains},
        windows={str(length): _window(window) for length, window in reservoir.windows.items()},
    )


def _window(window: Window) -> WindowPlaces:
    fields = {"count": (window.offset, 1)}
    if window.has_sum:
        fields["sum"] = (window.sum_offset, 2)
    if window.has_variance:
        fields["squares"] = (window.squares_offset, 2)
    if window.has_distinct:
        fields["distinct"] = (window.distinct_offset, 1)
    return WindowPlaces(window.tail_slot, fields)


def _read_group(group: dict[str, Any]) -> GroupPlaces:
    rings = {
        name: RingPlaces(
            windows={length: WindowPlaces(**window) for length, window in ring.pop("windows").items()}, **ring
        )
        for name, ring in group.pop("rings").items()
    }
    return GroupPlaces(rings=rings, **group)
