"""The reference is what the code says."""

import pytest

from docs.generate import FOLDER, pages
from docs.generator.docstrings import markdown_of
from docs.generator.operation import table
from docs.generator.python_api import field_comments
from stream.runtime.settings import Settings


def test_the_reference_is_up_to_date() -> None:
    """Every page is what docs/generate.py writes now, and there is no other."""
    written = {file.name: file.read_text() for file in FOLDER.glob("*.md")}
    stale = [name for name, text in pages().items() if written.pop(name, None) != text]
    assert (stale, sorted(written)) == ([], []), "the code changed: run `make docs` and commit docs/reference"


def test_sections_and_examples_become_lists_and_code() -> None:
    """Given a docstring with every kind of part: arguments in a list, a doctest and an indented block in fences."""

    def sample(name: str) -> None:
        """One sentence.

            first = 1

            second = 2

        Args:
            name: what it
                means.

        Example:
            >>> sample('a')
            1
        """

    assert markdown_of(sample) == (
        "One sentence.\n\n```python\nfirst = 1\n\nsecond = 2\n```\n\n"
        "Parameters:\n\n- `name`: what it means.\n\nExample:\n\n```python\n>>> sample('a')\n1\n```"
    )


def test_what_says_nothing_is_refused() -> None:
    """A public name without a docstring cannot be in the reference."""
    with pytest.raises(ValueError, match="has no docstring"):
        markdown_of(lambda: None)


def test_fields_are_explained_by_the_comments_on_their_lines() -> None:
    """Given the settings, each has one."""
    notes = field_comments(Settings)
    assert notes["librdkafka"] == "of every client"
    assert [name for name, note in notes.items() if not note] == []


def test_a_pipe_does_not_end_a_cell() -> None:
    """It would otherwise begin a new one."""
    assert table([["a", "b"], ["int | None", "x"]]) == "| a | b |\n| --- | --- |\n| int \\| None | x |"
