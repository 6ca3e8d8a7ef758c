"""Brings a task to the end of its journal beside its worker: by the code of a restore, outside the group."""

import time
from collections.abc import Callable, Iterable

import numpy as np
from confluent_kafka import Consumer

from stream.avro import Framing, header
from stream.engine.lifecycle import TaskState
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.protocol import FetchRows, Instruction, Pause, Resume, TaskFound
from stream.engine.slot import Slot
from stream.engine.task import Task
from stream.errors import RetriableError, TaskCorrupted
from stream.kafka import client_config
from stream.kafka.broker_health import BrokerHealth
from stream.kafka.clients import make_client
from stream.kafka.flows import Flows
from stream.kafka.mailbox import Mailbox
from stream.kafka.row_fetcher import RowFetcher
from stream.runtime.settings import Settings
from stream.runtime.worker import compile_kernels, now_ms

_SLICE_RECORDS = 8192
_POLL_S = 0.1
# Without a record for so long, what the journal names is not there, or no broker is.
_SILENCE_S = 30.0


class Rebuilder:
    """Makes tasks from what is remembered of them; nothing that they put out leaves.

    Args:
        plan: the compiled app, of the version whose state is to be rebuilt.
        settings: of its workers.
    """

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self._plan = plan
        self._kafka = settings.kafka(plan.app, plan.stage)
        # Any schema id: outputs are made as live, and dropped.
        any_header = header(Framing.CONFLUENT, 1)
        limit = self._kafka.max_message_bytes
        self._format = OutputFormat(settings.topics(plan.app, plan.stage), any_header, any_header, limit)
        compile_kernels(plan, self._format)

    def rebuild(self, found: TaskFound, on_progress: Callable[[float], None] = lambda share: None) -> Slot:
        """Load the newest snapshot in `found`, and replay its journal behind it.

        Args:
            found: what is remembered of the task; the state becomes that of the last cycle of its journal.
            on_progress: hears the share of the journal that is replayed, 0 to 1.

        Returns:
            The task's slot, running, with nothing handled that is not in the journal.

        Raises:
            TaskCorrupted: the state cannot be rebuilt from what is there: records or parts of the journal are gone.
            ConfigError: the journal was written by another version of the app.
            RetriableError: records that the journal names did not come.
        """
        slot = Slot(Task(self._plan, found.partition, 0, self._format), 0)
        starts = slot.begin(found, "earliest", now_ms())
        config = client_config.assigned_consumer(self._kafka, len(starts))
        consumer = make_client(Consumer, {**config, "error_cb": BrokerHealth().on_error})
        flows = Flows(consumer)
        rows = RowFetcher(self._kafka, self._format.topics.features, Mailbox())
        try:
            flows.add(starts)
            for source, offset in starts.items():
                flows.fetch(source, offset)
            with np.errstate(all="ignore"):
                self._replay(slot, flows, rows, on_progress)
        finally:
            rows.close()
            consumer.close()
        return slot

    def _replay(self, slot: Slot, flows: Flows, rows: RowFetcher, on_progress: Callable[[float], None]) -> None:
        give_up_at = time.monotonic() + _SILENCE_S
        while slot.state is TaskState.RESTORING:
            batches = flows.consume(_POLL_S, self._kafka.poll_records)
            if gone := flows.take_gone():  # it will not come, however often one tries
                raise TaskCorrupted("; ".join(gone.values()))
            for batch in batches:
                _perform(slot.enqueue(batch, now_ms()), flows)
            while slot.state is TaskState.RESTORING and slot.has_work(now_ms()):
                _, instructions = slot.handle(now_ms(), _SLICE_RECORDS)
                _perform(instructions, flows)
                for wanted in instructions:
                    if isinstance(wanted, FetchRows) and (answer := rows.read(wanted)):
                        slot.answer_rows(answer)
                give_up_at = time.monotonic() + _SILENCE_S
            on_progress(slot.restored_share)
            if time.monotonic() > give_up_at:
                raise RetriableError(
                    f"partition {slot.task.partition}: records that the journal names did not come for "
                    f"{_SILENCE_S:.0f} s; {slot.restored_share:.0%} of it are replayed. Try again"
                )


def _perform(instructions: Iterable[Instruction], flows: Flows) -> None:
    for instruction in instructions:
        if isinstance(instruction, Pause):
            flows.pause(instruction.source)
        elif isinstance(instruction, Resume):
            flows.resume(instruction.source)
