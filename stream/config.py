"""Settings as checked values. Who reads them from the environment or a file is `stream.runtime`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from stream.errors import ConfigError

GroupProtocol = Literal["auto", "classic", "consumer"]

# Settings of librdkafka that the protocol of exactly-once learning fixes, and the rule that does.
FIXED_BY_PROTOCOL: Mapping[str, str] = {
    "bootstrap.servers": "set `bootstrap_servers` instead",
    "group.id": "set `group_id` instead",
    "group.protocol": "set `group_protocol` instead (rule 18)",
    "group.instance.id": "set `group_instance_id` instead (rule 18)",
    "transactional.id": "set `slot` instead (rule 6)",
    "transaction.timeout.ms": "set `transaction_timeout_ms` instead (rule 6)",
    "session.timeout.ms": "set `session_timeout_ms` instead (rule 18)",
    "max.poll.interval.ms": "set `max_poll_interval_ms` instead (rule 16)",
    "queued.max.messages.kbytes": "set `fetch_bytes` instead (rule 32)",
    "isolation.level": "every consumer of a worker reads committed records only (rule 17)",
    "auto.offset.reset": "the journal is the authority on positions (rule 4)",
    "enable.auto.commit": "offsets are committed in the transaction (rule 8)",
    "enable.auto.offset.store": "offsets are committed in the transaction (rule 8)",
    "partition.assignment.strategy": "revocation needs the cooperative protocol (rule 18)",
    "partitioner": "records go where Java's producers would put them (rule 6)",
    "enable.idempotence": "every producer of a worker is idempotent (rules 6 and 23)",
    "enable.partition.eof": "an end of partition is no record",
}


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How a worker talks to Kafka and to the schema registry. Times in milliseconds unless the name says otherwise."""

    group_id: str  # the consumer group: the app's name with its prefix
    transactional_id: str  # app and worker slot; stable over restarts, never shared by two workers (rule 6)
    bootstrap_servers: str = "127.0.0.1:9092"
    registry_url: str = ""  # Confluent-compatible; "" where no topic needs a registry
    registry: Mapping[str, str] = field(default_factory=dict)  # further settings of the registry's client (auth, TLS)
    librdkafka: Mapping[str, str] = field(default_factory=dict)  # for every client (TLS, SASL, timeouts)
    librdkafka_consumer: Mapping[str, str] = field(default_factory=dict)
    librdkafka_producer: Mapping[str, str] = field(default_factory=dict)
    group_protocol: GroupProtocol = "auto"
    group_instance_id: str = ""  # static membership; classic groups only (rule 18)
    session_timeout_ms: int = 10_000  # classic groups; with KIP-848 the broker decides
    max_poll_interval_ms: int = 300_000
    recovery_target_s: int = 20  # a dead worker's partitions should move within this time
    commit_interval_ms: int = 100
    transaction_timeout_ms: int = 10_000
    linger_ms: int = 5
    compression: str = "lz4"
    fetch_bytes: int = 64 * 2**20  # fetched and not yet handled, of all partitions together
    poll_records: int = 10_000  # most records handed over at once: about 10 ms of work
    journal_retention: str = "snapshots"  # "all" keeps every cycle; otherwise those that a restore may need (rule 23)
    standby_replicas: int = 0  # workers that follow each task beside its own, to take it over warm (rule 25)
    max_message_bytes: int = 1_000_000  # largest record that output topics accept (the broker's default is 1,048,588)

    def __post_init__(self) -> None:
        _require(self.group_id != "", "group_id", "a consumer group needs a name")
        _require(self.transactional_id != "", "transactional_id", "exactly-once learning needs one (rule 6)")
        _require(self.bootstrap_servers != "", "bootstrap_servers", "name at least one broker, e.g. 127.0.0.1:9092")
        _require(
            self.group_protocol in ("auto", "classic", "consumer"),
            "group_protocol",
            f'"auto", "classic" or "consumer" was expected, not "{self.group_protocol}"',
        )
        _require(
            self.journal_retention in ("snapshots", "all"),
            "journal_retention",
            f'"snapshots" or "all" was expected, not "{self.journal_retention}"',
        )
        for key in ("session_timeout_ms", "recovery_target_s", "commit_interval_ms", "fetch_bytes", "poll_records"):
            _require(getattr(self, key) > 0, key, f"must be above 0, not {getattr(self, key)}")
        _require(self.standby_replicas >= 0, "standby_replicas", f"must not be below 0, not {self.standby_replicas}")
        self._check_relations()
        for name in ("librdkafka", "librdkafka_consumer", "librdkafka_producer"):
            _check_passthrough(name, getattr(self, name))

    def _check_relations(self) -> None:
        _require(
            not (self.group_instance_id and self.group_protocol == "consumer"),
            "group_instance_id",
            'static membership works in classic groups only (rule 18): set group_protocol = "classic"',
        )
        _require(
            2 * self.commit_interval_ms <= self.transaction_timeout_ms,
            "commit_interval_ms",
            f"a transaction must be able to live for two commit intervals: {self.commit_interval_ms} is more than half "
            f"of transaction_timeout_ms = {self.transaction_timeout_ms} (rule 6)",
        )
        _require(
            3 * self.transaction_timeout_ms <= self.max_poll_interval_ms,
            "transaction_timeout_ms",
            f"a revocation waits for a transaction that may run out, be settled and be sent again, and must be over "
            f"within max_poll_interval_ms = {self.max_poll_interval_ms} (rule 16): {self.transaction_timeout_ms} is "
            "more than a third of that",
        )
        _require(
            self.session_timeout_ms <= self.max_poll_interval_ms,
            "session_timeout_ms",
            f"must not be above max_poll_interval_ms = {self.max_poll_interval_ms}, after which the group expels a "
            "worker whose loop hangs (rule 15)",
        )
        _require(
            self.max_message_bytes >= 65_536,
            "max_message_bytes",
            f"snapshots and dead letters need records of 64 KiB at least, not {self.max_message_bytes} (rule 12)",
        )


