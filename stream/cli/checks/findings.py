"""What a check found."""

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Status(Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # worth knowing
    WRONG = "wrong"  # the app will not run, or not as it should
    SKIPPED = "skipped"  # not looked at, because something before it is wrong


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str  # declaration, features, models, topics, registry, ...
    status: Status
    subject: str  # what it is about: a feature, a topic
    text: str


@dataclass(slots=True)
class Findings:
    """All of them, in order."""

    found: list[Finding] = field(default_factory=list)

    def ok(self, area: str, subject: str, text: str) -> None:
        """Add what is as it should be."""
        self.found.append(Finding(area, Status.OK, subject, text))

    def note(self, area: str, subject: str, text: str) -> None:
        """Add what is worth knowing."""
        self.found.append(Finding(area, Status.NOTE, subject, text))

    def wrong(self, area: str, subject: str, text: str) -> None:
        """Add what must be corrected; said once however often it is met."""
        if not any(text == each.text and _is_wrong(each) for each in self.found):
            self.found.append(Finding(area, Status.WRONG, subject, text))

    def has_said(self, text: str) -> bool:
        """Whether something wrong was told in these words, whatever names the place before the first colon."""
        words = text.partition(": ")[2] or text
        return any((each.text.partition(": ")[2] or each.text) == words for each in self.found if _is_wrong(each))

    def skipped(self, area: str, subject: str, text: str) -> None:
        """Add what could not be looked at."""
        self.found.append(Finding(area, Status.SKIPPED, subject, text))

    @property
    def problems(self) -> int:
        """How many must be corrected."""
        return sum(_is_wrong(each) for each in self.found)

    def as_json(self) -> list[dict[str, Any]]:
        """For programs."""
        return [{**asdict(each), "status": each.status.value} for each in self.found]


def _is_wrong(finding: Finding) -> bool:
    return finding.status is Status.WRONG
