"""Source text of what learns across keys: running means and target means."""

from stream.features.column_source import write_hash
from stream.features.kernel_source import KernelSource
from stream.features.typed import Node


def write_fill_mean(source: KernelSource, node: Node) -> None:
    """A value, or the mean of the values before it; running holds count, sum and its rest."""
    value, name = source.value(node.operands[0]), source.value(node)
    place = source.layout.running.places[node.index]
    source.body += [
        f"{name} = {value}",
        f"if not {value} == {value}:",
        f"    if running[{place}] > 0.0:",
        f"        {name} = (running[{place + 1}] + running[{place + 2}]) / running[{place}]",
    ]
    source.update += [
        f"x = finite_or_null({value})",
        "if x == x:",
        f"    running[{place}] += 1.0",
        f"    running[{place + 1}], running[{place + 2}] = "
        f"compensated_add(running[{place + 1}], running[{place + 2}], x)",
    ]


def write_target_mean(source: KernelSource, node: Node, number: int) -> None:
    """The smoothed mean label of the category; learns from the event's own label once all features are computed."""
    hashed = write_hash(source, node.operands[0])
    first = source.layout.categories.places[node.index]
    smoothing, buckets = float(node.options["smoothing"]), node.options["buckets"]
    name = source.value(node)
    source.body += [
        f"category{number} = -1",
        f"{name} = nan",
        f"if {hashed} != 0:",
        f"    category{number} = {first} + bucket_of({hashed}, {buckets})",
        "    if running[0] > 0.0:",
        f"        {name} = smoothed_mean(categories, category{number}, running, {smoothing!r})",
        f"label_inputs[i, {number}] = category{number}",
    ]
    source.update += [
        "if labels[i] == labels[i]:",
        f"    learn_category(categories, category_pages, category{number}, labels[i])",
    ]
