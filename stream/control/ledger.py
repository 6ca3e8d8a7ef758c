"""The Faust app: alerts in, commands in, and a table of what became of each alert, with its changelog."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import faust
import structlog
from aiokafka.errors import KafkaError

from stream.control.alerts import Alert, AlertState, Command, IllegalTransition, TrackedAlert, apply
from stream.control.broker import ReadCommittedTransport
from stream.control.security import credentials
from stream.control.settings import ControlSettings
from stream.control.wire import (
    UnreadableRecord,
    decode_alert,
    decode_command,
    decode_tracked,
    encode_command,
    encode_tracked,
)
from stream.control.writers import Writers
from stream.errors import RetriableError

log = structlog.get_logger("stream.control")

# How long an operator waits for an answer. By then a healthy broker has answered a thousand times.
ANSWER_LIMIT_S = 10.0
_RETRY_DELAY_S = 1.0
FORGET_EVERY_S = 3600.0  # rows resolved long ago may well stay an hour longer

Value = TypeVar("Value")


class Ledger:
    """What is known of the alerts in this instance's partitions, and the way to change it.

    A command goes, keyed like its alert, to the partition of the command topic that has the alert's number, so that
    the instance that owns the alert's row applies it; it is applied once, however often Faust delivers it. A row
    changes only after the brokers have its changelog record, and an input record is given back only after that.
    """

    def __init__(self, settings: ControlSettings, partitions: int, writers: Writers) -> None:
        self._settings = settings
        self._writers = writers
        self._waiting: dict[str, asyncio.Future[TrackedAlert]] = {}
        self.app = _faust_app(settings, partitions)
        alerts = self._topic(settings.alerts_topic, internal=False, partitions=partitions)
        self._commands = self._topic(settings.commands_topic, internal=True, partitions=partitions)
        self._table = self.app.Table(
            "alerts",
            partitions=partitions,
            key_type=bytes,
            value_type=bytes,
            help="alerts and what was done about them",
        )
        self.app.agent(alerts, name=f"{settings.prefix}.alerts")(self._take_alerts)
        self.app.agent(self._commands, name=f"{settings.prefix}.commands")(self._take_commands)
        self.app.timer(min(FORGET_EVERY_S, settings.keep_resolved_s))(self._forget_resolved)

    @property
    def is_ready(self) -> bool:
        """True while this instance owns partitions whose rows are all back from the changelog."""
        return bool(self.app.tables.actives_ready) and not self.app.rebalancing

    def alerts(self) -> Iterable[TrackedAlert]:
        """Every alert in this instance's partitions, in no order."""
        owned = self._owned_partitions()
        for value in list(self._table.data.values()):
            tracked = decode_tracked(value)
            # Rows of partitions that another instance took over stay in memory, and are that one's to show.
            if tracked.partition in owned:
                yield tracked

    def find(self, alert_id: str) -> TrackedAlert | None:
        """The alert, if it is in one of this instance's partitions."""
        value = self._table.data.get(alert_id.encode())
        if value is None:
            return None
        tracked = decode_tracked(value)
        return tracked if tracked.partition in self._owned_partitions() else None

    async def act(self, command: Command) -> TrackedAlert:
        """Apply a command to an alert that `find` found here; when this returns, a restart loses nothing of it.

        Raises IllegalTransition if the alert's state does not allow it, RetriableError if the outcome is not known in
        time (the command may be applied yet: look at the alert).
        """
        tracked = self.find(command.alert_id)
        if tracked is None:
            raise RetriableError(f"alert {command.alert_id} is being moved to another instance: try again")
        apply(tracked, command)  # what is refused already needs not be written down
        waiting: asyncio.Future[TrackedAlert] = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = waiting
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await (await self._write_down(command, tracked.partition))
                return await waiting
        except (TimeoutError, KafkaError) as error:
            raise RetriableError(
                f"the brokers did not confirm within {ANSWER_LIMIT_S:g} s that alert {command.alert_id} "
                f"is to be changed; it may be yet: look at it before you try again"
            ) from error
        finally:
            self._waiting.pop(command.id, None)

    async def _write_down(self, command: Command, partition: int) -> Any:
        return await self._commands.send(
            key=command.alert_id.encode(), value=encode_command(command), partition=partition
        )

    async def _take_alerts(self, stream: Any) -> None:
        async for event in stream.noack().events():
            alert = await self._readable_alert(event)
            # The same alert comes again after a restart: what operators did about it stays.
            if alert is not None and self._table.data.get(alert.id.encode()) is None:
                await self._store(event, TrackedAlert(alert, event.message.partition))
            await stream.ack(event)

    async def _readable_alert(self, event: Any) -> Alert | None:
        try:
            writer = await self._writers.schema_of(event.value or b"")
        except UnreadableRecord as error:
            _leave_aside(event, error)
            return None
        return _readable(event, partial(decode_alert, writer=writer))

    async def _take_commands(self, stream: Any) -> None:
        async for event in stream.noack().events():
            command = _readable(event, decode_command)
            if command is not None:
                await self._apply(event, command)
            await stream.ack(event)

    async def _apply(self, event: Any, command: Command) -> None:
        waiting = self._waiting.get(command.id)
        value = self._table.data.get(command.alert_id.encode())
        if value is None:
            log.error("command for an unknown alert", alert=command.alert_id, command=command.id)
            return
        try:
            tracked = apply(decode_tracked(value), command)
        except IllegalTransition as refusal:  # another operator was faster
            if waiting is not None and not waiting.done():
                waiting.set_exception(refusal)
            return
        await self._store(event, tracked)
        log.info("alert changed", alert=command.alert_id, state=tracked.state.value, by=command.by)
        if waiting is not None and not waiting.done():
            waiting.set_result(tracked)

    async def _forget_resolved(self) -> None:
        """Remove rows of alerts that were resolved long ago: the table is in memory, and would grow for ever."""
        if not self.is_ready:
            return
        oldest_ms = (time.time() - self._settings.keep_resolved_s) * 1000
        for tracked in list(self.alerts()):
            if tracked.state is AlertState.RESOLVED and tracked.changes[-1].at_ms < oldest_ms:
                key = tracked.alert.id.encode()
                await self._table.send_changelog(tracked.partition, key, None)
                self._table.data.pop(key, None)

    async def _store(self, event: Any, tracked: TrackedAlert) -> None:
        """Write a row: changelog first, and the row when the brokers have it, for as long as that takes."""
        key, value = tracked.alert.id.encode(), encode_tracked(tracked)
        while True:
            try:
                await self._table.send_changelog(event.message.partition, key, value)
                break
            except KafkaError as error:
                log.error("the changelog does not take a row; trying again", alert=tracked.alert.id, error=str(error))
                await asyncio.sleep(_RETRY_DELAY_S)
        self._table.data[key] = value

    def _owned_partitions(self) -> set[int]:
        topic = self._settings.alerts_topic
        return {tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == topic}

    def _topic(self, name: str, *, internal: bool, partitions: int) -> Any:
        return self.app.topic(
            name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            internal=internal,
            partitions=partitions,
            replicas=self._settings.replication,
        )


