"""The project's Python files, parsed once, for the style tests."""

import ast
import gc
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("stream", "tests", "benchmarks")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file."""

    path: str  # from the root, with slashes
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """Its dotted name; a package's own for __init__.py."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def is_in(self, *folders: str) -> bool:
        """Whether it lies in, or is, one of these paths."""
        return any(self.path == folder or self.path.startswith(folder + "/") for folder in folders)


def source_of(text: str, path: str = "stream/sample.py") -> Source:
    """A file that exists in a test alone."""
    return Source(path, text, ast.parse(text))


@cache
def all_sources() -> tuple[Source, ...]:
    """Every Python file of the project.

    Millions of nodes, of which none is garbage: the collector would look through them again and again, which was two
    thirds of the time.
    """
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    gc.disable()
    try:
        return tuple(source_of(file.read_text(), file.relative_to(ROOT).as_posix()) for file in files)
    finally:
        gc.freeze()
        gc.enable()


def product_sources() -> tuple[Source, ...]:
    """Every Python file that ships."""
    return tuple(source for source in all_sources() if source.is_in("stream"))
