"""From a declaration to a plan: layout, the columns it needs, costs, digests, and the compiled kernel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.errors import ConfigError
from stream.features.calendar_parts import offsets_of
from stream.features.costs import FeatureCost, StateBudget, budget_of, cost_of
from stream.features.definition import definition, digest_of
from stream.features.expression import Expression
from stream.features.fused import FusedSource, fused_source
from stream.features.sparse_source import sparse_size
from stream.features.state_layout import StateLayout, lay_out_state
from stream.features.state_places import VERSION, StatePlaces, from_text, parts_of, places_of, to_text
from stream.features.typed import Binder, Node
from stream.features.types import Type
from stream.kernels import load_generated
from stream.records import Column, FeatureLayout, Ints, SparseGroup


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A feature keyed by something else than the stream's key."""

    feature: str
    by: tuple[str, ...]
    is_local: bool  # declared to see its partition alone


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """Compiled features: what `FeatureState` runs."""

    layout: FeatureLayout
    wanted: tuple[str, ...]  # names of the columns that are read: the decoder may skip all others
    digests: Mapping[str, str]  # by feature: of all that its values depend on
    foreign_keys: tuple[ForeignKey, ...]
    label_inputs: int  # numbers to keep for each event until its label comes (0: no feature learns from labels)
    columns: tuple[Column, ...]
    features: tuple[tuple[str, Node], ...]
    state: StateLayout
    places: StatePlaces  # of the state's parts, by their definition
    budget: StateBudget
    lateness_ms: int
    key_expiry_ms: int | None
    source: FusedSource
    offsets: Ints  # of time zones

    @property
    def digest(self) -> str:
        """Of the whole plan: names, order, definitions and what bounds the state."""
        bounds = (self.lateness_ms, self.key_expiry_ms, self.budget)
        return digest_of(str(VERSION), repr((tuple(self.digests.items()), bounds)))

    @property
    def rows_digest(self) -> str:
        """Of what a row of features means, whatever bounds the state: names, order and definitions."""
        return digest_of(repr(tuple(self.digests.items())))

    @property
    def saved_layout(self) -> str:
        """Where each part of the state lies: kept beside its arrays, so that another plan can take parts over."""
        return to_text(self.places)

    def starting_anew(self, saved_layout: str) -> tuple[str, ...]:
        """Names of the features that find not all of their state in a snapshot of another plan with that layout."""
        saved = from_text(saved_layout)
        known = set(saved.parts) if saved else set()
        return tuple(name for name, node in self.features if not parts_of(node) <= known)

    def costs(self) -> tuple[FeatureCost, ...]:
        """What each feature adds to a key's row and to an event in its window, shared parts at their first feature."""
        return cost_of(self.features)

    def kernel(self) -> Callable[..., int]:
        """The fused kernel; compiled at the first call, or taken from the cache."""
        module: Any = load_generated("features", self.source.text)
        return module.fused  # type: ignore[no-any-return]


def compile_features(
    features: Mapping[str, Expression],
    columns: tuple[Column, ...],
    key: tuple[str, ...] | None,
    *,
    state_bytes: int = 256 * 2**20,
    lateness_ms: int = 0,
    key_expiry_ms: int | None = None,
    truth: str = "",
) -> FeaturePlan:
    """Bind features to a schema's columns and plan their state.

    Args:
        features: expressions by name, in the order of the outputs.
        columns: of the reader's schema.
        key: names of the columns of the stream's key; None where there is none.
        state_bytes: what keyed tables and windows may take in memory, per task.
        lateness_ms: how far behind the largest event time an event may be and still enter keyed state.
        key_expiry_ms: a key idle for longer (in event time) loses its state; None: only the budget evicts.
        truth: what labels mean, in any words: target means of another truth are other features.

    Raises:
        ConfigError: naming the feature, the column and what was expected; correct the declaration.
    """
    if lateness_ms < 0:
        raise ConfigError(f"lateness must not be negative, got {lateness_ms} ms")
    binder = Binder(columns, key, truth)
    if key is not None:
        binder.key_columns(key, "key")
    bound = tuple((name, binder.feature(name, expression)) for name, expression in features.items())
    state = lay_out_state(binder.nodes)
    budget = budget_of(state, state_bytes)
    layout = _layout(bound)
    zones, offsets = _time_zones(binder.nodes)
    source = fused_source(binder.nodes, bound, layout, state, zones)
    return FeaturePlan(
        layout=layout,
        wanted=_wanted(binder.nodes, columns),
        digests={name: digest_of(definition(node)) for name, node in bound},
        foreign_keys=_foreign_keys(features, bound, key),
        label_inputs=len(source.target_means),
        columns=columns,
        features=bound,
        state=state,
        places=places_of(state, binder.nodes, truth),
        budget=budget,
        lateness_ms=lateness_ms,
        key_expiry_ms=key_expiry_ms,
        source=source,
        offsets=offsets,
    )


def _layout(features: tuple[tuple[str, Node], ...]) -> FeatureLayout:
    dense = tuple(name for name, node in features if node.type is not Type.SPARSE)
    groups, base = [], 0
    for name, node in features:
        if node.type is Type.SPARSE:
            groups.append(SparseGroup(name, base, sparse_size(node)))
            base += groups[-1].size
    return FeatureLayout(dense, tuple(groups))


def _wanted(nodes: tuple[Node, ...], columns: tuple[Column, ...]) -> tuple[str, ...]:
    read = {node.column.name for node in nodes if node.column is not None}
    read |= {column.name for node in nodes for column in node.key}
    return tuple(column.name for column in columns if column.name in read)


def _time_zones(nodes: tuple[Node, ...]) -> tuple[dict[str, tuple[int, int]], Ints]:
    """Rows of each zone that is used, and the offsets of all zones in one array."""
    names = sorted({node.options["tz"] for node in nodes if "tz" in node.options})
    arrays = [offsets_of(name) for name in names]
    zones, first = {}, 0
    for name, rows in zip(names, arrays, strict=True):
        zones[name] = (first, first + len(rows))
        first += len(rows)
    return zones, np.concatenate(arrays) if arrays else np.zeros((1, 2), dtype=np.int64)


def _foreign_keys(
    features: Mapping[str, Expression], bound: tuple[tuple[str, Node], ...], key: tuple[str, ...] | None
) -> tuple[ForeignKey, ...]:
    foreign = []
    for name, _ in bound:
        for expression in _walk_expression(features[name]):
            by = tuple(expression.option("by") or ())
            if by and set(by) != set(key or ()):  # in whatever order: events with equal ones lie together
                foreign.append(ForeignKey(name, by, bool(expression.option("local"))))
    return tuple(dict.fromkeys(foreign))


def _walk_expression(expression: Expression) -> list[Expression]:
    return [expression] + [inner for operand in expression.operands for inner in _walk_expression(operand)]
