"""The image's warm-up, run as the Dockerfile runs it."""

import os
import re
import subprocess
import sys

import pytest

from stream.kernels.cache import cache_folder
from tests.deploy.files import DEPLOY, ROOT

pytestmark = pytest.mark.slow  # compiles the kernels of an app where no other test has done so


def warm(target: str) -> subprocess.CompletedProcess[str]:
    """Run warm.py into the tests' own cache of kernels."""
    environment = {**os.environ, "STREAM_CACHE": str(cache_folder()), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(DEPLOY / "warm.py"), target]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def test_after_the_warm_up_nothing_is_left_to_compile() -> None:
    """The second process finds every kernel of the app in the cache, events, labels and snapshot included."""
    first, second = warm("tests.deploy.small_app:app"), warm("tests.deploy.small_app:app")

    assert first.returncode == 0, first.stderr
    assert re.fullmatch(r"small: \d+ kernels compiled in \d+\.\d s\n", first.stdout)
    assert second.stdout == "small: 0 kernels compiled in 0.0 s\n"
