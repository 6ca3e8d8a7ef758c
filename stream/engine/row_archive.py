"""Segments of feature rows in this process: for whoever runs a task beside Kafka, as an evaluation does."""

from collections.abc import Iterable

from stream.engine.effects import OutputBatch
from stream.engine.protocol import RowsFetched


class RowArchive:
    """Keeps what a task spills, and brings it back."""

    def __init__(self) -> None:
        self._contents: dict[int, bytes] = {}

    def keep(self, rows: Iterable[OutputBatch]) -> None:
        """Take `Outputs.rows`."""
        for batch in rows:
            data = batch.data.tobytes()
            for (key, key_end), (value, value_end) in zip(batch.keys.tolist(), batch.values.tolist(), strict=True):
                self._contents[int(data[key:key_end])] = data[value:value_end]

    def fetch(self, partition: int, names: Iterable[int]) -> RowsFetched:
        """The answer to `Outputs.needs_rows`; what was never kept is not there."""
        return RowsFetched(partition, {name: self._contents.get(name) for name in names})
