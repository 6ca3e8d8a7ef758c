"""Source text of exact sliding windows: events leave, the current one enters, statistics are read."""

from stream.features.kernel_source import KernelSource
from stream.features.reservoir import GENERATION_SHIFT, ROW_MASK
from stream.features.state_layout import DROPPED, GENERATION, Group, Reservoir, Window, part_key
from stream.features.typed import Node


def write_advance(source: KernelSource, group: Group, reservoir: Reservoir) -> None:
    """Let events leave the windows that time, or the room there is, has moved beyond; ask for room if there may be."""
    lines = source.advance
    suffix = _suffix(group, reservoir)
    head, longest = f"control[{reservoir.head_slot}]", reservoir.longest
    for _, window in sorted(reservoir.windows.items()):
        tail = f"control[{window.tail_slot}]"
        lines += [
            f"cut = now - {window.window_ms}",
            f"tail = {tail}",
            f"while tail < {head}:",
            f"    entry = tail & mask{suffix}",
            f"    if ring{suffix}[entry, 1] > cut:",
            f"        if {head} - tail < limit{suffix}:",
            "            break",
            *([f"        control[{DROPPED}] += 1"] if window is longest else []),
            *(f"    {line}" for line in _leave(group, reservoir, window)),
            "    tail += 1",
            f"{tail} = tail",
        ]
    lines += [
        f"if {head} - control[{longest.tail_slot}] >= ring{suffix}.shape[0]:",
        "    control[0] = now",
        "    return i",
    ]


def _leave(group: Group, reservoir: Reservoir, window: Window) -> list[str]:
    g, suffix = group.index, _suffix(group, reservoir)
    lines = [f"owner = ring{suffix}[entry, 0]"]
    if window.has_distinct:
        lines += [
            f"key = occurrence_key(owner, ring{suffix}[entry, 2])",
            f"is_latest = latest_occurrence(distinct{suffix}, key) == tail",
        ]
    lines += [
        f"other = owner & {ROW_MASK}",
        f"if rows{g}[other, {GENERATION}] == owner >> {GENERATION_SHIFT}:",
        f"    before_write(row_pages{g}, other)",
        f"    rows{g}[other, {window.offset}] -= 1",
    ]
    lines += [f"    {line}" for line in _subtract(group, reservoir, window)]
    if window.has_distinct:
        lines += ["    if is_latest:", f"        rows{g}[other, {window.distinct_offset}] -= 1"]
    if reservoir.has_distinct and window is reservoir.longest:
        if not window.has_distinct:
            lines += [
                f"key = occurrence_key(owner, ring{suffix}[entry, 2])",
                f"is_latest = latest_occurrence(distinct{suffix}, key) == tail",
            ]
        lines += ["if is_latest:", f"    forget_occurrence(distinct{suffix}, distinct_pages{suffix}, key)"]
    return lines


def _subtract(group: Group, reservoir: Reservoir, window: Window) -> list[str]:
    """Take a value out of the sums; at count 0 they start anew, so that no error outlives a window."""
    if not window.has_sum:
        return []
    fields = f"fields{group.index}"
    zeroed = range(window.sum_offset, window.distinct_offset)
    lines = [f"if rows{group.index}[other, {window.offset}] == 0:"]
    lines += [f"    {fields}[other, {field}] = 0.0" for field in zeroed]
    lines += ["else:", f"    x = values{_suffix(group, reservoir)}[entry, 2]"]
    return lines + [f"    {line}" for line in _add_to_sums(group, window, "other", -1)]


def _add_to_sums(group: Group, window: Window, row: str, sign: int) -> list[str]:
    fields = f"fields{group.index}"
    minus = "-" if sign < 0 else ""
    lines = []
    if window.has_sum:
        lines.append(_compensated(fields, row, window.sum_offset, f"{minus}x"))
    if window.has_variance:
        total, rest = (f"{fields}[{row}, {window.squares_offset + place}]" for place in range(2))
        lines.append(f"{total}, {rest} = compensated_add_square({total}, {rest}, x, {float(sign)!r})")
    return lines


def _compensated(fields: str, row: str, field: int, value: str) -> str:
    total, rest = f"{fields}[{row}, {field}]", f"{fields}[{row}, {field + 1}]"
    return f"{total}, {rest} = compensated_add({total}, {rest}, {value})"


