"""Stages of an app in memory: their topics are lists, and their tasks take turns as a seed says."""

import random
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import orjson

from stream.engine.effects import OutputBatch
from stream.engine.plan import Plan
from stream.engine.protocol import SchemaFetched
from stream.engine.task import Task
from stream.records import RecordBatch, joined
from tests.engine.build import EVENT_SCHEMA, FORMAT, LABEL_SCHEMA, T0

SCHEMAS = {1: orjson.dumps(EVENT_SCHEMA).decode(), 2: orjson.dumps(LABEL_SCHEMA).decode()}
Place = tuple[str, int]  # topic and partition


class Pipeline:
    """Runs records through all stages.

    Args:
        plans: of the stages.
        partitions: of every topic.
        inputs: records by topic and partition.
        seed: of the order in which tasks take turns, and of the slices they take.
        schemas: of the records, by the ids that they name.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        partitions: int,
        inputs: Mapping[Place, RecordBatch],
        seed: int,
        schemas: Mapping[int, str] = SCHEMAS,
    ) -> None:
        self.plans = plans
        self.partitions = partitions
        self.draw = random.Random(seed)
        self.logs: dict[Place, list[RecordBatch]] = defaultdict(list)
        self.read: dict[Place, int] = defaultdict(int)
        self.out: list[OutputBatch] = []
        self.measured: list[tuple[str, list[int]]] = []  # what the last stage did, in order: topic and offsets
        self._schemas = schemas
        for place, batch in inputs.items():
            self.logs[place] = [batch.part(row, row + 1) for row in range(len(batch))]
        self.tasks = {
            (plan.stage, number): Task(plan, number, 1, FORMAT) for plan in plans for number in range(partitions)
        }

    def run(self) -> "Pipeline":
        """Until all is handled."""
        while waiting := self.waiting():
            self.turn(*self.draw.choice(waiting))
        return self

    def waiting(self) -> list[tuple[Task, Place]]:
        """Tasks and the partitions that have records for them."""
        return [
            (task, place)
            for task in self.tasks.values()
            for place in task.sources
            if self.read[place] < len(self.logs[place])
        ]

    def turn(self, task: Task, place: Place, most: int = 40) -> None:
        """A task takes some records of a partition."""
        log, at = self.logs[place], self.read[place]
        batch = joined(log[at : at + self.draw.randint(1, most)])
        outputs = task.process(batch, T0)
        self.read[place] += outputs.taken
        if outputs.needs_schema is not None:
            task.answer_schema(SchemaFetched(outputs.needs_schema, self._schemas[outputs.needs_schema]))
        for sent in outputs.sent_on:
            self.append(sent)
        self.out += [*outputs.predictions, *outputs.transactional]
        if outputs.measured is not None:
            self.measured.append((outputs.measured.topic, outputs.measured.offsets.tolist()))
        elif outputs.taken and task._plan.leaves is None:
            self.measured.append((place[0], batch.offsets[: outputs.taken].tolist()))

    def append(self, sent: OutputBatch) -> None:
        """What a stage sent on, record by record."""
        for row in range(len(sent)):
            key = bytes(sent.data[sent.keys[row, 0] : sent.keys[row, 1]]) if sent.keys[row, 0] >= 0 else None
            partition = sent.partition
            if partition < 0:
                partition = (
                    zlib.crc32(key) % self.partitions if key is not None else self.draw.randrange(self.partitions)
                )
            place = (sent.topic, partition)
            self.logs[place].append(
                RecordBatch(
                    sent.topic,
                    partition,
                    sent.data,
                    sent.keys[row : row + 1],
                    sent.values[row : row + 1],
                    np.array([2 * len(self.logs[place])]),  # with holes, as markers of transactions make them
                    sent.timestamps_ms[row : row + 1],
                    sent.headers[row : row + 1],
                )
            )

    def of(self, topic: str) -> list[tuple[bytes, bytes]]:
        """Keys and values of all that was written to a topic."""
        return [record for batch in self.out if batch.topic == topic for record in records_of(batch)]


def records_of(batch: OutputBatch) -> list[tuple[bytes, bytes]]:
    """Keys and values."""
    spans = zip(batch.keys.tolist(), batch.values.tolist(), strict=True)
    return [(bytes(batch.data[k[0] : k[1]]), bytes(batch.data[v[0] : v[1]])) for k, v in spans]


def in_partition(batch: RecordBatch, partition: int) -> RecordBatch:
    """The same records in another partition."""
    return replace(batch, partition=partition)
