"""Source text of keyed statistics other than windows: exponentially weighted ones, times and points before."""

import math

from stream.features.kernel_source import KernelSource
from stream.features.state_layout import LAST, Ewm, Group, Previous, part_key
from stream.features.typed import Node


def write_group_before(source: KernelSource, group: Group) -> None:
    """Read what the key's row says before the event: times, decays, and the statistics decayed to now."""
    g = group.index
    lines = source.before
    lines += [f"enters{g} = row{g} >= 0 and on_time", f"last{g} = t"]
    reads = [f"if rows{g}[row{g}, {LAST}] > NEVER:", f"    last{g} = rows{g}[row{g}, {LAST}]"]
    halflives = group.halflives_ms
    if halflives:
        lines += [f"passed{g} = 0.0", f"behind{g} = 0.0"]
        reads += [f"passed{g} = float(max(0, t - last{g}))", f"behind{g} = float(max(0, last{g} - t))"]
    for halflife_ms in halflives:
        name = _decay_name(group, halflife_ms)
        rate = repr(-math.log(2) / halflife_ms)
        lines += [f"{name} = 1.0", f"late_{name} = 1.0"]
        reads += [f"if passed{g} > 0.0:", f"    {name} = exp(passed{g} * {rate})"]
        reads += [f"if behind{g} > 0.0:", f"    late_{name} = exp(behind{g} * {rate})"]
    for ewm in group.ewms.values():
        lines += [f"{variable} = 0.0" for variable in _ewm_variables(group, ewm)]
        reads += _read_ewm(group, ewm)
    for previous in group.previous.values():
        lines += [f"{variable} = nan" for variable in previous_variables(group, previous)]
        for field, variable in enumerate(previous_variables(group, previous)):
            reads.append(f"{variable} = fields{g}[row{g}, {previous.offset + field}]")
    lines.append(f"if row{g} >= 0:")
    lines += [f"    {line}" for line in reads]


def write_group_after(source: KernelSource, group: Group) -> None:
    """Remember the time of the key's latest event."""
    g = group.index
    source.update += [f"if enters{g} and t > rows{g}[row{g}, {LAST}]:", f"    rows{g}[row{g}, {LAST}] = t"]


def write_ewm(source: KernelSource, group: Group, node: Node) -> None:
    """The value of one exponentially weighted statistic."""
    ewm = group.ewms[(node.operands[0].text, node.options["halflife_ms"])]
    if node.options["include_current"]:
        update_ewm(source, group, ewm, source.body)
    weight, mean, *squares = _ewm_variables(group, ewm)
    stat = node.options["stat"]
    some = f"{weight} > 0.0"
    read = {
        "count": weight,
        "sum": f"{weight} * {mean}",
        "mean": f"({mean} if {some} else nan)",
        "var": f"(max(0.0, {squares[0]}) / {weight} if {some} else nan)" if squares else "",
    }[stat]
    source.body.append(f"{source.value(node)} = {read} if row{group.index} >= 0 else nan")


def update_ewm(source: KernelSource, group: Group, ewm: Ewm, lines: list[str]) -> None:
    """Let the current value in (West, "Updating Mean and Variance Estimates", 1979), once an event.

    A late value counts for what its weight would be by now.
    """
    if ("ewm", group.index, ewm.index) in source.updated:
        return
    source.updated.add(("ewm", group.index, ewm.index))
    weight, mean, *squares = _ewm_variables(group, ewm)
    late = f"late_{_decay_name(group, ewm.halflife_ms)}"
    change = [f"{weight} += {late}", f"delta = x - {mean}", f"{mean} += delta * ({late} / {weight})"]
    change += [f"{variable} += {late} * delta * (x - {mean})" for variable in squares]
    lines += [
        f"if enters{group.index}:",
        f"    x = finite_or_null({source.value(ewm.value)})",
        f"    if x == x and {late} > 0.0:",
        *(f"        {line}" for line in change),
    ]
    for field, variable in enumerate((weight, mean, *squares)):
        lines.append(f"    fields{group.index}[row{group.index}, {ewm.offset + field}] = {variable}")


def write_previous(source: KernelSource, group: Group, node: Node) -> None:
    """Time, distance or speed since the key's previous event."""
    previous = group.previous[part_key(node)]  # type: ignore[index]
    variables = previous_variables(group, previous)
    name = source.value(node)
    if node.operator == "since_last":
        value = source.value(node.operands[0])
        source.body += [
            f"{name} = ({value} - {variables[0]}) * 0.001",
            f"if {name} < 0.0:",
            f"    {name} = 0.0",
        ]
        return
    latitude, longitude = (source.value(operand) for operand in node.operands)
    known = " and ".join(f"{value} == {value}" for value in (latitude, longitude, variables[0]))
    source.body += [f"{name} = nan", f"if {known}:"]
    distance = f"haversine_km({variables[0]}, {variables[1]}, {latitude}, {longitude})"
    if node.operator == "distance_km":
        source.body.append(f"    {name} = {distance}")
    else:
        source.body += [
            f"    if t > {variables[2]}:",
            f"        {name} = {distance} * 3600000.0 / (t - {variables[2]})",
        ]


def update_previous(source: KernelSource, group: Group, previous: Previous) -> None:
    """Keep the current time or point, unless a later one is known."""
    g = group.index
    variables = previous_variables(group, previous)
    values = [source.value(operand) for operand in previous.operands]
    if len(values) == 1:
        current, before = values[0], variables[0]
    else:
        values.append("float(t)")
        current, before = "float(t)", variables[2]
    known = " and ".join(f"{value} == {value}" for value in values)
    source.update.append(f"if enters{g} and {known} and not {current} < {before}:")
    for field, value in enumerate(values):
        source.update.append(f"    fields{g}[row{g}, {previous.offset + field}] = {value}")


def previous_variables(group: Group, previous: Previous) -> tuple[str, ...]:
    """Variables of what the previous event said."""
    return tuple(f"p{group.index}_{previous.index}_{field}" for field in range(previous.width))


def _read_ewm(group: Group, ewm: Ewm) -> list[str]:
    decay = _decay_name(group, ewm.halflife_ms)
    weight, mean, *squares = _ewm_variables(group, ewm)
    field = f"fields{group.index}[row{group.index}, {{}}]"
    lines = [f"{weight} = {field.format(ewm.offset)} * {decay}", f"{mean} = {field.format(ewm.offset + 1)}"]
    return lines + [f"{variable} = {field.format(ewm.offset + 2)} * {decay}" for variable in squares]


def _decay_name(group: Group, halflife_ms: int) -> str:
    return f"decay{group.index}_{group.halflives_ms.index(halflife_ms)}"


def _ewm_variables(group: Group, ewm: Ewm) -> tuple[str, ...]:
    names = ("weight", "mean", "squares")[: ewm.width]
    return tuple(f"{name}{group.index}_{ewm.index}" for name in names)
