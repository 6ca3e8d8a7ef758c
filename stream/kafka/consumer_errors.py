"""What an error of librdkafka means for the worker: what is wrong, where, and what to do about it."""

from typing import Any

import structlog
from confluent_kafka import KafkaError

from stream.errors import ConfigError, RetriableError, StreamError, TaskCorrupted
from stream.kafka.broker_health import BrokerHealth

_log = structlog.get_logger("stream.kafka")

_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_UNKNOWN_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)

# A partition of a topic that is there, which no broker leads for the moment: its brokers are away, or just came back.
# (librdkafka asks nobody then, and calls it unknown.)
NOT_LED = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError._UNKNOWN_PARTITION,
)

_FENCED_INSTANCE = "Static consumer fenced"

# What an administrator has to allow, by what the broker refused. `stream topics create --plan` prints all of them.
_MISSING_ACL = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "Read, Describe (inputs, journal, snapshots) and Write (outputs, journal, "
    "snapshots) on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Read on the consumer group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Write and Describe on the transactional id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the operation on the cluster (IdempotentWrite on brokers before 2.8)",
}


def check_message_error(message: Any) -> None:
    """Raise what a consumer's error message asks for; log what librdkafka gets over by itself.

    Raises:
        TaskCorrupted: the position is not in the log any more; the text names it and what to choose.
        ConfigError: a topic or an ACL is missing.
        StreamError: the consumer cannot go on; restart the worker.
    """
    error = message.error()
    if error.code() in _GONE:
        raise TaskCorrupted(
            f"{message.topic()}[{message.partition()}]: offset {message.offset()} is not in the log ({error.str()}). "
            "Retention removed records before they were learned from, or the topic was made anew; the position comes "
            "from the journal and is never reset silently (rule 4). Raise retention.ms of the topic, or reset the "
            "task and choose where it is to read from"
        )
    raise_if_refused(error, message.topic() or "")
    _log.warning("consumer error", topic=message.topic(), partition=message.partition(), error=error.str())


def raise_if_refused(error: Any, what: str) -> None:
    """Raise if the broker refused for good: missing topic, missing right, a client that cannot go on.

    Args:
        error: a KafkaError.
        what: the topic, group or id that it is about.
    """
    code = error.code()
    if code in _UNKNOWN_TOPIC:
        raise ConfigError(f"topic {what or error.str()} does not exist: run `stream topics create`")
    if code in _MISSING_ACL:
        raise ConfigError(f"not allowed: {error.str()} ({what}). Ask an administrator for {_MISSING_ACL[code]}")
    if code in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        raise ConfigError(f"the broker does not accept the credentials: {error.str()}. Check the sasl.* settings")
    if code == KafkaError.INVALID_SESSION_TIMEOUT:
        raise ConfigError(
            "session_timeout_ms: outside what the broker allows (group.min.session.timeout.ms to "
            "group.max.session.timeout.ms; 6000 to 1800000 by default)"
        )
    if code == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
        raise ConfigError(
            "group_protocol: the group has members of another protocol or assignor. Stop them, or set group_protocol "
            "to theirs"
        )
    # Of a consumer's fatal error the code says nothing more, and the flag is not set (librdkafka 2.16).
    if error.fatal() or code == KafkaError._FATAL:
        if _FENCED_INSTANCE in error.str():
            raise ConfigError(
                "group_instance_id: another process has joined the group with the same one, and has this worker's "
                "partitions now. Give each worker its own"
            )
        raise StreamError(f"the Kafka client cannot go on: {error.str()}. Restart the worker")


def no_offsets(error: Any, topic: str) -> StreamError:
    """The error for a partition whose offsets cannot be asked.

    Args:
        error: a KafkaError.
        topic: which is there.

    Raises:
        ConfigError: the broker refused for good.
    """
    if error.code() in NOT_LED:
        return RetriableError(f"offsets of {topic}: no broker leads a partition of it ({error.str()}). Are all up?")
    raise_if_refused(error, topic)
    return RetriableError(f"offsets of {topic}: {error.str()}")


def no_answer(servers: str, error: Any, health: BrokerHealth) -> StreamError:
    """The error for a cluster that does not answer, or does not let this client in.

    Args:
        servers: that were asked.
        error: what the client says of it, a KafkaError.
        health: told of the client's errors so far.
    """
    if health.refusal:
        return ConfigError(
            f"the broker at {servers} does not let this client in: {health.refusal}. Check security.protocol and the "
            "sasl.* and ssl.* settings of [librdkafka]"
        )
    return RetriableError(f"no answer from {servers} ({error.str()}). Is Kafka running? `stream broker up` starts one")
