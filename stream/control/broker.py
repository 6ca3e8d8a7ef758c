"""How Faust talks to the broker here: committed records only."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver

from stream.control.security import credentials
from stream.errors import ConfigError, RetriableError


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    logger = logging.getLogger("faust.consumer")  # what Faust says of its own life is not this project's news

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust reads uncommitted records unless it runs in transactions of its own, and has no setting for it; then
        # operators would see alerts of aborted transactions. The consumer is not started yet, so this takes effect.
        if not hasattr(consumer, "_isolation_level"):
            raise ConfigError("this release of aiokafka is not supported: read_committed cannot be set")
        consumer._isolation_level = "read_committed"
        return consumer


class _Consumer(driver.Consumer):  # type: ignore[misc]
    logger = logging.getLogger("faust.consumer")

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class ReadCommittedTransport(driver.Transport):  # type: ignore[misc]
    """Faust's Kafka transport, whose consumer sees only what was committed."""

    Consumer = _Consumer


def partition_count(kafka: Mapping[str, str], topic: str) -> int:
    """How many partitions `topic` has.

    Raises ConfigError if there is no such topic (create it first), RetriableError if the broker does not answer.
    """
    return asyncio.run(_partition_count(kafka, topic))


async def _partition_count(kafka: Mapping[str, str], topic: str) -> int:
    servers = kafka["bootstrap.servers"]
    access = credentials(kafka)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, **driver.credentials_to_aiokafka_auth(access))
    with _last_words_of_aiokafka() as said:
        try:
            await admin.start()
            found = await admin.describe_topics([topic])
        except (KafkaError, OSError) as error:
            raise RetriableError(
                f"no Kafka answers at {servers} ({said[-1] if said else error}). Is it running? `stream broker up` "
                "starts one on this machine; bootstrap_servers is the setting, [librdkafka] has security.protocol"
            ) from error
        finally:
            await admin.close()
    partitions = len(found[0]["partitions"])
    if not partitions:
        raise ConfigError(f"topic {topic} does not exist: create it with `stream topics create APP`")
    return partitions


@contextmanager
def _last_words_of_aiokafka() -> Iterator[list[str]]:
    """What it logs meanwhile: the reason of a failure stands there alone, and belongs into the one error."""
    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("aiokafka")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagate
