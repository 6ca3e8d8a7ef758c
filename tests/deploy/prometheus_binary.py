"""A real Prometheus for the tests: the machine's own, or Debian's package unpacked into the user's cache."""

import shutil
import subprocess
from pathlib import Path

import platformdirs

_WHAT_TO_DO = (
    "the dashboard's queries run on a real Prometheus, and there is none: install it (Debian, Ubuntu: "
    "apt install prometheus; elsewhere: see prometheus.io/download) so that `prometheus` and `promtool` are on the PATH"
)


def find_prometheus() -> tuple[Path, Path]:
    """Paths of `prometheus` and `promtool`; downloads Debian's package (19 MB, no root needed) where there are none.

    Raises AssertionError with what to do where neither is possible: the tests need it, and are not skipped.
    """
    installed = shutil.which("prometheus"), shutil.which("promtool")
    if installed[0] and installed[1]:
        return Path(installed[0]), Path(installed[1])
    folder = platformdirs.user_cache_path("stream-learn") / "prometheus"
    if not (folder / "usr/bin/prometheus").exists():
        _download(folder)
    return folder / "usr/bin/prometheus", folder / "usr/bin/promtool"


def _download(folder: Path) -> None:
    assert shutil.which("apt-get") and shutil.which("dpkg-deb"), _WHAT_TO_DO
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    for part in ("state/lists/partial", "cache/archives/partial", "root"):
        (draft / part).mkdir(parents=True)
    # apt's own folders belong to root; with these it works for every user and changes nothing on the machine.
    apt = [
        "apt-get",
        "-q",
        "-o",
        f"Dir::State={draft}/state",
        "-o",
        f"Dir::Cache={draft}/cache",
        "-o",
        "APT::Sandbox::User=",
    ]
    _run([*apt, "update"], draft)
    _run([*apt, "download", "prometheus"], draft)
    (package,) = draft.glob("prometheus_*.deb")
    _run(["dpkg-deb", "-x", str(package), str(draft / "root")], draft)
    shutil.rmtree(folder, ignore_errors=True)
    (draft / "root").rename(folder)
    shutil.rmtree(draft)


def _run(command: list[str], folder: Path) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}\n{_WHAT_TO_DO}"
