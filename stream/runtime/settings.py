"""Settings of a worker: defaults, one TOML file, the environment, in this order; each knows where it came from."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stream.avro.logical_values import integer_from_iso
from stream.config import KafkaSettings, TopicNames
from stream.engine.journal import Backfill
from stream.errors import ConfigError

FILE = "stream.toml"
PREFIX = "STREAM_"
BEGINNING = "beginning"
LOAD = "backfill"  # what group and transactional id of a file's load end with
_LAST_PORT = 65_535
_ONE_SLASH = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")  # s3:/x; but file:/x and C:/x name a folder
# Tables of the file, and prefixes of the environment, that pass through to librdkafka: `security.protocol` is
# STREAM_LIBRDKAFKA_SECURITY_PROTOCOL.
PASSED_THROUGH = ("librdkafka", "librdkafka_consumer", "librdkafka_producer", "registry")
# Variables that are no settings: options of the commands.
OPTIONS = (
    *("CONFIG", "DOWNLOADS", "BROKER_FOLDER"),
    *("CONTROL_ADVERTISED_URL", "CONTROL_HOST", "CONTROL_KEEP_RESOLVED_DAYS", "CONTROL_PORT", "CONTROL_REPLICATION"),
    *("CONTROL_TOKEN", "CONTROL_TOKENS", "CONTROL_TOKENS_FILE", "CONTROL_URL"),
)
# As difflib measures it: STREAM_TOPICS_PREFIX is near a setting (0.96), and STREAM_SERVICE_HOST, which Kubernetes sets
# for a service named stream, is not (0.75).
_NEAR = 0.8


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a worker. Names are those of the file; in the environment they are STREAM_<NAME>."""

    bootstrap_servers: str = "127.0.0.1:9092"  # brokers to begin with, HOST:PORT,HOST:PORT
    registry_url: str = "http://127.0.0.1:8081/apis/ccompat/v7"  # the schema registry's Confluent-compatible API
    group_id: str = ""  # the consumer group; the prefix and the app's name where empty
    slot: str = "0"  # this worker among those of the app, each in its own: a StatefulSet's ordinal, any stable name
    topic_prefix: str = ""  # what the app's topics, group and transactional ids begin with
    predictions_topic: str = ""  # the prefix and `APP.predictions` where empty
    alerts_topic: str = ""  # likewise, `APP.alerts`
    dead_letters_topic: str = ""  # likewise, `APP.dead-letters`
    journal_topic: str = ""  # likewise, `APP.journal`
    snapshots_topic: str = ""  # likewise, `APP.snapshots`
    features_topic: str = ""  # likewise, `APP.features`: rows that wait for their labels outside of memory
    delivery: str = "exactly-once"  # or `immediate`: predictions leave at once, outside the transaction
    output_format: str = "avro"  # of predictions and alerts; or `json`
    offset_reset: str = "earliest"  # or `latest`: where a task without a journal begins
    begin_from: str = ""  # in its place, a backfill: `beginning`, an ISO 8601 time, or a file (`stream run --from`)
    emit_from: str = ""  # of a backfill: outputs of records with earlier timestamps are not written (`--emit-from`)
    commit_interval_ms: int = 100  # between commits of journal, offsets and outputs
    transaction_timeout_ms: int = 10_000  # after which the broker aborts the transaction of a dead worker
    snapshots: str = "kafka"  # the compacted topic, a folder, or a URL such as s3://bucket/folder (docs/snapshots.md)
    snapshot_interval_s: int = 60  # of each task; what came after the last one is replayed at a restart
    journal_retention: str = "snapshots"  # "all": every cycle is kept, for audits; else those that a restore may need
    group_protocol: str = "auto"  # or `classic`, or `consumer` (KIP-848)
    group_instance_id: str = ""  # of a static member; classic protocol only
    session_timeout_ms: int = 10_000  # after which the group gives up a silent worker; with KIP-848 the broker decides
    max_poll_interval_ms: int = 300_000  # over it the group expels the worker: the most that a revocation may take
    recovery_target_s: int = 20  # a dead worker's partitions should move within it; decides what `auto` is
    standby_replicas: int = 0  # workers that follow each task to take it over warm; each takes the task's memory
    fetch_bytes: int = 64 << 20  # fetched and not yet handled, of all partitions together
    linger_ms: int = 5  # how long producers wait for a batch to fill
    compression: str = "lz4"  # of what producers send: none, gzip, snappy, lz4 or zstd
    max_message_bytes: int = 1_000_000  # largest record that output topics take; 1,000,000 at least with stages
    metrics_host: str = "127.0.0.1"  # address of `/metrics`, `/healthz` and `/readyz`; the image sets 0.0.0.0
    metrics_port: int = 9464  # 0: any free one; -1: none
    cache: str = ""  # folder of compiled kernels; in the user's cache folder where empty
    log_level: str = "info"  # debug, info, warning or error
    librdkafka: Mapping[str, str] = field(default_factory=dict)  # of every client
    librdkafka_consumer: Mapping[str, str] = field(default_factory=dict)  # of consumers alone
    librdkafka_producer: Mapping[str, str] = field(default_factory=dict)  # of producers alone
    registry: Mapping[str, str] = field(default_factory=dict)  # of the registry's client, by confluent-kafka's names

    def __post_init__(self) -> None:
        _one_of("delivery", self.delivery, ("exactly-once", "immediate"))
        _one_of("output_format", self.output_format, ("avro", "json"))
        _one_of("offset_reset", self.offset_reset, ("earliest", "latest"))
        _one_of("log_level", self.log_level, ("debug", "info", "warning", "error"))
        if self.snapshot_interval_s <= 0:
            raise ConfigError(f"snapshot_interval_s must be above 0, got {self.snapshot_interval_s}")
        if not self.slot:
            raise ConfigError("slot is empty: name this worker among those of the app, e.g. 0")
        if self.slot == LOAD:
            raise ConfigError(f"slot {LOAD!r} is that of what loads a file (`stream run --from FILE`): choose another")
        if not -1 <= self.metrics_port <= _LAST_PORT:
            raise ConfigError(
                f"metrics_port must be a port up to {_LAST_PORT}, 0 for any free one or -1 for none, "
                f"got {self.metrics_port}"
            )
        _check_snapshots(self.snapshots)
        if self.emit_from and not self.begin_from:
            raise ConfigError("emit_from says when outputs begin, begin_from where reading does: give both")
        if self.emit_from:
            time_ms(self.emit_from, "emit_from")
        _ = self.begin_file  # so that what is no beginning is told now

    @property
    def begin_file(self) -> Path | None:
        """The file that a backfill begins with, which `stream run` loads into the event topic; None if it has none.

        `beginning` and times come first: a file of such a name is told by its path, as ./beginning.
        """
        if self.begin_from in ("", BEGINNING) or _is_time(self.begin_from):
            return None
        if not Path(self.begin_from).exists():
            raise ConfigError(
                f"begin_from={self.begin_from!r} is neither {BEGINNING!r}, nor an ISO 8601 time (2026-01-31, or "
                "2026-01-31T12:00:00+02:00), nor a file that is there"
            )
        return Path(self.begin_from)

    @property
    def begin_ms(self) -> int | None:
        """From when on tasks without a journal read their inputs; None: from an end, or the beginning."""
        is_time = self.begin_from not in ("", BEGINNING) and self.begin_file is None
        return time_ms(self.begin_from, "begin_from") if is_time else None

    @property
    def backfill(self) -> Backfill | None:
        """How tasks without a journal are to begin; None: as `offset_reset` says, and everything is written.

        Raises:
            ConfigError: with a file, which is loaded first: it then says from when on outputs are written.
        """
        if self.begin_file is not None:
            raise ConfigError(f"begin_from={self.begin_from!r}: the file is not loaded; `stream run` does it")
        if not self.begin_from:
            return None
        return Backfill(self.begin_ms, time_ms(self.emit_from, "emit_from") if self.emit_from else 0)

    def topics(self, app: str, stage: str = "") -> TopicNames:
        """Names of the topics that the app, or one of its stages, writes; journal and snapshots are a stage's own."""
        names = TopicNames.of(app, self.topic_prefix)
        chosen = {each.name: getattr(self, f"{each.name}_topic") for each in fields(TopicNames)}
        names = replace(names, **{name: value for name, value in chosen.items() if value})
        if not stage:
            return names
        own = TopicNames.of(f"{app}.{stage}", self.topic_prefix)
        journal = f"{self.journal_topic}.{stage}" if self.journal_topic else own.journal
        snapshots = f"{self.snapshots_topic}.{stage}" if self.snapshots_topic else own.snapshots
        return replace(names, journal=journal, snapshots=snapshots)

    def kafka(self, app: str, stage: str = "") -> KafkaSettings:
        """What the transport of the app, or of one of its stages, wants to know."""
        shared = {each.name for each in fields(KafkaSettings)} & {each.name for each in fields(self)}
        values = {name: getattr(self, name) for name in shared}
        own = f".{stage}" if stage else ""
        values["group_id"] = (self.group_id or f"{self.topic_prefix}{app}") + own
        return KafkaSettings(transactional_id=f"{self.topic_prefix}{app}{own}-{self.slot}", **values)

    def kafka_of_load(self, app: str) -> KafkaSettings:
        """The same for what loads a file: group and id are the app's, whichever worker does it."""
        own = self.kafka(app)
        return replace(own, group_id=f"{own.group_id}.{LOAD}", transactional_id=f"{self.topic_prefix}{app}-{LOAD}")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and where each came from: "default", a file's path, or the name of an environment variable."""

    values: Settings
    origins: Mapping[str, str]


