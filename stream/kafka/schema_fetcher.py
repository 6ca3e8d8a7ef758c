"""Asks the registry again and again while it does not answer: an unknown schema is retried, never rejected (rule 3)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

from stream.engine.protocol import SchemaFetched, SchemaRefused
from stream.errors import RetriableError
from stream.kafka.mailbox import Mailbox

if TYPE_CHECKING:
    from stream.kafka.registry import Registry

_log = structlog.get_logger("stream.kafka")

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 10.0
# As many ids as may be asked for at a time; an id whose answer is awaited holds up only its own partition.
_THREADS = 4


class SchemaFetcher:
    """Answers FetchSchema, each id once however many tasks ask."""

    def __init__(self, registry: "Registry", mailbox: Mailbox) -> None:
        self._registry = registry
        self._mailbox = mailbox
        self._asked: set[int] = set()
        self._closing = threading.Event()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="stream-schemas")

    def fetch(self, schema_id: int) -> None:
        """Ask for a schema; the answer is posted."""
        if schema_id not in self._asked:
            self._asked.add(schema_id)
            self._mailbox.run(self._threads, lambda: self._fetch(schema_id))

    def answered(self, schema_id: int) -> None:
        """Note that the answer was delivered: asked anew, it is fetched anew."""
        self._asked.discard(schema_id)

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._registry.close()

    def _fetch(self, schema_id: int) -> SchemaFetched | SchemaRefused | None:
        wait_s = _FIRST_WAIT_S
        while not self._closing.is_set():
            try:
                return self._registry.fetch(schema_id)
            except RetriableError as error:
                _log.warning("schema not fetched yet", schema_id=schema_id, error=str(error), again_in_s=wait_s)
            self._closing.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        return None
