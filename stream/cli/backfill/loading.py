"""Loads a file into the event topic exactly once, whoever was interrupted at it; then it is a backfill from there."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from stream.avro import Framing
from stream.cli.backfill.loaded_file import LoadedFile
from stream.cli.backfill.progress import load_progress
from stream.cli.backfill.rows import Chunk, chunks, record_writer, schema_of_key
from stream.cli.backfill.times import check_times, iso
from stream.cli.files.misfits import MisfitReport
from stream.cli.files.opening import RowFile, open_rows
from stream.cli.producing.records import RecordWriter
from stream.config import KafkaSettings
from stream.engine.journal import JournalRecord
from stream.engine.plan import EventPlan, Plan
from stream.errors import ConfigError, RetriableError
from stream.kafka.admin import Admin
from stream.kafka.file_load import FileLoad, LoadProgress, holds_records
from stream.kafka.registry import Registry
from stream.kafka.transaction_producer import Fenced, ProducerOver, Refused
from stream.runtime.cluster_checks import check_cluster
from stream.runtime.settings import BEGINNING, Settings
from stream.runtime.worker import input_topics

_log = structlog.get_logger("stream.run")

# Another process that loads the file commits a chunk a second or so; one that took over may first have to wait for the
# end of a transaction (20 s) and to pass over rows.
_OTHER_IS_OVER_S = 60.0
_LOOK_AGAIN_S = 1.0
# A broker that restarts is back by then; a load that gives up may be started again at any time.
_ATTEMPTS, _AGAIN_AFTER_S = 10, 1.0

Say = Callable[[str], None]


def with_file_loaded(plans: Sequence[Plan], settings: Settings, say: Say) -> Settings:
    """See that the file of `begin_from` is in the event topic, whole and once; settings of a backfill from there.

    Args:
        plans: of the app's stages, the last one last.
        settings: with a file; where they do not say from when on outputs are written, it is behind its last row.
        say: hears what is happening.

    Raises:
        ConfigError: the file, the topic or what was loaded before does not allow it; the text says what to do.
        RetriableError: the brokers do not answer; run it again.
    """
    path = settings.begin_file
    assert path is not None, "settings without a file need no load"
    file = open_rows(path)
    say(f"reading {path}")
    content = LoadedFile(path)
    load = FileLoad(settings.kafka_of_load(plans[-1].app), plans[-1].events.topic)
    try:
        latest_ms = _Loading(plans, settings, file, content, load, say).latest_ms()
    finally:
        load.close()
    return replace(settings, begin_from=BEGINNING, emit_from=settings.emit_from or iso(latest_ms + 1))


class _Loading:
    """One start of the command, from what an earlier one left to the end of the file."""

    def __init__(
        self, plans: Sequence[Plan], settings: Settings, file: RowFile, content: LoadedFile, load: FileLoad, say: Say
    ) -> None:
        self._plans = plans
        self._plan = plans[-1]
        self._settings = settings
        self._file = file
        self._content = content
        self._load = load
        self._say = say
        self._topic = plans[-1].events.topic
        self._misfits = MisfitReport()
        self._rows = 0  # that are sent
        self._failures = 0  # in a row

    def latest_ms(self) -> int:
        """The largest time of the file, once all of it is in the topic."""
        begun = self._progress()
        if begun is None:
            cycle = self._first_cycle()
            has_records = holds_records(self._kafka(), self._topic)
            begun = self._progress()  # another process may have begun with the file in between
            if begun is None and cycle is not None:
                return self._forgotten_ms(cycle)
            if begun is None and has_records:
                raise self._not_empty()
        if begun is not None and begun.is_whole:
            self._say(f"{self._file.path} is in {self._topic}: its {begun.rows:,} rows were loaded before")
            return begun.latest_ms
        self._check_workers()
        latest_ms = self._loaded(self._writer())
        self._tell_misfits()
        return latest_ms

    def _first_cycle(self) -> JournalRecord | None:
        journals = [self._settings.topics(plan.app, plan.stage).journal for plan in self._plans]
        return next(filter(None, map(self._load.first_cycle, journals)), None)

    def _progress(self) -> LoadProgress | None:
        """How far this file is sent; refuses any other."""
        found = self._load.progress()
        if found is not None and found.digest != self._content.digest:
            part = "loaded" if found.is_whole else f"loaded up to row {found.rows:,}"
            raise ConfigError(
                f"{self._file.path} is not the file that this app began with, or it was changed: another one was "
                f"{part} into {self._topic} (group {self._load.group_id}). An app begins with one file: name that one, "
                f"or leave --from out to go on. More rows are sent by `stream produce`. To begin anew with this file: "
                f"make the topic {self._topic} anew, and run `stream state reset APP`"
            )
        return found

    def _forgotten_ms(self, cycle: JournalRecord) -> int:
        """Of tasks that have begun with a file which the group has forgotten: the last time that they do not tell."""
        if cycle.backfill is None or cycle.backfill.begin_ms is not None or not cycle.backfill.emit_from_ms:
            raise ConfigError(
                f"the tasks of {self._plan.app} have begun, and not with a file: --from FILE is for an app that has "
                "not. Leave it out to go on; more rows are sent by `stream produce FILE --time FIELD`"
            )
        _log.warning(
            "the tasks have begun, and which file they began with is forgotten: nothing of this one is sent",
            file=str(self._file.path),
            group=self._load.group_id,
            why="a group's offsets are kept for offsets.retention.minutes; leave --from out, it is not needed any more",
        )
        return cycle.backfill.emit_from_ms - 1

    def _not_empty(self) -> ConfigError:
        return ConfigError(
            f"topic {self._topic} has records already: the rows of {self._file.path} would come behind them, the past "
            "behind the present. To learn from what is in the topic: `--from beginning --emit-from TIME`. To begin "
            "with the file: an event topic without records, and producers that begin once it is loaded"
        )

    def _check_workers(self) -> None:
        """What would refuse the workers behind the load is looked at before it; and that none is at work yet."""
        self._say("looking at topics")
        groups = [self._settings.kafka(plan.app, plan.stage).group_id for plan in self._plans]
        for plan in self._plans:
            check_cluster(plan, input_topics(plan, self._settings), self._settings)
        members = max(len(Admin(self._kafka()).group(group).members) for group in groups)
        begun = self._progress()
        if members and not (begun and begun.is_whole):
            raise ConfigError(
                f"{members} workers of {self._plan.app} are at work (group {groups[-1]}): they would "
                "predict the file's rows as they come. Stop them, and start all workers with this command"
            )
        labels = self._plan.labels
        if labels is not None and not holds_records(self._kafka(), labels.topic):
            _log.warning(
                "the label topic is empty: labels that are known should be there before the file is learned from",
                topic=labels.topic,
                how=f"stream produce FILE --topic {labels.topic} --schema SCHEMA --key FIELD --time FIELD",
            )

    def _writer(self) -> RecordWriter:
        events = self._plan.events
        record_writer(events, self._file, 0, 0)  # what is wrong with the file is told before the registry is asked
        return record_writer(events, self._file, *_registered(events, self._kafka()))

    def _loaded(self, writer: RecordWriter) -> int:
        """Go on, and go on again when something comes in between, until the whole file is sent."""
        while True:
            begun = self._progress()
            if begun is not None and begun.is_whole:
                return begun.latest_ms
            try:
                return self._go_on(begun, writer)
            except Fenced:
                self._load.let_go()
                self._wait_for_another(begun)
            except (ProducerOver, Refused, RetriableError) as error:
                self._failures += 1
                is_final = isinstance(error, Refused) and error.failure.is_final
                if is_final or self._failures > _ATTEMPTS:
                    what = f"{self._file.path}: the load stopped behind row {self._rows:,}: {error}"
                    raise (
                        ConfigError(what) if is_final else RetriableError(f"{what}. The same command goes on there")
                    ) from error
                _log.warning("the load was interrupted; going on", reason=str(error))
                time.sleep(_AGAIN_AFTER_S)

    def _go_on(self, begun: LoadProgress | None, writer: RecordWriter) -> int:
        """Send what is behind the rows that are sent; the largest time of the file."""
        self._rows, latest_ms = (begun.rows, begun.latest_ms) if begun else (0, -1)
        coming = chunks(self._file, writer, self._topic, self._rows)
        chunk = next(coming)  # passes over the rows that are sent: nobody is held up by it
        self._load.take_over()
        if self._progress() != begun:
            raise RetriableError("another process has loaded more of the file meanwhile")
        config = _config_of(self._kafka(), self._topic)
        with load_progress(self._file, self._topic, self._rows) as advance:
            while True:
                latest_ms = self._send(chunk, latest_ms, config)
                advance(chunk.rows)
                if chunk.is_last:
                    return latest_ms
                chunk = next(coming)

    def _send(self, chunk: Chunk, latest_ms: int, config: dict[str, str]) -> int:
        if self._content.has_changed():
            raise self._changed()
        times_ms = chunk.records.timestamps_ms
        if len(times_ms):
            earliest_ms, newest_ms = int(times_ms.min()), int(times_ms.max())
            check_times(self._topic, config, earliest_ms, newest_ms, time.time_ns() // 1_000_000)
            latest_ms = max(latest_ms, newest_ms)
        if latest_ms < 0 and chunk.is_last:
            raise ConfigError(f"{self._file.path}: no row of it fits the schema of {self._topic}; nothing was sent")
        if latest_ms >= 0:  # a file of which nothing is sent yet binds nobody
            self._load.send(chunk.records, LoadProgress(self._content.digest, chunk.rows, latest_ms, chunk.is_last))
        self._rows, self._failures = chunk.rows, 0
        for misfit in chunk.misfits:
            self._misfits.add(misfit, None)
        return latest_ms

    def _changed(self) -> ConfigError:
        """Rows of the file as it was before are in the topic, and none of those that it has now."""
        if not self._rows:
            return ConfigError(
                f"{self._file.path} was changed while it was read; nothing of it was sent. Run this again once nobody "
                "writes to it"
            )
        return ConfigError(
            f"{self._file.path} was changed while it was loaded. Its first {self._rows:,} rows, as they were before, "
            f"are in {self._topic}. Put the file back as it was and run this again, which goes on there; or, to begin "
            f"with what the file is now: make the topic {self._topic} anew first"
        )

    def _wait_for_another(self, begun: LoadProgress | None) -> None:
        """Until another process that took the load over is at its end, or stands still."""
        self._say(f"another process loads {self._file.path}; waiting for it")
        rows, since = begun.rows if begun else 0, time.monotonic()
        while time.monotonic() - since < _OTHER_IS_OVER_S:
            time.sleep(_LOOK_AGAIN_S)
            found = self._progress()
            if found is not None and found.is_whole:
                return
            if found is not None and found.rows > rows:
                rows, since = found.rows, time.monotonic()

    def _tell_misfits(self) -> None:
        if self._misfits.count:
            lines = [line.strip() for line in self._misfits.lines()]
            _log.warning("rows do not fit the schema and were left out", rows=self._misfits.count, kinds=lines)

    def _kafka(self) -> KafkaSettings:
        return self._settings.kafka(self._plan.app)


def _registered(events: EventPlan, settings: KafkaSettings) -> tuple[int, int]:
    """Ids of the schemas of value and key; 0 of what needs none."""
    if events.framing is not Framing.CONFLUENT:
        return 0, 0
    key = schema_of_key(events)
    with Registry(settings) as registry:
        value_id = registry.register(f"{events.topic}-value", events.schema.text)
        return value_id, registry.register(f"{events.topic}-key", key.text) if key else 0


def _config_of(settings: KafkaSettings, topic: str) -> dict[str, str]:
    state = Admin(settings).describe([topic])[topic]
    return dict(state.config) if state else {}
