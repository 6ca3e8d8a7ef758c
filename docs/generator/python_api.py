"""Reference pages of what a declaration is written with: made from signatures and docstrings."""

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from docs.generator.docstrings import markdown_of
from stream import records

_LINE = 100
# "stream.drift.alerts." in "stream.drift.alerts.AlertPolicy".
_MODULES = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Z])")


def class_block(cls: type, *, level: int = 3, methods: tuple[str, ...] = ()) -> str:
    """A class: how it is made, what it is, what its fields mean, and some of its methods."""
    made = f"```python\n{cls.__name__}{_parameters(cls)}\n```"
    blocks = [f"{'#' * level} {cls.__name__}", made, markdown_of(cls)]
    if notes := "\n".join(f"- `{name}`: {note}" for name, note in field_comments(cls).items() if note):
        blocks.append(f"Fields:\n\n{notes}")
    blocks += [function_block(getattr(cls, name), level=level + 1) for name in methods]
    return "\n\n".join(blocks)


def function_block(function: Any, *, level: int = 3) -> str:
    """A function or method: its signature and its docstring."""
    signature = f"```python\n{function.__name__}{_parameters(function)}\n```"
    return "\n\n".join((f"{'#' * level} {function.__name__}", signature, markdown_of(function)))


def methods_of(cls: type) -> dict[str, list[str]]:
    """Public methods of a class in the order of its source, by the comment that stands above each group of them."""
    source = textwrap.dedent(inspect.getsource(cls))
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    titles = {number: line.strip("# ").strip() for number, line in enumerate(source.splitlines(), 1) if _is_title(line)}
    groups: dict[str, list[str]] = {}
    for node in body.body:
        if isinstance(node, ast.FunctionDef):
            title = max((number for number in titles if number < node.lineno), default=0)
            groups.setdefault(titles.get(title, ""), []).append(node.name)
    return groups


def field_comments(cls: type) -> dict[str, str]:
    """Every field of a dataclass with the comment at the end of its line, "" where there is none."""
    if not is_dataclass(cls):
        return {}
    source = textwrap.dedent(inspect.getsource(cls))
    comments = _comments(source)
    lines = {node.target.id: node.end_lineno or 0 for node in _annotated(source)}
    return {field.name: comments.get(lines.get(field.name, 0), "") for field in fields(cls)}


def member_comments(cls: type[Enum]) -> dict[str, str]:
    """Every member of an enum with the comment at the end of its line, "" where there is none."""
    source = textwrap.dedent(inspect.getsource(cls))
    comments = _comments(source)
    assigned = [node for node in _body(source) if isinstance(node, ast.Assign)]
    lines = {ast.unparse(node.targets[0]): node.end_lineno or 0 for node in assigned}
    return {name: comments.get(lines.get(name, 0), "") for name in cls.__members__}


def _comments(source: str) -> dict[int, str]:
    """Comments by their line, from 1 on."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _annotated(source: str) -> Iterator[Any]:
    return (node for node in _body(source) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))


def _body(source: str) -> list[ast.stmt]:
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    return body.body


def _is_title(line: str) -> bool:
    """A comment of its own on the level of the class's body."""
    return line.startswith("    # ")


def _parameters(function: Any) -> str:
    """The signature as text, without self and result; one parameter a line if it is long."""
    parameters = [item for item in inspect.signature(function).parameters.values() if item.name not in ("self", "cls")]
    shown = [_parameter(item) for item in parameters]
    place = next((n for n, item in enumerate(parameters) if item.kind is item.KEYWORD_ONLY), None)
    if place is not None:
        shown.insert(place, "*")
    text = f"({', '.join(shown)})"
    return text if len(text) <= _LINE else "(\n" + "".join(f"    {item},\n" for item in shown) + ")"


def _parameter(parameter: inspect.Parameter) -> str:
    """Name, type without its modules, default."""
    given = parameter.annotation
    named = given if isinstance(given, str) else inspect.formatannotation(given)
    for alias in ("Floats", "Ints"):
        named = named.replace(inspect.formatannotation(getattr(records, alias)), alias)
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    value = str(parameter.default) if isinstance(parameter.default, Enum) else repr(parameter.default)
    default = "" if parameter.default is parameter.empty else f" = {value}"
    return f"{stars}{parameter.name}: {_MODULES.sub('', named)}{default}"
