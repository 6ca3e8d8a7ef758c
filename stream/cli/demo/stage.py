"""What a demo needs around it: a broker of its own, topics, schemas, and a worker process."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.cli.broker.local import LocalBroker
from stream.cli.broker.reports import AdvanceBy, Report
from stream.cli.broker.server import Launch, Server, likely_cause, running_pid
from stream.cli.demo.demos import Demo, read_schema_text
from stream.config import KafkaSettings, TopicNames
from stream.errors import StreamError
from stream.kafka.topic_plan import TopicSpec

if TYPE_CHECKING:
    from stream.runtime.loading import LoadedApp

# A schema that has nothing of what the demos' events need.
_FOREIGN_SCHEMA = '{"type": "record", "name": "Parcel", "fields": [{"name": "weight_kg", "type": "double"}]}'
_UNKNOWN_SCHEMA_ID = 999_999


@dataclass(frozen=True, slots=True)
class SchemaIds:
    """Ids in the registry."""

    events: int
    labels: int | None
    foreign: int  # registered, and does not resolve to the events' schema
    unknown: int  # of no schema


@dataclass(frozen=True, slots=True)
class Places:
    """Where a demo keeps what the next one can use; a folder in the user's cache where None."""

    downloads: Path | None = None  # of Kafka and the registry
    kernels: Path | None = None  # compiled; absolute


@dataclass(slots=True)
class DownloadClock:
    """A report that also takes the time of downloads, so that they can be told apart from the start itself."""

    inner: Report
    seconds: float = 0.0

    def say(self, text: str) -> None:
        """Show one line."""
        self.inner.say(text)

    @contextmanager
    def downloading(self, what: str, total_bytes: int) -> Iterator[AdvanceBy]:
        """Show a download, and count its seconds."""
        began = time.monotonic()
        try:
            with self.inner.downloading(what, total_bytes) as advance:
                yield advance
        finally:
            self.seconds += time.monotonic() - began


class Stage:
    """A context in which the demo's worker runs. Leaving it ends all that was started, and only that.

    Args:
        demo: which.
        report: where progress is shown.
        places: of downloads and kernels.
        keep: leave the folder, with data and logs, where it is.
        partitions: of each topic. With one, what an alert says of its place is the number of an event.
    """

    def __init__(self, demo: Demo, report: Report, places: Places, keep: bool, partitions: int = 1) -> None:
        self.partitions = partitions
        self._demo = demo
        self._report = report
        self._places = places
        self._keep = keep
        self._said = 0

    def __enter__(self) -> "Stage":
        self.folder = Path(tempfile.mkdtemp(prefix=f"stream-demo-{self._demo.name}-"))
        with ExitStack() as started:
            started.push(self._remove_folder)
            broker = LocalBroker(self.folder, downloads=self._places.downloads, report=self._report)
            self._broker = started.enter_context(broker)
            self.servers = self._broker.bootstrap_servers
            # Slow to import: it has been going on while Kafka started (see run.py).
            from stream.cli.connection import quieten_clients
            from stream.kafka.admin import Admin
            from stream.kafka.registry import Registry
            from stream.runtime.loading import load_app

            quieten_clients()
            app = load_app(self._demo.target)
            self.plan = app.plan
            self.topics = TopicNames.of(self.plan.app)
            settings = KafkaSettings("stream-demo", "stream-demo", self.servers, self._broker.registry_url)
            self._report.say(f"creating the topics of {self.plan.app}, registering its schemas")
            Admin(settings).create(self._wanted_topics(app))
            self.registry = started.enter_context(Registry(settings))
            self.ids = self._register()
            self._report.say(f"starting a worker: stream run {self._demo.target}")
            self._launch = self._worker_launch()
            self._worker = Server(self._launch)
            started.callback(self._stop_worker)
            self._started = started.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._report.say("stopping the worker, Kafka and the registry")
        # Another Ctrl-C does not help: each of them is killed if it does not stop by itself.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._started.__exit__(kind, error, None)
        finally:
            signal.signal(signal.SIGINT, before)

    def look_after_worker(self) -> None:
        """Show what the worker says of its start; raises StreamError if it has ended."""
        steps = [line["step"] for line in self._logged() if line["event"] == "starting"]
        for step in steps[self._said :]:
            self._report.say(f"worker: {step}")
        self._said = len(steps)
        self.check_worker()

    def check_worker(self) -> None:
        """Raise StreamError if the worker has ended."""
        if running_pid(self._launch.lock) is None:
            errors = [line["event"] for line in self._logged() if line["level"] == "error"]
            cause = errors[-1] if errors else likely_cause(self._launch.log.read_text(errors="replace"))
            raise StreamError(f"the worker ended: {cause} (all of it: {self._launch.log})")

    def _logged(self) -> list[dict[str, Any]]:
        """The lines of the worker's log that are complete."""
        lines = self._launch.log.read_text(errors="replace").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]

    def _wanted_topics(self, app: "LoadedApp") -> tuple[TopicSpec, ...]:
        """Those of all stages: one where there is one partition."""
        from stream.cli.topic_creation import planned
        from stream.runtime.settings import Settings

        stages = app.stages(self.partitions, "")
        return planned(stages, Settings(), self.partitions, -1, with_inputs=True).topics

    def _register(self) -> SchemaIds:
        plan, demo, register = self.plan, self._demo, self.registry.register
        labels = None
        if plan.labels is not None and demo.label_schema is not None:
            labels = register(f"{plan.labels.topic}-value", read_schema_text(demo.label_schema))
        return SchemaIds(
            events=register(f"{plan.events.topic}-value", read_schema_text(demo.event_schema)),
            labels=labels,
            foreign=register("parcels-value", _FOREIGN_SCHEMA),
            unknown=_UNKNOWN_SCHEMA_ID,
        )

    def _worker_launch(self) -> Launch:
        """`stream run` as a user would start it, with no settings but these: they are given by environment."""
        settings = {
            "STREAM_BOOTSTRAP_SERVERS": self._broker.bootstrap_servers,
            "STREAM_REGISTRY_URL": self._broker.registry_url,
            "STREAM_METRICS_PORT": "-1",
            **({"STREAM_CACHE": str(self._places.kernels)} if self._places.kernels else {}),
        }
        forgotten = [part for name in os.environ if name.startswith("STREAM_") for part in ("-u", name)]
        given = [f"{name}={value}" for name, value in settings.items()]
        command = [sys.executable, "-m", "stream.cli.main", "run", self._demo.target]
        return Launch("worker", ("env", *forgotten, *given, *command), self.folder, lambda: True, True)

    def _stop_worker(self) -> None:
        self._worker.ask_to_stop()
        self._worker.wait_until_stopped()

    def _remove_folder(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Remove it, unless it is to be kept or may say what went wrong."""
        if self._keep or isinstance(error, StreamError):
            self._report.say(f"kept: {self.folder} (its Kafka starts with: stream broker up --folder {self.folder})")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
