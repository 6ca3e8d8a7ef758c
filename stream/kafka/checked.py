"""What a check of the cluster says of one thing."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How bad it is."""

    OK = "ok"
    UNKNOWN = "unknown"  # could not be looked at: a right is missing
    DOUBTFUL = "doubtful"  # a worker says so, and starts
    REFUSED = "refused"  # would lose data or break a promise: a worker does not start


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was looked at."""

    verdict: Verdict
    subject: str  # a topic, or "partitions", "transactions", "sessions", "clock"
    text: str  # what is so; where it is wrong the setting, the rule and what to do
