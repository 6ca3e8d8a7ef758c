"""How Faust talks to the broker here: committed records only, and the security that librdkafka's settings name."""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from typing import Any

import aiokafka
import faust
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver

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


def credentials(kafka: Mapping[str, str]) -> Any:
    """Faust's credentials for librdkafka's security.protocol, sasl.* and ssl.* settings; None for plaintext.

    Raises ConfigError for a protocol or mechanism that Faust does not offer.
    """
    protocol = kafka.get("security.protocol", "plaintext").upper()
    if protocol == "PLAINTEXT":
        return None
    if protocol not in ("SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        raise ConfigError(f"security.protocol {protocol!r} is unknown: use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    context = _ssl_context(kafka) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    mechanism = kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", "PLAIN")).upper()
    if mechanism not in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        raise ConfigError(f"sasl.mechanism {mechanism!r} is not offered by the control plane: use PLAIN or SCRAM")
    return faust.SASLCredentials(
        username=kafka.get("sasl.username"),
        password=kafka.get("sasl.password"),
        ssl_context=context,
        mechanism=mechanism,
    )


def partition_count(kafka: Mapping[str, str], topic: str) -> int:
    """How many partitions `topic` has.

    Raises ConfigError if there is no such topic (create it first), RetriableError if the broker does not answer.
    """
    return asyncio.run(_partition_count(kafka, topic))


async def _partition_count(kafka: Mapping[str, str], topic: str) -> int:
    servers = kafka["bootstrap.servers"]
    access = credentials(kafka)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, **driver.credentials_to_aiokafka_auth(access))
    try:
        await admin.start()
        found = await admin.describe_topics([topic])
    except (KafkaError, OSError) as error:
        raise RetriableError(f"no Kafka answers at {servers} ({error}): check bootstrap.servers, start it") from error
    finally:
        await admin.close()
    partitions = len(found[0]["partitions"])
    if not partitions:
        raise ConfigError(f"topic {topic} does not exist: create it with `stream topics create APP`")
    return partitions


def _ssl_context(kafka: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"))
    certificate = kafka.get("ssl.certificate.location")
    if certificate:
        context.load_cert_chain(certificate, kafka.get("ssl.key.location"), kafka.get("ssl.key.password"))
    return context
