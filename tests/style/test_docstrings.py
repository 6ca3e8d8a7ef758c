"""Docstrings are contracts: everything public has one, and the arguments it lists are those of the signature."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from tests.style.ratchet import ALLOWED, complaints
from tests.style.sources import Source, all_sources, product_sources, source_of

Function = ast.FunctionDef | ast.AsyncFunctionDef
SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Example|Examples|Attributes|Note|Source):\s*$")
ENTRY = re.compile(r"^    (\*{0,2}\w+)(?: \(.*?\))?:")


def undocumented(source: Source, contracts: frozenset[str] = frozenset()) -> Iterator[str]:
    """Public modules, classes, functions and methods without a docstring.

    Args:
        source: a file.
        contracts: names of methods that some other class documents: what they promise is said there, once.
    """
    if source.text.strip() and ast.get_docstring(source.tree) is None:
        yield f"{source.path}: the module"
    for node, owner in _public(source.tree):
        if not _documented(node) and not (owner and node.name in contracts):
            yield f"{source.path}:{node.lineno} {node.name}"


def contracts_of(sources: Iterable[Source]) -> frozenset[str]:
    """Methods that are documented by a base class or a Protocol."""
    return frozenset(
        node.name
        for source in sources
        for node, owner in _public(source.tree)
        if owner is not None and _is_contract(owner) and _documented(node)
    )


def wrong_arguments(source: Source) -> Iterator[str]:
    """Functions whose `Args:` differ from their signature."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            listed = listed_arguments(ast.get_docstring(node) or "")
            expected = _parameters(node)
            if listed is not None and listed != expected:
                yield f"{source.path}:{node.lineno} {node.name}: Args say {listed}, the signature {expected}"


def listed_arguments(docstring: str) -> list[str] | None:
    """The names under `Args:` in order, None where there is no such section."""
    lines = docstring.splitlines()
    if "Args:" not in [line.rstrip() for line in lines]:
        return None
    names = []
    for line in lines[[line.rstrip() for line in lines].index("Args:") + 1 :]:
        if SECTION.match(line):
            break
        entry = ENTRY.match(line)
        if entry:
            names.append(entry.group(1))
    return names


def _parameters(function: Function) -> list[str]:
    arguments = function.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    names = positional[1:] if positional[:1] in (["self"], ["cls"]) else positional
    if arguments.vararg:
        names.append("*" + arguments.vararg.arg)
    names += [argument.arg for argument in arguments.kwonlyargs]
    if arguments.kwarg:
        names.append("**" + arguments.kwarg.arg)
    return names


def _public(
    tree: ast.Module | ast.ClassDef, owner: ast.ClassDef | None = None
) -> Iterator[tuple[Function | ast.ClassDef, ast.ClassDef | None]]:
    """Public definitions and the class each stands in."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node, owner
            if isinstance(node, ast.ClassDef):
                yield from _public(node, node)


def _is_contract(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).partition("[")[0] in {"Protocol", "ABC"} for base in node.bases)


def _documented(node: Function | ast.ClassDef) -> bool:
    """A setter and an overload speak through their first definition."""
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    is_repeated = any(name == "overload" or name.endswith((".setter", ".overload")) for name in decorators)
    return is_repeated or "override" in decorators or ast.get_docstring(node) is not None


def test_everything_public_is_documented() -> None:
    """Every public module, class, function and method says what it is for, but for the listed count of each file."""
    contracts = contracts_of(product_sources())
    found = Counter(source.path for source in product_sources() for _ in undocumented(source, contracts))
    assert complaints(found.items(), ALLOWED["undocumented"], 0, "undocumented names", "document them") == []


def test_every_test_tells_its_story() -> None:
    """Every test has a sentence that says what it shows."""
    silent = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in all_sources()
        if source.is_in("tests")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and ast.get_docstring(node) is None
    ]
    assert silent == []


def test_documented_arguments_are_those_of_the_signature() -> None:
    """Where a docstring lists arguments, it lists all of them, in order, and no others."""
    assert [complaint for source in all_sources() for complaint in wrong_arguments(source)] == []


def test_a_missing_docstring_is_found() -> None:
    """Public names without a docstring are named; private ones and nested functions are not asked."""
    text = '"""Module."""\nclass A:\n    def f(self): ...\n    def _g(self): ...\n'
    text += 'def h():\n    """Ok."""\n    def i(): ...\n'
    assert list(undocumented(source_of(text))) == ["stream/sample.py:2 A", "stream/sample.py:3 f"]
    assert list(undocumented(source_of(text), frozenset({"f"}))) == ["stream/sample.py:2 A"]
    assert list(undocumented(source_of("x = 1\n"))) == ["stream/sample.py: the module"]


def test_wrong_arguments_are_found() -> None:
    """A misspelt, missing or reordered argument is seen; a right list, with its types or without, passes."""
    right = 'def f(self, a, *b, c=1, **d):\n    """F.\n\n    Args:\n        a (int): x\n        *b: y\n        c: z\n'
    right += '            more: of z\n        **d: w\n\n    Returns:\n        e: not an argument\n    """\n'
    assert list(wrong_arguments(source_of(right))) == []
    for wrong in (right.replace("c: z", "e: z"), right.replace("        c: z\n", ""), right.replace("*b: y", "c: y")):
        assert len(list(wrong_arguments(source_of(wrong)))) == 1