def _require(holds: bool, key: str, rule: str) -> None:
    if not holds:
        raise ConfigError(f"{key}: {rule}")


def _check_passthrough(name: str, settings: Mapping[str, str]) -> None:
    for key in settings:
        _require(key not in FIXED_BY_PROTOCOL, f"{name}.{key}", FIXED_BY_PROTOCOL.get(key, ""))


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The topics that an app owns."""

    predictions: str
    alerts: str
    dead_letters: str
    journal: str
    snapshots: str
    features: str  # rows that wait for their labels outside of memory

    @classmethod
    def of(cls, app: str, prefix: str = "") -> "TopicNames":
        """The default names: prefix, app, what the topic holds."""
        stem = f"{prefix}{app}."
        kinds = ("predictions", "alerts", "dead-letters", "journal", "snapshots", "features")
        return cls(*(stem + kind for kind in kinds))


@dataclass(frozen=True, slots=True)
class InputTopics:
    """What a worker's tasks read: events and labels, and what they remember of themselves."""

    events: str
    labels: tuple[str, ...]
    journal: str
    snapshots: str = ""  # "" where snapshots lie in a folder or object store
    repartition: tuple[str, ...] = ()  # those of `sources` that other stages of the app write (rule 34)
    begin_ms: int | None = None  # tasks without a journal begin at the first records of this time; None: at an end
    features: str = ""  # rows that wait for labels outside of memory; "" where none do
    horizon_ms: int = 0  # for how long they wait there
    other_journals: tuple[str, ...] = ()  # of the app's other stages, which may have begun with a backfill

    @property
    def sources(self) -> tuple[str, ...]:
        """The topics whose offsets a task commits."""
        return (self.events, *self.labels)
