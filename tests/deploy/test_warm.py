"""What a start compiles is all that a worker calls, and the image's build compiles just that."""

import os
import re
import subprocess
import sys

import pytest

from stream.kernels.cache import cache_folder
from tests.deploy.files import DEPLOY, ROOT

pytestmark = pytest.mark.slow  # compiles the kernels of an app where no other test has done so


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python's with the tests' own cache of kernels."""
    environment = {**os.environ, "STREAM_CACHE": str(cache_folder()), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )


def test_after_the_warm_up_nothing_is_left_to_compile() -> None:
    """The second run finds every kernel of the app in the cache."""
    first, second = (run(str(DEPLOY / "warm.py"), "tests.deploy.small_app:app") for _ in range(2))

    assert first.returncode == 0, first.stderr
    assert re.fullmatch(r"small: \d+ kernels compiled in \d+\.\d s\n", first.stdout)
    assert second.stdout == "small: 0 kernels compiled in 0.0 s\n"


def test_a_worker_calls_no_kernel_that_its_start_has_not_loaded() -> None:
    """Tables that grow, labels, a snapshot and a restore included: compilation would hold the stream up."""
    ended = run("-m", "tests.deploy.kernels_of_a_day")

    assert ended.returncode == 0, ended.stderr
    assert not ended.stdout


def test_an_app_that_is_not_there_is_one_clear_error() -> None:
    """The image's build ends with the reason, not with a traceback."""
    ended = run(str(DEPLOY / "warm.py"), "nowhere:app")

    assert ended.returncode == 1
    assert ended.stderr.startswith("warm.py: there is no module 'nowhere' here")
