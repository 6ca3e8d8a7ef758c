"""Where outputs go, and in which format."""

from dataclasses import dataclass

from stream.config import TopicNames


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """Where outputs go, and what stands before each: wire format and schema id; None writes JSON."""

    topics: TopicNames
    prediction_header: bytes | None
    alert_header: bytes | None
    max_record_bytes: int = 1_000_000  # largest record that the output topics take (the broker's default is 1,048,588)
