"""Files that ship with the project: found in the wheel (inside the package) and in a checkout (beside it)."""

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(relative: str) -> Path:
    """Path of a shipped file or folder, e.g. `schemas/alert/v1.avsc`; raises FileNotFoundError if there is none."""
    for root in (_PACKAGE, _PACKAGE.parent):
        if (root / relative).exists():
            return root / relative
    raise FileNotFoundError(f"{relative} does not ship with this installation")


@cache
def schema_text(subject: str, version: int = 1) -> str:
    """The text of `schemas/<subject>/v<version>.avsc`."""
    return shipped(f"schemas/{subject}/v{version}.avsc").read_text()
