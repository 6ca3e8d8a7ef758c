"""Source text of the operators without state: one Python expression over float64 each, where NaN is null."""

from collections.abc import Callable

from stream.features.typed import Node

# Arguments are names of float64 variables, so that naming one twice computes nothing twice.
_TEMPLATES: dict[str, str] = {
    "add": "{0} + {1}",
    "multiply": "{0} * {1}",
    "divide": "({0} / {1} if {1} != 0.0 else nan)",
    "remainder": "({0} % {1} if {1} != 0.0 else nan)",
    "power": "power({0}, {1}) if ({0} == {0} and {1} == {1}) else nan",  # IEEE's pow(NaN, 0) is 1
    "negate": "-{0}",
    "abs": "abs({0})",
    "log": "(log({0}) if {0} > 0.0 else nan)",
    "log1p": "(log1p({0}) if {0} > -1.0 else nan)",
    "exp": "(exp({0}) if {0} == {0} else nan)",
    "sqrt": "(math.sqrt({0}) if {0} >= 0.0 else nan)",
    "is_null": "(0.0 if {0} == {0} else 1.0)",
    "less": "((1.0 if {0} < {1} else 0.0) if ({0} == {0} and {1} == {1}) else nan)",
    "less_equal": "((1.0 if {0} <= {1} else 0.0) if ({0} == {0} and {1} == {1}) else nan)",
    "equal": "((1.0 if {0} == {1} else 0.0) if ({0} == {0} and {1} == {1}) else nan)",
    "and": "{0} * {1}",
    "or": "({0} + {1} - {0} * {1})",
    "not": "1.0 - {0}",
    "to_number": "{0}",
    "to_boolean": "((1.0 if {0} != 0.0 else 0.0) if {0} == {0} else nan)",
    "select": "(nan if {0} != {0} else ({1} if {0} != 0.0 else {2}))",
}


def _subtract(node: Node, names: list[str]) -> str:
    difference = f"{names[0]} - {names[1]}"
    return f"({difference}) * 0.001" if node.operands[0].type.name == "TIME" else difference


def _clip(node: Node, names: list[str]) -> str:
    value = names[0]
    lower, upper = node.options["lower"], node.options["upper"]
    if lower is not None:
        value = f"({float(lower)!r} if {names[0]} < {float(lower)!r} else {value})"
    if upper is not None:
        value = f"({float(upper)!r} if {names[0]} > {float(upper)!r} else {value})"
    return value


def _fill_null(node: Node, names: list[str]) -> str:
    return f"({names[0]} if {names[0]} == {names[0]} else {float(node.options['value'])!r})"


def _literal(node: Node, names: list[str]) -> str:
    return repr(float(node.options["value"]))


_FUNCTIONS: dict[str, Callable[[Node, list[str]], str]] = {
    "subtract": _subtract,
    "clip": _clip,
    "fill_null": _fill_null,
    "literal": _literal,
}


def scalar_source(node: Node, names: list[str]) -> str | None:
    """The expression that computes the node from the variables of its operands; None where the operator has state,
    reads texts or gives sparse values."""
    if node.operator in _TEMPLATES:
        return _TEMPLATES[node.operator].format(*names)
    function = _FUNCTIONS.get(node.operator)
    return function(node, names) if function else None
