"""The structure is what it says it is: no import cycles, no drawers for odds and ends, a true map."""

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.style.sources import ROOT, Source, all_sources, product_sources, source_of

DRAWERS = {"util", "utils", "helper", "helpers", "common", "misc", "tools", "shared"}
PATH_IN_TEXT = re.compile(r"(?<![\w/.:-])(?:stream|tests|docs|schemas|deploy|benchmarks|\.ci)/[\w./-]*\w")


def imported_modules(source: Source, modules: set[str]) -> Iterator[str]:
    """The project's modules that a file imports when it is imported itself."""
    for node in _at_import(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield from [name for name in (below, node.module) if name in modules][:1]


def import_cycle(sources: Iterable[Source]) -> list[str]:
    """One cycle of imports, empty where there is none."""
    files = {source.module: source for source in sources}
    graph = {name: set(imported_modules(source, set(files))) - {name} for name, source in files.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def untrue_paths(text: str, root: Path) -> list[str]:
    """Paths of the project that a text names and that are not there."""
    return sorted({path for path in PATH_IN_TEXT.findall(text) if not (root / path).exists()})


def _at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run on import; not those of functions or for the type checker alone."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom))


def test_imports_have_no_cycle() -> None:
    """Each module can be understood after those it imports."""
    assert import_cycle(product_sources()) == []


def test_no_file_is_a_drawer() -> None:
    """No module or folder is named for being useful."""
    names = {source.path: set(Path(source.path).with_suffix("").parts) for source in all_sources()}
    assert [path for path, parts in names.items() if parts & DRAWERS] == []


@pytest.mark.parametrize("document", ["README.md", "docs"])
def test_paths_in_the_documents_exist(document: str) -> None:
    """Every path of the project that a document names is there."""
    files = [ROOT / document] if document.endswith(".md") else sorted((ROOT / document).rglob("*.md"))
    untrue = {file.name: untrue_paths(file.read_text(), ROOT) for file in files}
    assert {name: paths for name, paths in untrue.items() if paths} == {}


def test_the_map_has_every_room() -> None:
    """Once there is a map, each folder of the package is on it."""
    rooms = {source.path.split("/")[1] for source in product_sources() if source.path.count("/") > 1}
    maps = [ROOT / "docs" / "ARCHITECTURE.md", ROOT / "README.md"]
    drawn = [file.read_text() for file in maps if file.exists() and "stream/" in file.read_text()]
    assert [room for room in sorted(rooms) if drawn and f"stream/{room}" not in "".join(drawn)] == []


def test_a_cycle_is_found() -> None:
    """Two modules that import each other are; an import inside a function or for types alone is no cycle."""
    a = source_of("from stream import b", "stream/a.py")
    cyclic = source_of("from stream.a import x", "stream/b.py")
    lazy = source_of("def f():\n    from stream.a import x", "stream/b.py")
    typed = source_of("if TYPE_CHECKING:\n    from stream.a import x", "stream/b.py")
    assert set(import_cycle([a, cyclic])) == {"stream.a", "stream.b"}
    assert import_cycle([a, lazy]) == []
    assert import_cycle([a, typed]) == []


def test_an_untrue_path_is_found(tmp_path: Path) -> None:
    """A folder that is not there is named; a web address is no path of ours."""
    (tmp_path / "stream" / "avro").mkdir(parents=True)
    text = "`stream/avro/` decodes, stream/gone.py does not; https://example.org/docs/x is elsewhere"
    assert untrue_paths(text, tmp_path) == ["stream/gone.py"]
