"""The source of the one kernel that computes all features of a plan: a pass over the events, in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stream.features.column_source import (
    hash_of_column,
    write_calendar,
    write_column,
    write_hash,
    write_is_in,
    write_is_null,
    write_length,
    write_list_sum,
)
from stream.features.kernel_source import KernelSource
from stream.features.keyed_source import (
    update_ewm,
    update_previous,
    write_ewm,
    write_group_after,
    write_group_before,
    write_previous,
)
from stream.features.running_source import write_fill_mean, write_target_mean
from stream.features.scalar_source import scalar_source
from stream.features.sparse_source import write_sparse
from stream.features.state_layout import GENERATION, LAST, Group, Reservoir, StateLayout
from stream.features.typed import Node
from stream.features.types import Type
from stream.features.window_source import update_reservoir, write_advance, write_window
from stream.records import FeatureLayout

_IMPORTS = """\
# Generated from the declaration of features: do not edit.
import numpy as np

from stream.features import portable_math as math
from stream.features.calendar_parts import local_ms, month_and_day
from stream.features.categories import (
    category_index, hash_int64, hash_pair, hash_text, learn_category, learn_label, never_zero, smoothed_mean,
)
from stream.features.distance import haversine_km
from stream.features.distinct import forget_occurrence, latest_occurrence, occurrence_key, set_occurrence
from stream.features.reservoir import extreme, link_entry, mark_owners, mend_chain, mend_occurrences, open_gap
from stream.features.summation import compensated_add, compensated_add_square, finite_or_null, window_variance
from stream.features.text import bucket_of, characters, count_sorted, hash_ngrams, hash_words, text_equals
from stream.kernels import kernel
from stream.kernels.bits import bits_to_float, float_to_bits
from stream.kernels.elementary import exp, log, log1p, power
from stream.kernels.pages import before_write
from stream.kernels.table import find_or_insert

nan = math.nan
NEVER = -(2**62)
"""

_WRITERS: Mapping[str, Callable[[KernelSource, Node], None]] = {
    "column": write_column,
    "length": write_length,
    "list_sum": write_list_sum,
    "list_mean": write_list_sum,
    "is_in": write_is_in,
    "calendar": write_calendar,
    "is_weekend": write_calendar,
    "fill_mean": write_fill_mean,
}


@dataclass(frozen=True, slots=True)
class FusedSource:
    """A kernel's source and the constants that it is called with."""

    text: str
    literals: bytes
    list_columns: tuple[str, ...]
    target_means: tuple[Node, ...]  # in the order of the label inputs' columns


def fused_source(
    nodes: tuple[Node, ...],
    features: tuple[tuple[str, Node], ...],
    layout: FeatureLayout,
    state: StateLayout,
    time_zones: dict[str, tuple[int, int]],
) -> FusedSource:
    """Write the kernel for bound nodes; `time_zones` gives each zone's rows in the array of offsets.

    Lateness and budgets are arguments of the kernel (the array `limits`), so that changing them compiles nothing.
    """
    source = KernelSource(state, time_zones=time_zones)
    for group in state.groups:
        for reservoir in group.reservoirs.values():
            write_advance(source, group, reservoir)
        write_group_before(source, group)
    target_means = tuple(node for node in nodes if node.operator == "target_mean")
    bases = {group.name: group.base for group in layout.sparse}
    for node in nodes:
        _write_node(source, node, target_means)
    for group in state.groups:
        _write_updates(source, group)
    _write_outputs(source, features, layout, bases)
    text = _assemble(source, nodes, bool(target_means))
    return FusedSource(text, bytes(source.literals), tuple(source.list_columns), target_means)


def _write_node(source: KernelSource, node: Node, target_means: tuple[Node, ...]) -> None:
    groups = {group.key: group for group in source.layout.groups}
    if node.operator in _WRITERS:
        _WRITERS[node.operator](source, node)
    elif node.operator == "is_null" and node.operands[0].type in (Type.TEXT, Type.CATEGORY, Type.LIST):
        write_is_null(source, node)
    elif node.operator == "udf":
        arguments = ", ".join(source.value(operand) for operand in node.operands)
        source.body.append(f"{source.value(node)} = float({node.options['udf'].compiled_name}({arguments}))")
    elif node.operator == "target_mean":
        write_target_mean(source, node, target_means.index(node))
    elif node.operator == "ewm":
        write_ewm(source, groups[node.key], node)
    elif node.operator in ("since_last", "distance_km", "speed_kmh"):
        write_previous(source, groups[node.key], node)
    elif node.key:
        if node.operator == "window_nunique" or node.operands[0].type in (Type.TEXT, Type.CATEGORY):
            write_hash(source, node.operands[0])
        write_window(source, groups[node.key], node)
    elif node.type is not Type.SPARSE:
        text = scalar_source(node, [source.value(operand) for operand in node.operands])
        source.body.append(f"{source.value(node)} = {text}")


