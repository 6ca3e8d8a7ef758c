"""Progress of a load: a bar on a terminal, lines of the log elsewhere; rows and their rate at the end of either."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from stream.cli.files.opening import RowFile
from stream.cli.progress import row_progress
from stream.runtime import logs

_log = structlog.get_logger("stream.run")
_LINE_EVERY_S = 5.0


@contextmanager
def load_progress(file: RowFile, topic: str, begun: int) -> Iterator[Callable[[int], None]]:
    """A context whose value is called with the number of rows so far.

    Args:
        file: that is loaded.
        topic: where it goes.
        begun: rows that an earlier start has sent.
    """
    line = _Line(file, topic, begun)
    if logs.are_json():
        yield line.now_and_then
    else:
        with row_progress(f"loading {file.path.name} into {topic}", file.count) as show:
            yield lambda rows: show(line.note(rows))
    line.tell("loaded")


class _Line:
    def __init__(self, file: RowFile, topic: str, begun: int) -> None:
        self._file, self._topic, self._begun = file, topic, begun
        self._rows = begun
        self._began_s = self._told_s = time.monotonic()

    def note(self, rows: int) -> int:
        self._rows = rows
        return rows

    def now_and_then(self, rows: int) -> None:
        self.note(rows)
        if time.monotonic() - self._told_s >= _LINE_EVERY_S:
            self._told_s = time.monotonic()
            self.tell("loading")

    def tell(self, what: str) -> None:
        seconds = max(time.monotonic() - self._began_s, 1e-9)
        total = {} if self._file.count is None else {"of": self._file.count}
        rate = round((self._rows - self._begun) / seconds)
        _log.info(what, file=str(self._file.path), topic=self._topic, rows=self._rows, **total, rows_per_s=rate)
