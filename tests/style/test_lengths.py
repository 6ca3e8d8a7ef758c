"""Functions read top to bottom, modules hold one idea: a limit on each, and a list of exceptions that only shrinks."""

import ast
from collections.abc import Iterator

from tests.style.ratchet import ALLOWED, complaints
from tests.style.sources import Source, all_sources, source_of

FUNCTION_LINES = 70
MODULE_LINES = 400


def long_functions(source: Source) -> Iterator[tuple[str, int]]:
    """Functions over the limit, docstrings not counted."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            first = node.body[0]
            documented = ast.get_docstring(node) is not None and first.end_lineno is not None
            docstring = first.end_lineno - first.lineno + 1 if documented and first.end_lineno else 0
            lines = node.end_lineno - node.lineno + 1 - docstring
            if lines > FUNCTION_LINES:
                yield f"{source.path}:{node.name}", lines


def long_modules(source: Source) -> Iterator[tuple[str, int]]:
    """The file itself, if it is over the limit."""
    lines = source.text.count("\n")
    if lines > MODULE_LINES:
        yield source.path, lines


def test_functions_are_short() -> None:
    """No function has more than 70 lines, but for the listed ones, which may not grow."""
    found = [function for source in all_sources() for function in long_functions(source)]
    assert complaints(found, ALLOWED["functions"], FUNCTION_LINES, "lines", "split it") == []


def test_modules_are_short() -> None:
    """No module has more than 400 lines, but for the listed ones, which may not grow."""
    found = [module for source in all_sources() for module in long_modules(source)]
    assert complaints(found, ALLOWED["modules"], MODULE_LINES, "lines", "split it") == []


def test_a_long_function_is_found() -> None:
    """71 lines are too many, 70 are not, and the docstring does not count."""
    seventy = "def f():\n    '''One\n\n    two.'''\n" + "    x = 1\n" * 69
    assert list(long_functions(source_of(seventy))) == []
    assert list(long_functions(source_of(seventy + "    y = 2\n"))) == [("stream/sample.py:f", 71)]
