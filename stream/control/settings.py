"""What the control plane needs to know, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stream.control.tokens import Tokens


def control_prefix(app: str, topic_prefix: str = "") -> str:
    """The group of an app's control plane, and what the names of its topics begin with."""
    return f"{topic_prefix}{app}-control"


@dataclass(frozen=True, slots=True)
class ControlTopics:
    """The topics that a control plane makes for itself."""

    commands: str  # where operators' commands are written down; a partition for each of the alert topic
    changelog: str  # of the table of alerts, as Faust names it; compacted, with as many partitions
    leader: str  # by whose one partition Faust's instances choose a leader

    @classmethod
    def of(cls, prefix: str) -> "ControlTopics":
        """With the prefix that `control_prefix` gives."""
        return cls(f"{prefix}-commands", f"{prefix}-alerts-changelog", f"{prefix}-__assignor-__leader")


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """One instance of the control plane of one app.

    Several instances of an app share its topics and `group`; each has an `url` by which the others reach it, and all
    know the same tokens.
    """

    app: str
    alerts_topic: str
    kafka: Mapping[str, str]  # librdkafka's names: bootstrap.servers, security.protocol, sasl.*, ssl.*
    tokens: Tokens
    data_folder: Path  # Faust's scratch; nothing in it is needed after a restart
    host: str = "127.0.0.1"
    port: int = 8600
    url: str = ""  # as the other instances reach it; http://host:port if empty
    keep_resolved_s: float = 30 * 86_400.0  # how long an alert is known after it was resolved
    replication: int = 1  # of the topics it creates
    topic_prefix: str = field(default="")  # of the topics it creates and of its group; `<app>-control` if empty

    @property
    def prefix(self) -> str:
        """Group, and what the names of the command topic and the changelog begin with."""
        return self.topic_prefix or control_prefix(self.app)

    @property
    def commands_topic(self) -> str:
        """Where operators' commands are written down."""
        return ControlTopics.of(self.prefix).commands

    @property
    def own_url(self) -> str:
        """By which other instances reach this one."""
        return (self.url or f"http://{self.host}:{self.port}").rstrip("/")
