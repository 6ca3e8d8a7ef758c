"""What a start does not import, for each of these takes a good part of a second."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("imported", "left_out"),
    [
        ("stream.cli.main", ("importlib.metadata", "numba", "numpy", "confluent_kafka", "river", "faust")),
        ("stream.runtime.worker", ("confluent_kafka.schema_registry", "fsspec", "httpx2", "river", "faust", "pyarrow")),
    ],
)
def test_what_is_not_needed_is_not_imported(imported: str, left_out: tuple[str, ...]) -> None:
    """The list of commands needs no numba; a worker needs the registry's client once it speaks to one."""
    code = f"import sys, {imported}; print(*sorted(set({left_out!r}) & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert ended.stdout.split() == []
