"""The schemas by which alerts were written: another release may write more fields, or in another order."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from stream.control.wire import UnreadableRecord, parsed_schema, writer_id_of
from stream.errors import RetriableError

log = structlog.get_logger("stream.control")

_RETRY_DELAY_S = 1.0

FetchText = Callable[[int], str | None]


class Writers:
    """Writers' schemas by their ids in the registry; each is asked for once.

    Args:
        fetch: the text of a schema, None where the registry has no Avro schema of this id; raises RetriableError where
            it does not answer.
    """

    def __init__(self, fetch: FetchText) -> None:
        self._fetch = fetch
        self._known: dict[int, Any] = {}

    async def schema_of(self, value: bytes) -> Any:
        """The parsed schema of a value in Confluent wire format; None of any other.

        Waits for as long as the registry does not answer: the alert must not be left aside for that. Raises
        UnreadableRecord if the registry has no such schema.
        """
        schema_id = writer_id_of(value)
        if schema_id is None:
            return None
        if schema_id not in self._known:
            self._known[schema_id] = await self._ask(schema_id)
        return self._known[schema_id]

    async def _ask(self, schema_id: int) -> Any:
        while True:
            try:
                text = await asyncio.to_thread(self._fetch, schema_id)
                break
            except RetriableError as error:
                log.error("an alert's schema cannot be read; trying again", schema_id=schema_id, error=str(error))
                await asyncio.sleep(_RETRY_DELAY_S)
        if text is None:
            raise UnreadableRecord(f"the registry has no schema {schema_id}, by which the alert was written")
        return parsed_schema(text)
