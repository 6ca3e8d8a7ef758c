"""What docs/testing.md shows runs."""

import pytest

from tests.docs.test_readme import ROOT, blocks


@pytest.mark.slow
def test_the_examples_run() -> None:
    """One after the other, as a reader would type them."""
    examples = blocks((ROOT / "docs" / "testing.md").read_text(), "python")
    assert len(examples) == 3
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "docs/testing.md", "exec"), names)