def load_settings(file: Path | None = None, **overrides: Any) -> LoadedSettings:
    """Read settings.

    Args:
        file: the TOML file; `stream.toml` in this folder, if there is one, where None.
        **overrides: from the command line; None is no override.

    Raises:
        ConfigError: a name nobody knows, a value of the wrong type, a file that is no TOML.
    """
    known = {each.name: each for each in fields(Settings)}
    values: dict[str, Any] = {}
    origins = dict.fromkeys(known, "default")
    path = file or Path(os.environ.get(f"{PREFIX}CONFIG", FILE))
    if file is not None and not file.exists():
        raise ConfigError(f"settings file {file} does not exist")
    for name, value in (_read_file(path) if path.exists() else {}).items():
        _check_known(name, list(known), str(path))
        values[name], origins[name] = _typed(name, value, str(path)), str(path)
    for name in known:
        variable = PREFIX + name.upper()
        if name not in PASSED_THROUGH and variable in os.environ:
            values[name], origins[name] = _typed(name, os.environ[variable], variable), variable
    for name in PASSED_THROUGH:
        _pass_through(name, values, origins)
    for name, value in overrides.items():
        if value is not None:
            values[name], origins[name] = value, "command line"
    return LoadedSettings(Settings(**values), origins)


def misspelt_variables() -> list[str]:
    """What to tell of variables of the environment that are no settings, but nearly. Others may be anybody's."""
    known = [each.name.upper() for each in fields(Settings) if each.name not in PASSED_THROUGH] + [*OPTIONS]
    through = tuple(f"{name.upper()}_" for name in PASSED_THROUGH)
    told = []
    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX)
        if name == variable or name in known or name.startswith(through):
            continue
        if near := get_close_matches(name, known, n=1, cutoff=_NEAR):
            told.append(f"{variable} is no setting; did you mean {PREFIX}{near[0]}?")
    return told


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _pass_through(name: str, values: dict[str, Any], origins: dict[str, str]) -> None:
    """Settings of a library: STREAM_LIBRDKAFKA_SASL_USERNAME is `sasl.username`."""
    prefix = f"{PREFIX}{name.upper()}_"
    longer = tuple(f"{PREFIX}{other.upper()}_" for other in PASSED_THROUGH if len(other) > len(name))
    found = {
        variable.removeprefix(prefix).lower().replace("_", "."): value
        for variable, value in os.environ.items()
        if variable.startswith(prefix) and not variable.startswith(longer) and variable != f"{PREFIX}REGISTRY_URL"
    }
    if found:
        values[name] = {**values.get(name, {}), **found}
        origins[name] = f"{prefix}*"


