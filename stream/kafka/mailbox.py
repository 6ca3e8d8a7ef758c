"""Where helper threads leave their answers for the polling thread, in the order in which they came."""

import queue
from collections.abc import Callable
from concurrent.futures import Executor

from stream.engine.protocol import Event
from stream.kafka.follower import FollowedFound
from stream.kafka.log_context import with_log_context
from stream.kafka.task_finder import Found

Mail = Event | Found | FollowedFound


class Mailbox:
    """Events and errors of helper threads. Anyone posts, the polling thread takes."""

    def __init__(self) -> None:
        self._posted: queue.SimpleQueue[Mail | Exception] = queue.SimpleQueue()

    def post(self, item: Mail | Exception) -> None:
        """Leave an event, or an error that ends the worker."""
        self._posted.put(item)

    def run(self, threads: Executor, work: Callable[[], Mail | None]) -> None:
        """Do `work` in a helper thread and post what it returns or raises."""
        threads.submit(with_log_context(lambda: self._do(work)))

    def take(self, timeout_s: float = 0.0) -> Mail | None:
        """The oldest event, waiting for one if need be; None if none came.

        Raises:
            Exception: what a helper thread left.
        """
        try:
            item = self._posted.get(timeout=timeout_s) if timeout_s > 0 else self._posted.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    def take_all(self) -> list[Mail]:
        """All events that are there, oldest first; raises as `take` does."""
        events = []
        while (event := self.take()) is not None:
            events.append(event)
        return events

    def _do(self, work: Callable[[], Mail | None]) -> None:
        try:
            event = work()
        except Exception as error:  # noqa: BLE001 - a helper thread has no one above it: the polling thread raises it
            self.post(error)
        else:
            if event is not None:
                self.post(event)
