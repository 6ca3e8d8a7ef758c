"""What a demo's stream is made of: blocks of events with the truth about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stream.avro import Texts
from stream.avro.build import ColumnValues
from stream.records import Bools, Bytes, Floats, Ints


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a block's events, for a topic of their own; in the order of the events."""

    columns: Mapping[str, ColumnValues]
    times_ms: Ints  # (n,): when each becomes known, by the stream's time


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive events of a stream."""

    columns: Mapping[str, ColumnValues]  # of the event schema
    times_ms: Ints  # (n,): event times, ascending
    targets: Floats  # (n,): the truth, 0 or 1
    keys: Texts | None = None  # of the records
    present: Mapping[str, Bools] = field(default_factory=dict)  # (n,) by column: where it is not null
    labels: Labels | None = None  # None where the event carries its label
    is_after_change: Bools | None = None  # (n,): None where nobody knows of a change

    def __len__(self) -> int:
        return len(self.targets)


def numbered(prefix: str, numbers: Ints, digits: int) -> Texts:
    """Ids such as "p-000000042", made without a loop."""
    places = 10 ** np.arange(digits - 1, -1, -1, dtype=np.int64)
    letters: Bytes = np.empty((len(numbers), len(prefix) + digits), np.uint8)
    letters[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    letters[:, len(prefix) :] = numbers[:, None] // places % 10 + ord("0")
    ends = np.arange(len(numbers) + 1, dtype=np.int64) * letters.shape[1]
    return Texts.from_offsets(letters.reshape(-1), ends)