class _App(faust.App):  # type: ignore[misc]
    logger = logging.getLogger("faust.app")  # what Faust says of its own life is not this project's news

    def _new_transport(self) -> ReadCommittedTransport:
        return ReadCommittedTransport(self.conf.broker_consumer, self, loop=self.loop)


def _faust_app(settings: ControlSettings, partitions: int) -> faust.App:
    servers = settings.kafka["bootstrap.servers"]
    return _App(
        settings.prefix,
        broker=[f"kafka://{server.strip()}" for server in servers.split(",")],
        broker_credentials=credentials(settings.kafka),
        # The group sees the end of a killed instance after this time at the latest; brokers refuse less than 6 s.
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        broker_commit_interval=1.0,
        # A static member takes its own place after a restart without waiting for the session of its predecessor.
        consumer_group_instance_id=re.sub(r"[^A-Za-z0-9._-]+", "-", settings.own_url.partition("://")[2]),
        consumer_auto_offset_reset="earliest",
        canonical_url=settings.own_url,
        datadir=str(settings.data_folder),
        producer_acks=-1,
        store="memory://",
        table_standby_replicas=0,
        topic_partitions=partitions,
        topic_replication_factor=settings.replication,
        web_enabled=False,
    )


def _readable(event: Any, decode: Callable[[bytes], Value]) -> Value | None:
    try:
        return decode(event.value or b"")
    except UnreadableRecord as error:
        _leave_aside(event, error)
        return None


def _leave_aside(event: Any, error: UnreadableRecord) -> None:
    message = event.message
    log.error(
        "record left aside", topic=message.topic, partition=message.partition, offset=message.offset, why=str(error)
    )
