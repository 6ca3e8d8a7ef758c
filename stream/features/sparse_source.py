"""Source text of sparse features: hashes, one-hot categories, words and n-grams."""

from stream.features.column_source import hash_of_item, write_hash
from stream.features.kernel_source import KernelSource
from stream.features.state_layout import vocabulary_places
from stream.features.typed import Node
from stream.features.types import Type


def sparse_size(node: Node) -> int:
    """How many sparse indices the feature needs."""
    if node.operator != "one_hot":
        return int(node.options["buckets"])
    column = node.operands[0].column
    return len(column.symbols) if column and column.symbols else int(node.options["max_categories"]) + 1


def write_sparse(source: KernelSource, node: Node, base: int) -> None:
    """Append the feature's entries: ascending, each index once."""
    operand = node.operands[0]
    if node.operator == "one_hot":
        _write_one_hot(source, node, base)
    elif node.operator == "hash" and operand.type is not Type.LIST:
        hashed = write_hash(source, operand)
        _append_one(source, f"{hashed} != 0", f"{base} + bucket_of({hashed}, {node.options['buckets']})")
    else:
        _write_counts(source, node, base)


def _write_one_hot(source: KernelSource, node: Node, base: int) -> None:
    operand, column = node.operands[0], node.operands[0].column
    if operand.type is Type.CATEGORY and column:
        _append_one(source, f"present[i, {column.index}]", f"{base} + cells[i, {column.slot}]")
        return
    hashed = write_hash(source, operand)
    places = vocabulary_places(node.options["max_categories"])
    first = source.layout.vocabulary.places[node.index]
    slot = source.layout.vocabulary_slots[node.index]
    span = f"({first}, {places}, {node.options['max_categories']})"
    _append_one(source, f"{hashed} != 0", f"{base} + category_index(vocabulary, {span}, control, {slot}, {hashed})")


def _append_one(source: KernelSource, is_present: str, index: str) -> None:
    source.body += [f"if {is_present}:", f"    indices[used] = {index}", "    values[used] = 1.0", "    used += 1"]


def _write_counts(source: KernelSource, node: Node, base: int) -> None:
    column = node.operands[0].column
    if column is None:
        raise AssertionError(f"{node.text}: only columns are texts and lists")
    buckets = node.options["buckets"]
    start, end = f"cells[i, {column.slot}]", f"cells[i, {column.slot + 1}]"
    if node.operator == "bag_of_words":
        append = [f"last = hash_words(data, {start}, {end}, {base}, {buckets}, indices, used)"]
    elif node.operator == "char_ngrams":
        append = [f"last = hash_ngrams(data, ({start}, {end}), {node.options['n']}, {base}, {buckets}, indices, used)"]
    else:
        item = hash_of_item(column, source.items(column.name))
        append = [
            "last = used",
            f"for k in range({start}, {end}):",
            f"    indices[last] = {base} + bucket_of({item}, {buckets})",
            "    last += 1",
        ]
    lines = [*append, "used = count_sorted(indices, values, used, last)"]
    source.body += [f"if present[i, {column.index}]:", *(f"    {line}" for line in lines)]
