"""Docstrings as Markdown: sections become lists, doctests become code."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Example|Examples|Attributes|Note|Source):\s*$")
_ENTRY = re.compile(r"^(\*{0,2}[\w.]+)(?: \(.*?\))?: (.*)$")
_TITLES = {"Args": "Parameters"}


@dataclass(frozen=True, slots=True)
class _Section:
    name: str  # "" for what stands before the first
    lines: tuple[str, ...]  # without their indentation


def markdown_of(subject: object) -> str:
    """The docstring of a module, class or function as Markdown.

    Raises:
        ValueError: it has none.
    """
    text = inspect.getdoc(subject)
    if not text:
        raise ValueError(f"{subject!r} has no docstring: write one")
    return "\n\n".join(block for section in _sections(text) if (block := _block(section)))


def summary_of(subject: object) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((inspect.getdoc(subject) or "").split("\n\n")[0].split())


def _sections(text: str) -> Iterator[_Section]:
    name, lines = "", []
    for line in text.splitlines():
        found = _SECTION.match(line)
        if found:
            yield _Section(name, tuple(lines))
            name, lines = found.group(1), []
        else:
            lines.append(line.removeprefix("    ") if name else line)
    yield _Section(name, tuple(lines))


def _block(section: _Section) -> str:
    if not section.name:
        return "\n".join(_fenced(section.lines)).strip()
    title = f"{_TITLES.get(section.name, section.name)}:"
    shape: Callable[[tuple[str, ...]], str] = _entries if section.name in ("Args", "Raises", "Attributes") else _prose
    return f"{title}\n\n{shape(section.lines)}"


def _entries(lines: tuple[str, ...]) -> str:
    """`name: text` with its continuation lines, as a list."""
    items: list[str] = []
    for line in lines:
        entry = _ENTRY.match(line)
        if entry:
            items.append(f"- `{entry.group(1)}`: {entry.group(2)}")
        elif line.strip():
            items[-1] += f" {line.strip()}"
    return "\n".join(items)


def _prose(lines: tuple[str, ...]) -> str:
    return "\n".join(_fenced(lines)).strip()


def _fenced(lines: tuple[str, ...]) -> Iterator[str]:
    """The lines, with doctests (to the next blank line) and indented blocks between fences."""
    is_code = is_fenced = False
    for place, line in enumerate(lines):
        is_fenced ^= line.startswith("```")
        begins = not is_fenced and line.startswith((">>> ", "    "))
        if begins and not is_code:
            yield "```python"
        elif is_code and not line.strip() and not _goes_on(lines, place):
            is_code = False
            yield "```"
        is_code = is_code or begins
        yield line.removeprefix("    ") if is_code else line
    if is_code:
        yield "```"


def _goes_on(lines: tuple[str, ...], place: int) -> bool:
    """Whether an indented block continues behind the blank line."""
    return place + 1 < len(lines) and lines[place + 1].startswith("    ")
