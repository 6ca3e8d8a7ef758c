"""librdkafka's configuration of every client that a worker makes."""

from stream.config import KafkaSettings
from stream.kafka.client_name import client_id

Config = dict[str, object]

# With librdkafka's default of one second a partition whose queue was full stays idle for that long: a reader that
# keeps up with 400,000 records/s spends most of its time waiting.
_FETCH_BACKOFF_MS = 5
# What librdkafka (2.16) holds of a queued record beside its value, which alone it counts: a budget of 64 MiB was
# 427 MiB of payments of 90 bytes. So the budget bounds how many there are, too.
_QUEUED_RECORD_BYTES = 400
_MOST_QUEUED_RECORDS = 10_000_000  # librdkafka takes no more
_FETCH_RESPONSE_BYTES = 50 * 2**20
_SMALLEST_FETCH_BYTES = 64 * 2**10
# A partition's share of one answer, which may come on top of the budget: Kafka's default. More is not faster.
_LARGEST_FETCH_BYTES = 2**20
# The end of a partition shows when a fetch comes back empty, and what else is asked of that broker waits for it: with
# the default of 500 ms a task with nothing to restore was found after 3 s.
_FETCH_AT_END_MS = 10
# Two segments of feature rows; a batch of them that is larger comes whole.
_ROW_FETCH_BYTES = 128 << 10
# A member hears of a rebalance with its next heartbeat, and the others wait for it: Kafka's default, whatever the
# session (a third of one of two minutes, which static members may well have, were 40 s of waiting; seen).
_HEARTBEAT_MS = 3_000


def event_consumer(settings: KafkaSettings, group_protocol: str, partitions: int) -> Config:
    """The member of the group; it never commits and never chooses a position itself (rules 4, 8, 17, 18)."""
    config = {**_reading(settings, _share(settings, partitions)), "max.poll.interval.ms": settings.max_poll_interval_ms}
    config["group.protocol"] = group_protocol
    if group_protocol == "classic":
        config["partition.assignment.strategy"] = "cooperative-sticky"
        config["session.timeout.ms"] = settings.session_timeout_ms
        config["heartbeat.interval.ms"] = max(1, min(_HEARTBEAT_MS, settings.session_timeout_ms // 3))
        if settings.group_instance_id:
            config["group.instance.id"] = settings.group_instance_id
    return config


def assigned_consumer(settings: KafkaSettings, partitions: int) -> Config:
    """A consumer that never joins: label partitions follow the events' by manual assignment (rule 13)."""
    return _reading(settings, _share(settings, partitions))


def reader(settings: KafkaSettings) -> Config:
    """A short-lived consumer that reads partitions to their end, outside the group (rules 21 and 25)."""
    whole = _reading(settings, partition_bytes=settings.fetch_bytes)
    return {**whole, "enable.partition.eof": True, "fetch.wait.max.ms": _FETCH_AT_END_MS}


def row_reader(settings: KafkaSettings) -> Config:
    """A consumer that reads single segments here and there: little at a time, so that no second of them is on its way
    when it turns elsewhere (1.5 ms a read; 20 ms with librdkafka's defaults; rule 36)."""
    return {**reader(settings), "max.partition.fetch.bytes": _ROW_FETCH_BYTES, "queued.min.messages": 1}


def transactional_producer(settings: KafkaSettings) -> Config:
    """The worker's one transactional producer (rule 6)."""
    return {
        **_producing(settings),
        "transactional.id": settings.transactional_id,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
    }


def idempotent_producer(settings: KafkaSettings) -> Config:
    """For what leaves outside the transaction: predictions sent at once, and snapshots (rule 23)."""
    return _producing(settings)


def admin_client(settings: KafkaSettings) -> Config:
    """For topics and groups."""
    return {**_client(settings), **settings.librdkafka}


def _client(settings: KafkaSettings) -> Config:
    """Where it goes, and by which name."""
    return {"bootstrap.servers": settings.bootstrap_servers, "client.id": client_id(settings)}


def _share(settings: KafkaSettings, partitions: int) -> int:
    """Of each partition in an answer that comes when the queue is all but full (rule 32)."""
    return min(_LARGEST_FETCH_BYTES, max(_SMALLEST_FETCH_BYTES, settings.fetch_bytes // max(1, partitions)))


def _queued_records(settings: KafkaSettings) -> int:
    return max(1, min(_MOST_QUEUED_RECORDS, settings.fetch_bytes // _QUEUED_RECORD_BYTES))


def _reading(settings: KafkaSettings, partition_bytes: int) -> Config:
    # The consumer has one queue for all its partitions, and librdkafka holds the budget against that queue.
    return {
        **_client(settings),
        "group.id": settings.group_id,
        "queued.min.messages": _queued_records(settings),
        "fetch.queue.backoff.ms": _FETCH_BACKOFF_MS,
        "fetch.max.bytes": max(_FETCH_RESPONSE_BYTES, settings.max_message_bytes),
        "max.partition.fetch.bytes": partition_bytes,
        **settings.librdkafka,
        **settings.librdkafka_consumer,
        "queued.max.messages.kbytes": max(1, settings.fetch_bytes // 1024),
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


def _producing(settings: KafkaSettings) -> Config:
    return {
        **_client(settings),
        "linger.ms": settings.linger_ms,
        "compression.type": settings.compression,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 2**20,  # 1 GiB: what one cycle may hold is bounded by the worker
        "message.max.bytes": settings.max_message_bytes,
        **settings.librdkafka,
        **settings.librdkafka_producer,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "delivery.report.only.error": True,
    }
