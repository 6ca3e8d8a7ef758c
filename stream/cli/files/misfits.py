"""The report of rows that do not fit: what was wrong how often, with an example, and the rows themselves in a file."""

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from stream.cli.files.encoding import Misfit
from stream.cli.files.opening import Row

_SHOWN_KINDS = 10


class MisfitReport:
    """Counts misfits by field and by what was expected.

    Args:
        rejects: a file that gets each of them as a line of JSON: row, field, expected, got, record.
    """

    def __init__(self, rejects: Path | None = None) -> None:
        self.count = 0
        self._kinds: dict[tuple[str, str], list[Any]] = {}  # [how many, the first]
        self._file: IO[str] | None = rejects.open("w") if rejects else None

    def __enter__(self) -> "MisfitReport":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file:
            self._file.close()

    def add(self, misfit: Misfit, row: Row) -> None:
        """Count one."""
        self.count += 1
        kind = self._kinds.setdefault((misfit.field, misfit.expected), [0, misfit])
        kind[0] += 1
        if self._file:
            told = {"row": misfit.row, "field": misfit.field, "expected": misfit.expected, "got": misfit.got}
            self._file.write(json.dumps({**told, "record": row.values}, default=repr) + "\n")

    def lines(self) -> list[str]:
        """For people: one line a kind, the most frequent first."""
        kinds = sorted(self._kinds.values(), key=lambda kind: -kind[0])
        lines = [
            f"  {count:,} x {first.field or 'row'}: expected {first.expected}, got {first.got} (row {first.row:,})"
            for count, first in kinds[:_SHOWN_KINDS]
        ]
        return lines + ([f"  and {len(kinds) - _SHOWN_KINDS} more kinds"] if len(kinds) > _SHOWN_KINDS else [])

    def as_json(self) -> list[dict[str, Any]]:
        """For programs."""
        return [
            {
                "count": count,
                "field": first.field,
                "expected": first.expected,
                "first_row": first.row,
                "got": first.got,
            }
            for count, first in self._kinds.values()
        ]
