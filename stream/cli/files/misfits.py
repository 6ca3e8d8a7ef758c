"""The report of rows that do not fit: what was wrong how often, with an example, and the rows themselves in a file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from stream.cli.files.encoding import Misfit

_SHOWN_KINDS = 10
_SHOWN_EXAMPLES = 3


@dataclass(slots=True)
class _Kind:
    """Misfits of one field by one expectation."""

    count: int = 0
    examples: dict[str, Misfit] = field(default_factory=dict)  # the first of each text that was got, a few of them
    has_more: bool = False  # texts than these

    def add(self, misfit: Misfit) -> None:
        self.count += 1
        if misfit.got not in self.examples:
            if len(self.examples) < _SHOWN_EXAMPLES:
                self.examples[misfit.got] = misfit
            else:
                self.has_more = True

    @property
    def first(self) -> Misfit:
        return next(iter(self.examples.values()))

    def line(self) -> str:
        got = ", ".join(f"{each.got} (row {each.row:,})" for each in self.examples.values())
        more = " and others" if self.has_more else ""
        return f"  {self.count:,} x {self.first.field or 'row'}: expected {self.first.expected}, got {got}{more}"


class MisfitReport:
    """Counts misfits by field and by what was expected.

    Args:
        rejects: a file that gets each of them as a line of JSON: row, field, expected, got, record.
    """

    def __init__(self, rejects: Path | None = None) -> None:
        self.count = 0
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._file: IO[str] | None = rejects.open("w") if rejects else None

    def __enter__(self) -> "MisfitReport":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file:
            self._file.close()

    def add(self, misfit: Misfit, record: Any) -> None:
        """Count one; `record` is what `RowEncoder.as_json` gives of its row."""
        self.count += 1
        self._kinds.setdefault((misfit.field, misfit.expected), _Kind()).add(misfit)
        if self._file:
            told = {"row": misfit.row, "field": misfit.field, "expected": misfit.expected, "got": misfit.got}
            self._file.write(json.dumps({**told, "record": record}) + "\n")

    def lines(self) -> list[str]:
        """For people: one line a kind, the most frequent first."""
        kinds = sorted(self._kinds.values(), key=lambda kind: -kind.count)
        lines = [kind.line() for kind in kinds[:_SHOWN_KINDS]]
        return lines + ([f"  and {len(kinds) - _SHOWN_KINDS} more kinds"] if len(kinds) > _SHOWN_KINDS else [])

    def as_json(self) -> list[dict[str, Any]]:
        """For programs."""
        return [
            {
                "count": kind.count,
                "field": kind.first.field,
                "expected": kind.first.expected,
                "first_row": kind.first.row,
                "got": kind.first.got,
                "examples": [{"row": each.row, "got": each.got} for each in kind.examples.values()],
            }
            for kind in self._kinds.values()
        ]
