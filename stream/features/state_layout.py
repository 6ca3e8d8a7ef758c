"""Where the state of each feature lies: which parts there are, who shares them, and the fields of a key's row.

A key's row has 8-byte fields: the time of its latest event, with windows its generation (how often the row has changed
hands, so that what windows still hold of an evicted key is not taken for its successor's), then those of its parts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from stream.features.typed import KEYED, Node
from stream.features.types import Type
from stream.records import Column, Ints

# Slots of the control array, before those of the parts.
NOW = 0  # stream time: the largest event time so far
LATE = 1  # events beyond the lateness
DROPPED = 2  # events that left a window early, for want of memory
FIRST_FREE = 3

LAST = 0  # field: the time of the key's latest event
GENERATION = 1  # field, where the group has reservoirs

NEVER = -(2**62)  # before all times


@dataclass(slots=True)
class Ewm:
    """Exponentially weighted weight, mean and perhaps squares of one expression: fields weight, mean[, squares]."""

    value: Node
    halflife_ms: int
    index: int
    has_variance: bool = False
    offset: int = -1

    @property
    def width(self) -> int:
        return 3 if self.has_variance else 2


@dataclass(slots=True)
class Previous:
    """What the key's previous event said: a time, or latitude, longitude and when."""

    operands: tuple[Node, ...]
    index: int
    offset: int = -1

    @property
    def width(self) -> int:
        return 1 if len(self.operands) == 1 else 3


@dataclass(slots=True)
class Window:
    """What a key's row keeps about one window: count[, sum, rest[, squares, rest]][, distinct]."""

    window_ms: int
    has_sum: bool = False
    has_variance: bool = False  # then it has a sum, too
    has_distinct: bool = False
    offset: int = -1
    tail_slot: int = -1  # in control: position of the oldest event in the window

    @property
    def width(self) -> int:
        return 1 + 2 * self.has_sum + 2 * self.has_variance + self.has_distinct

    @property
    def sum_offset(self) -> int:
        return self.offset + 1

    @property
    def squares_offset(self) -> int:
        return self.offset + 1 + 2 * self.has_sum

    @property
    def distinct_offset(self) -> int:
        return self.squares_offset + 2 * self.has_variance


@dataclass(slots=True)
class Reservoir:
    """The ring of one expression's values that all its windows share: owner, time, value[, link][, link]."""

    value: Node
    is_hashed: bool  # the values are hashes, not numbers
    index: int
    windows: dict[int, Window] = field(default_factory=dict)
    has_min: bool = False
    has_max: bool = False
    offset: int = -1  # fields of the row: newest in the chain of minima, of maxima
    head_slot: int = -1  # in control: position after the newest event

    @property
    def has_distinct(self) -> bool:
        return any(window.has_distinct for window in self.windows.values())

    @property
    def longest(self) -> Window:
        return self.windows[max(self.windows)]

    @property
    def entry_width(self) -> int:
        return 3 + self.has_min + self.has_max

    @property
    def chains(self) -> tuple[tuple[str, int, int, float], ...]:
        """Of each chain: stat, field in the row, field in the entry, sign that makes it one of maxima."""
        chains = []
        if self.has_min:
            chains.append(("min", self.offset, 3, -1.0))
        if self.has_max:
            chains.append(("max", self.offset + self.has_min, 3 + self.has_min, 1.0))
        return tuple(chains)

    @property
    def event_bytes(self) -> int:
        """Bytes for each event in the longest window; a distinct count's table has two 16-byte places an event."""
        return 8 * self.entry_width + 32 * self.has_distinct


@dataclass(slots=True)
class Group:
    """All state by one key."""

    key: tuple[Column, ...]
    index: int
    ewms: dict[tuple[str, int], Ewm] = field(default_factory=dict)
    previous: dict[tuple[str, ...], Previous] = field(default_factory=dict)
    reservoirs: dict[tuple[str, bool], Reservoir] = field(default_factory=dict)
    width: int = 0

    def first_row(self) -> Ints:
        """What the row of a new key holds, but for its generation."""
        row = np.zeros(self.width, np.int64)
        row[LAST] = NEVER
        for previous in self.previous.values():
            row.view(np.float64)[previous.offset : previous.offset + previous.width] = np.nan
        for reservoir in self.reservoirs.values():
            for _, newest, _, _ in reservoir.chains:
                row[newest] = -1
        return row

    @property
    def halflives_ms(self) -> tuple[int, ...]:
        return tuple(sorted({ewm.halflife_ms for ewm in self.ewms.values()}))