def _check_known(name: str, known: list[str], where: str) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"{where}: there is no setting {name!r}; {hint}")


def _typed(name: str, value: Any, where: str) -> Any:
    """The value as the setting's type."""
    default = getattr(Settings(), name)
    if isinstance(default, Mapping):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: {name} is a table of settings, got {value!r}")
        return {key: str(item).lower() if isinstance(item, bool) else str(item) for key, item in value.items()}
    if isinstance(default, int):
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ConfigError(f"{where}: {name} is a whole number, got {value!r}") from None
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {name} is a text, got {value!r}")
    return value


def time_ms(text: str, name: str) -> int:
    """An ISO 8601 time as ms since 1970, UTC where it says no offset; `name` is of the setting, for the error."""
    try:
        return integer_from_iso(text, "timestamp-millis")
    except ValueError:
        raise ConfigError(
            f"{name}={text!r} is no time: ISO 8601 was expected, e.g. 2026-01-31 or 2026-01-31T12:00:00+02:00"
        ) from None


def _is_time(text: str) -> bool:
    try:
        integer_from_iso(text, "timestamp-millis")
    except ValueError:
        return False
    return True


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is not one of {', '.join(allowed)}")


def _check_snapshots(value: str) -> None:
    """Whether `snapshots` is "kafka", a path, or a URL of a kind that fsspec knows."""
    protocol, separator, _ = value.partition("://")
    if not value or _ONE_SLASH.match(value):
        raise ConfigError(f'snapshots={value!r} is neither "kafka" nor a path nor a URL, e.g. s3://bucket/folder')
    if not separator:
        return
    from fsspec import available_protocols  # here, because it takes a tenth of a second that few need

    for each in protocol.split("::"):
        if each not in available_protocols():
            raise ConfigError(
                f"snapshots={value!r}: there is no kind of URL {each}://; use e.g. file:///folder or "
                's3://bucket/folder, or "kafka"'
            )
