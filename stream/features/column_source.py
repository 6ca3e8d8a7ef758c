"""Source text of what reads columns: numbers, texts, categories, lists, times and their parts, and hashes of them."""

from stream.features.calendar_parts import DAY_MS, HOUR_MS, MINUTE_MS
from stream.features.kernel_source import KernelSource
from stream.features.typed import Node
from stream.features.types import TIME_UNITS_PER_MS, Type
from stream.records import Column, Kind

_CALENDAR = {
    "hour": f"float(local // {HOUR_MS} % 24)",
    "minute": f"float(local // {MINUTE_MS} % 60)",
    "day_of_week": f"float((local // {DAY_MS} + 3) % 7)",  # 1970-01-01 was a Thursday
    "day": f"float(month_and_day(local // {DAY_MS})[1])",
    "month": f"float(month_and_day(local // {DAY_MS})[0])",
    "is_weekend": f"(1.0 if (local // {DAY_MS} + 3) % 7 >= 5 else 0.0)",
}


def write_column(source: KernelSource, node: Node) -> None:
    """A scalar column as a float64; texts and lists are read where they are used."""
    column = node.column
    if column is None or node.type in (Type.TEXT, Type.LIST):
        return
    name = source.value(node)
    if column.kind is Kind.DOUBLE:
        read = f"finite_or_null(floats[i, {column.slot}])"
    else:
        read = f"float(cells[i, {column.slot}])"
    units = TIME_UNITS_PER_MS.get(column.logical or "") if node.type is Type.TIME else None
    if units is not None and units != 1.0:
        read = f"{read} / {units!r}" if units > 1.0 else f"{read} * {1 / units!r}"
    source.body.append(f"{name} = {read} if present[i, {column.index}] else nan")


def write_is_null(source: KernelSource, node: Node) -> None:
    """Whether a text, category or list is missing."""
    column = _column(node.operands[0])
    source.body.append(f"{source.value(node)} = 0.0 if present[i, {column.index}] else 1.0")


def write_length(source: KernelSource, node: Node) -> None:
    """Characters of a text, bytes of bytes, items of a list."""
    column = _column(node.operands[0])
    start, end = _span(column)
    length = f"characters(data, {start}, {end})" if column.kind is Kind.STRING else f"{end} - {start}"
    source.body.append(f"{source.value(node)} = float({length}) if present[i, {column.index}] else nan")


def write_list_sum(source: KernelSource, node: Node) -> None:
    """Sum or mean of a list's items; the sum of an empty list is 0, its mean null."""
    column = _column(node.operands[0])
    items, name = source.items(column.name), source.value(node)
    start, end = _span(column)
    item = f"bits_to_float({items}[k, 0])" if column.item is Kind.DOUBLE else f"float({items}[k, 0])"
    source.body += [
        f"{name} = nan",
        f"if present[i, {column.index}]:",
        f"    {name} = 0.0",
        f"    for k in range({start}, {end}):",
        f"        {name} += {item}",
    ]
    if node.operator == "list_mean":
        source.body += [f"    {name} = {name} / ({end} - {start}) if {end} > {start} else nan"]


def write_is_in(source: KernelSource, node: Node) -> None:
    """Whether a value is among literals; texts are compared byte by byte."""
    operand, values = node.operands[0], node.options["values"]
    name = source.value(node)
    if operand.type in (Type.NUMBER, Type.BOOLEAN):
        value = source.value(operand)
        tests = " or ".join(f"{value} == {float(literal)!r}" for literal in values)
        source.body.append(f"{name} = (1.0 if {tests} else 0.0) if {value} == {value} else nan")
        return
    column = _column(operand)
    if operand.type is Type.CATEGORY:
        tests = " or ".join(f"cells[i, {column.slot}] == {column.symbols.index(literal)}" for literal in values)
    else:
        start, end = _span(column)
        spans = [source.literal(literal.encode()) for literal in values]
        tests = " or ".join(f"text_equals(data, {start}, {end}, literals, {first}, {last})" for first, last in spans)
    source.body.append(f"{name} = (1.0 if {tests} else 0.0) if present[i, {column.index}] else nan")


def write_calendar(source: KernelSource, node: Node) -> None:
    """A part of a time in its zone."""
    value, name = source.value(node.operands[0]), source.value(node)
    first, last = source.time_zones[node.options["tz"]]
    part = node.options.get("part", "is_weekend")
    source.body += [
        f"{name} = nan",
        f"if {value} == {value}:",
        f"    local = local_ms({value}, offsets, {first}, {last})",
        f"    {name} = {_CALENDAR[part]}",
    ]


def write_hash(source: KernelSource, node: Node) -> str:
    """The variable with the 64-bit hash of a node's value; 0 is null."""
    name = f"h{node.index}"
    if node.index in source.hashed:
        return name
    source.hashed.add(node.index)
    if node.column is not None:
        hashed, is_present = hash_of_column(node.column), f"present[i, {node.column.index}]"
    else:
        value = source.value(node)
        hashed, is_present = f"hash_int64(float_to_bits({value} + 0.0))", f"{value} == {value}"  # -0.0 + 0.0 is 0.0
    source.body += [f"{name} = 0", f"if {is_present}:", f"    {name} = never_zero({hashed})"]
    return name


def hash_of_column(column: Column) -> str:
    """The expression that hashes a column's cell or text."""
    if column.kind in (Kind.STRING, Kind.BYTES):
        return "hash_text(data, {}, {})".format(*_span(column))
    if column.kind is Kind.DOUBLE:
        return f"hash_int64(float_to_bits(floats[i, {column.slot}] + 0.0))"
    return f"hash_int64(cells[i, {column.slot}])"


def hash_of_item(column: Column, items: str) -> str:
    """The expression that hashes item k of a list column."""
    if column.item in (Kind.STRING, Kind.BYTES):
        return f"hash_text(data, {items}[k, 0], {items}[k, 1])"
    if column.item is Kind.DOUBLE:
        return f"hash_int64(float_to_bits(bits_to_float({items}[k, 0]) + 0.0))"
    return f"hash_int64({items}[k, 0])"


def _column(node: Node) -> Column:
    if node.column is None:
        raise AssertionError(f"{node.text}: only columns are texts, categories and lists")
    return node.column


def _span(column: Column) -> tuple[str, str]:
    return f"cells[i, {column.slot}]", f"cells[i, {column.slot + 1}]"
