"""What all tests of features share."""

from collections.abc import Iterator

import pytest

from stream.features import ring
from stream.kernels import key_table


@pytest.fixture(autouse=True, scope="module")
def state_that_begins_small() -> Iterator[None]:
    """So that tables of keys and rings of windows grow several times within a few hundred events."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(key_table, "_FIRST_ROWS", 2)
        patched.setattr(ring, "_FIRST_EVENTS", 2)
        yield
