"""What keyed state costs in bytes, and how a budget is divided."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stream.errors import ConfigError
from stream.features.state_layout import StateLayout, lay_out_state
from stream.features.typed import Node
from stream.kernels.key_table import rows_within

# What a keyed table itself takes for each key: 16 in its entry, at most 12 in its slots, 1 in its eviction queue.
TABLE_BYTES_PER_KEY = 29

_FEWEST_KEYS = 64
_FEWEST_EVENTS = 64


@dataclass(frozen=True, slots=True)
class FeatureCost:
    """What one feature adds to the state, beyond what the features before it have already."""

    feature: str
    key_bytes: int  # for every key in memory
    event_bytes: int  # for every event in the longest window of its expression
    fixed_bytes: int  # whatever happens: vocabularies, categories, running means


@dataclass(frozen=True, slots=True)
class StateBudget:
    """How many keys and windowed events the plan's state may hold."""

    table_bytes: tuple[int, ...]  # by group: for its table of keys
    keys: tuple[int, ...]  # by group: how many fit
    reservoir_events: Mapping[tuple[int, int], int]  # by group and reservoir: a power of two


def budget_of(state: StateLayout, state_bytes: int) -> StateBudget:
    """Divide the bytes: half to the tables of keys and half to windows where there are both, equally within a half.

    Raises:
        ConfigError: where that leaves less than 64 keys or events; raise the budget.
    """
    reservoirs = state.reservoirs
    free = state_bytes - _fixed_bytes(state)
    table_share = free // (2 if reservoirs else 1) // max(len(state.groups), 1)
    keys = [_keys_within(table_share, 8 * group.width) for group in state.groups]
    events = {}
    for group, reservoir in reservoirs:
        most = max(free // 2 // len(reservoirs) // reservoir.event_bytes, 1)
        events[group.index, reservoir.index] = 1 << (most.bit_length() - 1)
    if min(keys, default=_FEWEST_KEYS) < _FEWEST_KEYS or min(events.values(), default=_FEWEST_EVENTS) < _FEWEST_EVENTS:
        raise ConfigError(
            f"state_bytes={state_bytes} leaves room for {min(keys, default=0)} keys and "
            f"{min(events.values(), default=0)} events in a window; raise it"
        )
    return StateBudget((table_share,) * len(state.groups), tuple(keys), events)


def _keys_within(table_bytes: int, row_bytes: int) -> int:
    try:
        return rows_within(table_bytes, row_bytes)
    except ValueError:
        return 0


def cost_of(features: Iterable[tuple[str, Node]]) -> tuple[FeatureCost, ...]:
    """The costs of each feature, in order; a part that several share is counted at the first."""
    costs = []
    nodes: list[Node] = []
    before = _totals(lay_out_state(()))
    for name, node in features:
        nodes += _operands_first(node)
        after = _totals(lay_out_state(list(dict.fromkeys(nodes))))
        key_bytes, event_bytes, fixed_bytes = (new - old for new, old in zip(after, before, strict=True))
        costs.append(FeatureCost(name, key_bytes, event_bytes, fixed_bytes))
        before = after
    return tuple(costs)


def _totals(state: StateLayout) -> tuple[int, int, int]:
    key_bytes = sum(8 * group.width + TABLE_BYTES_PER_KEY for group in state.groups)
    event_bytes = sum(reservoir.event_bytes for _, reservoir in state.reservoirs)
    return key_bytes, event_bytes, _fixed_bytes(state)


def _fixed_bytes(state: StateLayout) -> int:
    return 8 * state.control_size + 8 * state.running.size + 16 * (state.vocabulary.size + state.categories.size)


def _operands_first(node: Node) -> list[Node]:
    return [inner for operand in node.operands for inner in _operands_first(operand)] + [node]