def _write_updates(source: KernelSource, group: Group) -> None:
    for ewm in group.ewms.values():
        update_ewm(source, group, ewm, source.update)
    for reservoir in group.reservoirs.values():
        update_reservoir(source, group, reservoir, source.update)
    for previous in group.previous.values():
        update_previous(source, group, previous)
    write_group_after(source, group)


def _write_outputs(
    source: KernelSource, features: tuple[tuple[str, Node], ...], layout: FeatureLayout, bases: dict[str, int]
) -> None:
    for name, node in features:
        if node.type is Type.SPARSE:
            write_sparse(source, node, bases[name])
        else:
            source.body.append(f"dense[i, {layout.dense.index(name)}] = finite_or_null({source.value(node)})")


def _assemble(source: KernelSource, nodes: tuple[Node, ...], learns_labels: bool) -> str:
    definitions = sorted({node.options["udf"].source for node in nodes if node.operator == "udf"})
    if learns_labels:
        source.update += ["if labels[i] == labels[i]:", "    learn_label(running, labels[i])"]
    lines = [
        *_setup(source),
        "for i in range(start, times.shape[0]):",
        "    t = times[i]",
        "    now = max(control[0], t)",
        *_indented(source.advance),
        "    control[0] = now",
        "    on_time = t >= now - limits[0]",
        "    if not on_time:",
        "        control[1] += 1",
        *_indented([line for group in source.layout.groups for line in _find_row(group)]),
        *_indented([*source.before, *source.body, *source.update]),
        "    indptr[i + 1] = used",
        "return times.shape[0]",
    ]
    text = [_IMPORTS]
    text += [f"\n@kernel\n{definition}\n" for definition in definitions]
    text += ["\n@kernel", "def fused(inputs, state, outputs, start):", *_indented(lines)]
    return "\n".join(text) + "\n"


def _setup(source: KernelSource) -> list[str]:
    arrays = ["control", "running", "vocabulary", "categories", "category_pages"]
    views = []
    for group in source.layout.groups:
        g = group.index
        arrays += [f"table{g}", f"rows{g}"]
        views += [f"fields{g} = rows{g}.view(np.float64)", f"row_pages{g} = table{g}.pages"]
        for reservoir in group.reservoirs.values():
            suffix = _suffix(group, reservoir)
            arrays += [f"ring{suffix}", f"ring_pages{suffix}", f"distinct{suffix}", f"distinct_pages{suffix}"]
            views.append(f"values{suffix} = ring{suffix}.view(np.float64)")
            views.append(f"mask{suffix} = ring{suffix}.shape[0] - 1")
            views.append(f"limit{suffix} = limits[{1 + source.layout.reservoirs.index((group, reservoir))}]")
    items = "".join(f", items{number}" for number in range(len(source.list_columns)))
    return [
        f"cells, present, data, times, labels, literals, offsets, limits{items} = inputs",
        f"{', '.join(arrays)} = state",
        "dense, indptr, indices, values, label_inputs = outputs",
        "floats = cells.view(np.float64)",
        *views,
        "used = indptr[start]",
    ]


def _find_row(group: Group) -> list[str]:
    """Find or make the key's row; -1 where the key is null."""
    g = group.index
    hashes = [hash_of_column(column) for column in group.key]
    hashed = hashes[0]
    for following in hashes[1:]:
        hashed = f"hash_pair({hashed}, {following})"
    known = " and ".join(f"present[i, {column.index}]" for column in group.key)
    new = [f"rows{g}[row{g}, {LAST}] = NEVER"]
    if group.reservoirs:
        new.append(f"rows{g}[row{g}, {GENERATION}] = (rows{g}[row{g}, {GENERATION}] + 1) & 0x7FFFFFFF")
    new += [f"for field in range({1 + bool(group.reservoirs)}, {group.width}):", f"    rows{g}[row{g}, field] = 0"]
    new += [f"rows{g}[row{g}, {field}] = {value}" for field, value in _not_zero_at_first(group)]
    return [
        f"row{g} = -1",
        f"if {known}:",
        f"    row{g}, is_new = find_or_insert(table{g}, np.uint64({hashed}), now)",  # marks the row's page
        "    if is_new:",
        *_indented(_indented(new)),
    ]


def _not_zero_at_first(group: Group) -> list[tuple[int, str]]:
    """Fields of a new key's row that begin as something else than 0."""
    unknown = [
        (previous.offset + field, "float_to_bits(nan)")
        for previous in group.previous.values()
        for field in range(previous.width)
    ]
    empty = [(newest, "-1") for reservoir in group.reservoirs.values() for _, newest, _, _ in reservoir.chains]
    return unknown + empty


def _suffix(group: Group, reservoir: Reservoir) -> str:
    return f"{group.index}_{reservoir.index}"


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
