"""Expressions bound to a schema: each distinct subexpression once, with its type, or an error that helps."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stream.errors import ConfigError
from stream.features.expression import Expression
from stream.features.types import SIGNATURES, Type, column_type
from stream.records import Column, Kind

KEYED = frozenset({"window", "window_count", "window_nunique", "ewm", "since_last", "distance_km", "speed_kmh"})
KEY_KINDS = frozenset({Kind.STRING, Kind.BYTES, Kind.LONG, Kind.ENUM, Kind.BOOLEAN})

_HOW_TO_USE = {
    Type.TEXT: "hash it, or use one_hot, target_mean, bag_of_words or char_ngrams",
    Type.CATEGORY: "use one_hot, hash or target_mean",
    Type.LIST: "use length, sum, mean or hash",
    Type.TIME: "use a part of it (hour, day_of_week, ...), since_last, or the difference from another time",
}


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One distinct subexpression. Equal ones share a node, so that they are computed once."""

    index: int
    operator: str
    operands: tuple["Node", ...]
    options: Mapping[str, Any]
    type: Type
    text: str  # canonical: says all that its value depends on
    column: Column | None = None  # of operator "column"
    key: tuple[Column, ...] = ()  # of a keyed operator


class Binder:
    """Binds expressions to columns, remembering what was bound before."""

    def __init__(self, columns: tuple[Column, ...], key: tuple[str, ...] | None, truth: str = "") -> None:
        self._truth = truth
        self._columns = {column.name: column for column in columns}
        self._key = key
        self._nodes: dict[str, Node] = {}

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, operands before what uses them."""
        return tuple(self._nodes.values())

    def feature(self, name: str, expression: Expression) -> Node:
        """Bind the expression of a feature.

        Raises:
            ConfigError: naming the feature, the column and what was expected.
        """
        where = f"feature {name!r}"
        if not isinstance(expression, Expression):
            raise ConfigError(f"{where}: expected an expression such as col('amount').log1p(), got {expression!r}")
        node = self._bind(expression, where)
        if node.type in _HOW_TO_USE:
            raise ConfigError(f"{where}: {_describe(node)} is {node.type.value}, no feature; {_HOW_TO_USE[node.type]}")
        return node

    def column(self, name: str, where: str) -> Column:
        """The column of that name.

        Raises:
            ConfigError: where there is none, with the nearest name there is.
        """
        if name in self._columns:
            return self._columns[name]
        near = difflib.get_close_matches(name, self._columns, n=1, cutoff=0.5)
        there = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self._columns))}"
        raise ConfigError(f"{where}: there is no column {name!r}; {there}")

    def key_columns(self, names: tuple[str, ...], where: str) -> tuple[Column, ...]:
        """The columns of a key.

        Raises:
            ConfigError: where one does not exist or cannot be a key.
        """
        columns = tuple(self.column(name, where) for name in names)
        for column in columns:
            if column.kind not in KEY_KINDS:
                raise ConfigError(
                    f"{where}: key column {column.name!r} is {column.kind.value}; "
                    f"a key is a string, bytes, a long, an enum or a boolean"
                )
        return columns

    def _bind(self, expression: Expression, where: str) -> Node:
        options = dict(expression.options)
        if expression.operator == "column":
            return self._leaf(self.column(options["name"], where))
        operands = tuple(self._bind(operand, where) for operand in expression.operands)
        key: tuple[Column, ...] = ()
        if expression.operator in KEYED:
            key = self._keyed_by(expression, where)
        return self._add(_operator(expression, options, operands, where), operands, options, key, where)

    def _leaf(self, column: Column) -> Node:
        described = (column.kind.value, column.logical, *column.symbols, column.item and column.item.value)
        text = f"column({column.name!r},{described!r})"
        known = self._nodes.get(text)
        node = known or Node(len(self._nodes), "column", (), {}, column_type(column), text, column)
        return self._nodes.setdefault(text, node)

    def _keyed_by(self, expression: Expression, where: str) -> tuple[Column, ...]:
        by = expression.option("by") or self._key
        if not by:
            raise ConfigError(
                f"{where}: {expression.operator} is keyed, but the events have no key; declare key= or give by="
            )
        return self.key_columns(tuple(by), where)

    def _add(
        self,
        operator: str,
        operands: tuple[Node, ...],
        options: dict[str, Any],
        key: tuple[Column, ...],
        where: str,
    ) -> Node:
        _check_operands(operator, operands, where)
        returns = _check_meaning(operator, operands, options, where)
        shown = {name: value for name, value in sorted(options.items()) if name not in ("by", "local", "udf")}
        if operator == "target_mean":
            shown["truth"] = self._truth
        keyed = tuple((column.name, column.kind.value, column.symbols) for column in key)
        text = f"{operator}({','.join(operand.text for operand in operands)};{shown!r};{keyed!r})"
        known = self._nodes.get(text)
        return self._nodes.setdefault(
            text, known or Node(len(self._nodes), operator, operands, options, returns, text, None, key)
        )


def _operator(expression: Expression, options: dict[str, Any], operands: tuple[Node, ...], where: str) -> str:
    if expression.operator in ("list_sum", "list_mean") and operands[0].type is Type.NUMBER:
        name = expression.operator.removeprefix("list_")
        raise ConfigError(
            f'{where}: {name}() of {_describe(operands[0])} wants a window, as in {name}("1h"); '
            f"without one it is for the items of a list"
        )
    return expression.operator


def _check_operands(operator: str, operands: tuple[Node, ...], where: str) -> None:
    if operator == "literal":
        return
    accepts = SIGNATURES[operator].accepts
    for position, operand in enumerate(operands):
        allowed = accepts[min(position, len(accepts) - 1)]
        if operand.type not in allowed:
            expected = " or ".join(sorted(type_.value for type_ in allowed))
            raise ConfigError(
                f"{where}: {operator} expects {expected}, but {_describe(operand)} is {operand.type.value}"
            )


def _check_meaning(operator: str, operands: tuple[Node, ...], options: dict[str, Any], where: str) -> Type:
    """What the operands' types alone do not say. Returns the type of the result."""
    if operator == "literal":
        return Type.BOOLEAN if isinstance(options["value"], bool) else Type.NUMBER
    if operator in ("subtract", "less", "less_equal", "equal", "select"):
        first, second = operands[-2:]
        if first.type is not second.type:
            raise ConfigError(
                f"{where}: {operator} expects two of one type, but {_describe(first)} is {first.type.value} "
                f"and {_describe(second)} is {second.type.value}"
            )
    if operator == "is_in":
        _check_literals(operands[0], options["values"], where)
    if operator in ("list_sum", "list_mean"):
        _check_items(operator, operands[0], where)
    if operator in ("calendar", "is_weekend"):
        _check_time_zone(options["tz"], where)
    if operator == "one_hot" and operands[0].type is Type.CATEGORY:
        _check_symbols(operands[0], options["max_categories"], where)
    returns = SIGNATURES[operator].returns
    return operands[-1].type if returns is None else returns