@dataclass(slots=True)
class Slots:
    """Places of what is not keyed: by the index of its node, the first place in its array."""

    places: dict[int, int] = field(default_factory=dict)
    size: int = 0

    def take(self, node: Node, count: int) -> None:
        """Give the node that many places."""
        self.places[node.index] = self.size
        self.size += count


@dataclass(slots=True)
class StateLayout:
    """All state of a plan."""

    groups: tuple[Group, ...]
    running: Slots  # float64: count, sum, rest of each running mean; the first is the labels'
    vocabulary: Slots  # rows of [hash, index + 1] of each one-hot feature
    categories: Slots  # rows of [count, sum] of each target mean
    control_size: int
    vocabulary_slots: dict[int, int]  # in control: how many categories a one-hot feature has met

    @property
    def reservoirs(self) -> tuple[tuple[Group, Reservoir], ...]:
        return tuple((group, reservoir) for group in self.groups for reservoir in group.reservoirs.values())


def lay_out_state(nodes: Iterable[Node]) -> StateLayout:
    """Find the parts that the nodes need, shared where they are the same, and give each its place."""
    groups: dict[tuple[str, ...], Group] = {}
    layout = StateLayout((), Slots(size=3), Slots(), Slots(), FIRST_FREE, {})
    for node in nodes:
        if node.operator in KEYED:
            names = tuple(column.name for column in node.key)
            _require(groups.setdefault(names, Group(node.key, len(groups))), node)
        elif node.operator == "fill_mean":
            layout.running.take(node, 3)
        elif node.operator == "target_mean":
            layout.categories.take(node, node.options["buckets"])
        elif node.operator == "one_hot" and node.operands[0].type is not Type.CATEGORY:
            layout.vocabulary.take(node, vocabulary_places(node.options["max_categories"]))
            layout.vocabulary_slots[node.index] = layout.control_size
            layout.control_size += 1
    layout.groups = tuple(groups.values())
    for group in layout.groups:
        layout.control_size = _place(group, layout.control_size)
    return layout


def vocabulary_places(max_categories: int) -> int:
    """Places of a vocabulary's table: a power of two, at most half of it used."""
    return 1 << (2 * max_categories - 1).bit_length()


def hashes_values(node: Node) -> bool:
    """Whether a window operator's reservoir holds hashes: for nunique, and where the value is no number."""
    return node.operator == "window_nunique" or node.operands[0].type in (Type.TEXT, Type.CATEGORY)


def part_key(node: Node) -> tuple[str, int] | tuple[str, ...] | tuple[str, bool]:
    """Under which key the group of a keyed node keeps the part it reads."""
    if node.operator == "ewm":
        return node.operands[0].text, node.options["halflife_ms"]
    if node.operator in ("since_last", "distance_km", "speed_kmh"):
        return tuple(operand.text for operand in node.operands)
    return node.operands[0].text, hashes_values(node)


def _require(group: Group, node: Node) -> None:
    value, stat = node.operands[0], node.options.get("stat")
    if node.operator == "ewm":
        key = (value.text, node.options["halflife_ms"])
        ewm = group.ewms.setdefault(key, Ewm(value, key[1], len(group.ewms)))
        ewm.has_variance |= stat == "var"
    elif node.operator in ("since_last", "distance_km", "speed_kmh"):
        texts = tuple(operand.text for operand in node.operands)
        group.previous.setdefault(texts, Previous(node.operands, len(group.previous)))
    else:
        hashed = hashes_values(node)
        known = group.reservoirs
        reservoir = known.setdefault((value.text, hashed), Reservoir(value, hashed, len(known)))
        window_ms = node.options["window_ms"]
        window = reservoir.windows.setdefault(window_ms, Window(window_ms))
        window.has_sum |= stat in ("sum", "mean", "var", "std")
        window.has_variance |= stat in ("var", "std")
        window.has_distinct |= stat == "nunique"
        reservoir.has_min |= stat == "min"
        reservoir.has_max |= stat == "max"


def _place(group: Group, control_size: int) -> int:
    offset = 2 if group.reservoirs else 1
    for ewm in group.ewms.values():
        ewm.offset = offset
        offset += ewm.width
    for previous in group.previous.values():
        previous.offset = offset
        offset += previous.width
    for reservoir in group.reservoirs.values():
        reservoir.offset = offset
        offset += reservoir.has_min + reservoir.has_max
        reservoir.head_slot = control_size
        control_size += 1
        for _, window in sorted(reservoir.windows.items()):
            window.offset = offset
            offset += window.width
            window.tail_slot = control_size
            control_size += 1
    group.width = offset
    return control_size