def update_reservoir(source: KernelSource, group: Group, reservoir: Reservoir, lines: list[str]) -> None:
    """Let the current value into the ring and all windows it belongs to, once an event."""
    if ("reservoir", group.index, reservoir.index) in source.updated:
        return
    source.updated.add(("reservoir", group.index, reservoir.index))
    g, suffix = group.index, _suffix(group, reservoir)
    if reservoir.is_hashed:
        value, is_known, stored = f"h{reservoir.value.index}", f"h{reservoir.value.index} != 0", f"ring{suffix}"
    else:
        value, is_known, stored = "x", "x == x", f"values{suffix}"
        lines.append(f"x = finite_or_null({source.value(reservoir.value)})")
    head = f"control[{reservoir.head_slot}]"
    enter = [
        f"position = {head}",
        f"oldest = control[{reservoir.longest.tail_slot}]",
        f"if position > oldest and ring{suffix}[(position - 1) & mask{suffix}, 1] > t:",
        *(f"    {line}" for line in _make_room(group, reservoir)),
        f"entry = position & mask{suffix}",
        f"before_write(ring_pages{suffix}, entry)",
        f"owner = row{g} | rows{g}[row{g}, {GENERATION}] << {GENERATION_SHIFT}",
        f"ring{suffix}[entry, 0] = owner",
        f"ring{suffix}[entry, 1] = t",
        f"{stored}[entry, 2] = {value}",
        f"{head} += 1",
        *_enter_chains(group, reservoir),
        *_enter_windows(group, reservoir),
    ]
    lines.append(f"if enters{g} and {is_known} and t > now - {reservoir.longest.window_ms}:")
    lines += [f"    {line}" for line in enter]


def _make_room(group: Group, reservoir: Reservoir) -> list[str]:
    g, suffix = group.index, _suffix(group, reservoir)
    head = f"control[{reservoir.head_slot}]"
    lines = [f"position = open_gap(ring{suffix}, ring_pages{suffix}, oldest, {head}, t)"]
    for _, newest, link, _ in reservoir.chains:
        lines.append(f"mark_owners(ring{suffix}, position, {head}, row_pages{g})")
        lines.append(f"mend_chain(ring{suffix}, position, {head}, rows{g}, {newest}, {link})")
    if reservoir.has_distinct:
        mended = f"distinct{suffix}, distinct_pages{suffix}"
        lines.append(f"mend_occurrences(ring{suffix}, position, {head}, {mended})")
    return lines


def _enter_chains(group: Group, reservoir: Reservoir) -> list[str]:
    g, suffix = group.index, _suffix(group, reservoir)
    return [
        f"rows{g}[row{g}, {newest}] = link_entry(ring{suffix}, ring_pages{suffix}, oldest, position, "
        f"rows{g}[row{g}, {newest}], {link}, {sign!r})"
        for _, newest, link, sign in reservoir.chains
    ]


def _enter_windows(group: Group, reservoir: Reservoir) -> list[str]:
    g, suffix = group.index, _suffix(group, reservoir)
    lines = []
    if reservoir.has_distinct:
        lines += [
            f"key = occurrence_key(owner, {'h' + str(reservoir.value.index)})",
            f"latest = latest_occurrence(distinct{suffix}, key)",
        ]
    for _, window in sorted(reservoir.windows.items()):
        tail, count = f"control[{window.tail_slot}]", f"rows{g}[row{g}, {window.offset}]"
        enter = [f"{count} += 1"]
        enter += _add_to_sums(group, window, f"row{g}", 1)
        if window.has_distinct:
            enter += [f"if latest < {tail}:", f"    rows{g}[row{g}, {window.distinct_offset}] += 1"]
        lines += [
            f"if position < {tail} or (position == {tail} and t <= now - {window.window_ms}):",
            f"    {tail} += 1",  # older than the window: its oldest event moved up with the others
            "else:",
            *(f"    {line}" for line in enter),
        ]
    if reservoir.has_distinct:
        lines += [
            "if position > latest:",
            f"    set_occurrence(distinct{suffix}, distinct_pages{suffix}, key, position)",
        ]
    return lines


def write_window(source: KernelSource, group: Group, node: Node) -> None:
    """The value of one statistic of a window, before the event or with it."""
    reservoir = group.reservoirs[part_key(node)]  # type: ignore[index]
    window = reservoir.windows[node.options["window_ms"]]
    with_current = node.options["include_current"]
    if with_current:
        update_reservoir(source, group, reservoir, source.body)
    lines = source.body if with_current else source.before
    name = source.value(node)
    read = _read(group, reservoir, window, node.options["stat"])
    lines += [f"{name} = nan", f"if row{group.index} >= 0:", f"    {name} = {read}"]


def _read(group: Group, reservoir: Reservoir, window: Window, stat: str) -> str:
    g = group.index
    count = f"rows{g}[row{g}, {window.offset}]"
    field = f"fields{g}[row{g}, {{}}]"
    total = f"{field.format(window.sum_offset)} + {field.format(window.sum_offset + 1)}"
    if stat in ("min", "max"):
        newest, link = next((newest, link) for name, newest, link, _ in reservoir.chains if name == stat)
        suffix = _suffix(group, reservoir)
        return f"extreme(ring{suffix}, control[{window.tail_slot}], rows{g}[row{g}, {newest}], {link})"
    sums = ", ".join(field.format(window.sum_offset + place) for place in range(4))
    variance = f"window_variance({count}, {sums})"
    return {
        "count": f"float({count})",
        "nunique": f"float(rows{g}[row{g}, {window.distinct_offset}])",
        "sum": total,
        "mean": f"(({total}) / {count} if {count} > 0 else nan)",
        "var": variance,
        "std": f"math.sqrt({variance})",
    }[stat]


def _suffix(group: Group, reservoir: Reservoir) -> str:
    return f"{group.index}_{reservoir.index}"