def _check_literals(operand: Node, values: tuple[Any, ...], where: str) -> None:
    wants_text = operand.type in (Type.TEXT, Type.CATEGORY)
    for value in values:
        if isinstance(value, str) != wants_text:
            kind = "texts" if wants_text else "numbers"
            raise ConfigError(
                f"{where}: {_describe(operand)} is {operand.type.value}: compare it with {kind}, not {value!r}"
            )
        if operand.type is Type.CATEGORY and operand.column and value not in operand.column.symbols:
            symbols = operand.column.symbols
            near = difflib.get_close_matches(value, symbols, n=1, cutoff=0.5)
            there = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(symbols)}"
            raise ConfigError(f"{where}: {_describe(operand)} has no symbol {value!r}; {there}")


def _check_items(operator: str, operand: Node, where: str) -> None:
    item = operand.column.item if operand.column else None
    if item not in (Kind.LONG, Kind.DOUBLE, Kind.BOOLEAN):
        got = item.value if item else "unknown"
        raise ConfigError(
            f"{where}: {operator} expects a list of numbers, but the items of {_describe(operand)} are {got}"
        )


def _check_time_zone(name: str, where: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f'{where}: no time zone {name!r}; write an IANA name such as "Europe/Berlin"') from error


def _check_symbols(operand: Node, max_categories: int, where: str) -> None:
    symbols = len(operand.column.symbols) if operand.column else 0
    if symbols > max_categories:
        raise ConfigError(
            f"{where}: {_describe(operand)} has {symbols} symbols, more than max_categories={max_categories}; "
            f"raise max_categories to {symbols} or more"
        )


def _describe(node: Node) -> str:
    return f"column {node.column.name!r}" if node.column else f"the result of {node.operator}"
