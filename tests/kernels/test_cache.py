"""The kernel cache: nothing stale, nothing torn, nothing of another user."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.errors import ConfigError
from stream.kernels import digest_of, load_generated, use_cache
from stream.kernels.cache import compiling_alone

MAIN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from stream.kernels import compilations, use_cache
from outside import outer
use_cache(Path(sys.argv[1]))
print(json.dumps([outer(3.0), compilations()]))
"""
INNER = "from stream.kernels import kernel\n@kernel\ndef inner(x):\n    return x * {factor}\n"
OUTER = (
    "import inside\nfrom stream.kernels import kernel\nADDED = {added}\n"
    "@kernel\ndef outer(x):\n    return inside.inner(x) + ADDED\n"
)


def written(folder: Path, factor: float = 2.0, added: float = 1.0) -> None:
    (folder / "inside.py").write_text(INNER.format(factor=factor))
    (folder / "outside.py").write_text(OUTER.format(added=added))


def started(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", MAIN, str(folder / "cache"), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def ran(folder: Path) -> tuple[float, int]:
    """The result of outer(3.0) in a new process, and how many kernels it compiled."""
    output, _ = started(folder).communicate(timeout=240)
    result, compiled = json.loads(output)
    return result, compiled


@pytest.mark.slow  # many processes
def test_a_warm_start_compiles_nothing_and_changes_compile_again(tmp_path: Path) -> None:
    """Same code: loaded. A callee in another module, or a constant, changed: compiled, with the new result."""
    written(tmp_path)
    assert ran(tmp_path) == (7.0, 2)
    assert ran(tmp_path) == (7.0, 0)
    written(tmp_path, factor=5.0)
    assert ran(tmp_path) == (16.0, 2)
    written(tmp_path, factor=5.0, added=2.0)
    assert ran(tmp_path) == (17.0, 1)


@pytest.mark.slow  # many processes
def test_torn_entries_are_compiled_again(tmp_path: Path) -> None:
    """Cut in half, emptied or filled with something else: the next start makes it new, the one after loads it."""
    written(tmp_path)
    ran(tmp_path)
    for damage in (lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"x" * 99):
        for entry in (tmp_path / "cache").glob("outer-*.kernel"):
            entry.write_bytes(damage(entry.read_bytes()))
        assert ran(tmp_path) == (7.0, 1)
    assert ran(tmp_path) == (7.0, 0)


@pytest.mark.slow
def test_processes_that_start_together_compile_once(tmp_path: Path) -> None:
    """Two at once: each kernel is compiled by one of them and loaded by the other."""
    written(tmp_path)
    results = [json.loads(process.communicate(timeout=240)[0]) for process in (started(tmp_path), started(tmp_path))]
    assert [result for result, _ in results] == [7.0, 7.0]
    assert sum(compiled for _, compiled in results) == 2


@pytest.mark.slow
def test_different_kernels_are_compiled_at_once(tmp_path: Path) -> None:
    """While one process compiles a kernel (here: holds its lock), another one compiles its own and does not wait."""
    written(tmp_path)
    use_cache(tmp_path / "cache")
    try:
        with compiling_alone("some other kernel"), compiling_alone("one that it calls"):
            assert ran(tmp_path) == (7.0, 2)
    finally:
        use_cache(None)


@pytest.mark.slow
def test_processes_that_wait_for_each_other_go_on(tmp_path: Path) -> None:
    """Kernels that call each other, begun at either end by two processes: none waits for ever."""
    use_cache(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom stream.kernels import use_cache\n"
        "from stream.kernels.cache import compiling_alone\n"
        "use_cache(Path(sys.argv[1]))\n"
        "with compiling_alone('second'):\n    print('here', flush=True)\n    with compiling_alone('first'): pass\n"
    )
    try:
        with compiling_alone("first"):
            other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
            assert other.stdout is not None
            assert other.stdout.readline() == "here\n"
            with compiling_alone("second"):
                pass
    finally:
        use_cache(None)
    other.communicate(timeout=240)
    assert other.returncode == 0


def test_the_folder_is_private(tmp_path: Path) -> None:
    """Its files are code: nobody else may write them."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    try:
        use_cache(folder)
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        use_cache(None)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder and both users."""
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigError, match="4711"):
        use_cache(tmp_path)


def test_generated_modules_are_named_by_content_and_kept(tmp_path: Path) -> None:
    """The same source gives the same module; its file stands in generated/."""
    source = "from stream.kernels import kernel\n@kernel\ndef tripled(x):\n    return 3 * x\n"
    use_cache(tmp_path)
    try:
        module = load_generated("tripling", source)
    finally:
        use_cache(None)
    assert module.tripled(4) == 12
    assert load_generated("tripling", source) is module
    assert load_generated("tripling", source.replace("3", "4")).tripled(4) == 16
    assert [path.read_text() for path in (tmp_path / "generated").glob("tripling_*.py")] == [source]


def test_digests_see_callees_and_constants_but_not_comments() -> None:
    """A docstring, a comment or an empty line changes nothing; a constant or a callee does."""
    head = "from stream.kernels import kernel\nSCALE = {scale}\n"
    head += "@kernel\ndef called(x):\n    {note}\n    return x * SCALE\n"
    tail = "@kernel\ndef calling(x):\n    return called(x) + 1\n"
    plain, noted, scaled = (
        digest_of(load_generated("digests", head.format(scale=scale, note=note) + tail).calling)
        for scale, note in ((2, "'a'"), (2, "'b'  # why"), (3, "'a'"))
    )
    assert plain == noted != scaled


def test_values_that_the_cache_cannot_see_change_are_refused() -> None:
    """A list is named, with what to use instead."""
    source = "from stream.kernels import kernel\nITEMS = [1]\n@kernel\ndef first(x):\n    return ITEMS[0]\n"
    with pytest.raises(TypeError, match="uses ITEMS, a list"):
        digest_of(load_generated("refused", source).first)
