"""Makes clients of confluent-kafka: one place where a setting that they do not know or cannot use is an error."""

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException

from stream.errors import ConfigError
from stream.kafka.broker_health import LibrdkafkaLog


def make_client(kind: Callable[..., Any], config: Mapping[str, object]) -> Any:
    """A client that logs to this project's log.

    Args:
        kind: Consumer, Producer or AdminClient of confluent_kafka.
        config: see `stream.kafka.client_config`.

    Raises:
        ConfigError: librdkafka does not know a setting, or cannot use it (a file of certificates that is not there).
    """
    try:
        return kind(dict(config), logger=LibrdkafkaLog())
    except KafkaException as raised:
        raise ConfigError(
            f"the Kafka client does not accept its settings: {raised.args[0].str()}. Check `compression`, and what is "
            "passed on to librdkafka: [librdkafka], [librdkafka_consumer] and [librdkafka_producer] in the file, "
            "STREAM_LIBRDKAFKA_* in the environment"
        ) from raised
