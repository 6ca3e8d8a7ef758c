"""A reset that is interrupted between any two of its steps leaves a task that is whole, says so, or begins anew."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from stream.config import InputTopics, KafkaSettings
from stream.engine.protocol import TaskFound
from stream.engine.restore import Beginning, find_beginning
from stream.errors import RetriableError, TaskCorrupted
from stream.kafka import answers, task_reset
from stream.kafka.reader import Reader
from stream.kafka.task_finder import TaskFinder
from stream.kafka.task_reset import TaskReset
from stream.records import TopicPartition
from tests.conftest import MakeTopic
from tests.kafka.scripted import journal_record
from tests.kafka.test_task_finder import Committing, EmptyStore


class Killed(Exception):
    """What ends a reset in the middle."""


def killed(*_: object) -> None:
    """Instead of a step."""
    raise Killed


class Forgetting(EmptyStore):
    """Notes what it is to forget."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[int] = []

    def forget(self, partition: int) -> None:
        """Note it."""
        self.forgotten.append(partition)


@pytest.fixture
def task(settings: KafkaSettings, inputs: InputTopics, produce: Any) -> TopicPartition:
    """A task of a cycle, that has ten events behind it."""
    events = TopicPartition(inputs.events, 0)
    produce(inputs.events, *(b"event" for _ in range(12)))
    committing = Committing(settings)
    record, position = journal_record(inputs.journal, 1)
    committing.begin({events: position}, record)
    committing.producer.commit_transaction(20)
    committing.reader.close()
    committing.producer.close()
    return events


def reset(settings: KafkaSettings, inputs: InputTopics, store: Forgetting) -> None:
    """All of it."""
    resetting = TaskReset(settings, inputs, store)
    try:
        resetting.reset(0)
    finally:
        resetting.close()


def found(settings: KafkaSettings, inputs: InputTopics) -> TaskFound:
    """What is remembered of the task."""
    finder = TaskFinder(settings, inputs, EmptyStore())
    try:
        return finder.find(0)
    finally:
        finder.close()


def beginning(task: TaskFound, source: TopicPartition) -> Beginning:
    """Where it would start."""
    return find_beginning(task, (source,), "plan", "earliest")


@pytest.mark.parametrize("step", ["_forget_offsets", "_empty", "forget"])
def test_a_reset_may_be_interrupted_at_each_step_and_run_again(
    settings: KafkaSettings, inputs: InputTopics, task: TopicPartition, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before the first it is whole, before the second it says so, before the third it begins anew, as in the end."""
    assert found(settings, inputs).committed[task].next_offset == 10
    with monkeypatch.context() as patched:
        patched.setattr(Forgetting if step == "forget" else TaskReset, step, killed)
        with pytest.raises(Killed):
            reset(settings, inputs, Forgetting())

    left = found(settings, inputs)
    if step == "_forget_offsets":
        assert (left.committed[task].next_offset, len(left.journal)) == (10, 1)
    elif step == "_empty":
        with pytest.raises(TaskCorrupted, match="a reset of this task was interrupted"):
            beginning(left, task)
    else:
        assert beginning(left, task).starts == {task: 0}

    store = Forgetting()
    reset(settings, inputs, store)
    anew = found(settings, inputs)
    assert (anew.journal, beginning(anew, task).starts, store.forgotten) == ((), {task: 0}, [0])


def test_a_task_whose_offsets_the_group_forgot_is_marked_too(
    settings: KafkaSettings, inputs: InputTopics, task: TopicPartition
) -> None:
    """As behind a week without workers: its journal alone would let it start in the middle of a reset."""
    forgotten = replace(settings, group_id=f"{settings.group_id}-forgotten")
    assert found(forgotten, inputs).committed == {}
    resetting = TaskReset(forgotten, inputs, Forgetting())
    resetting.mark(0)
    resetting.close()
    with pytest.raises(TaskCorrupted, match="a reset of this task was interrupted"):
        beginning(found(forgotten, inputs), task)


def test_what_another_stage_sent_is_deleted_and_inputs_of_others_are_not(
    settings: KafkaSettings, inputs: InputTopics, task: TopicPartition
) -> None:
    """A repartition topic is the app's own (rule 34)."""

    def beginning_behind(topics: InputTopics) -> tuple[int, int]:
        resetting = TaskReset(settings, topics, Forgetting())
        resetting.discard_repartition(0)
        resetting.close()
        with Reader(settings) as reader:
            return reader.watermarks(task)

    assert beginning_behind(inputs) == (0, 12)
    assert beginning_behind(replace(inputs, repartition=(task.topic,))) == (12, 12)


class SilentAdmin:
    """A client that never answers."""

    def alter_consumer_group_offsets(self, groups: list[Any], **timeouts: float) -> dict[Any, Future[Any]]:
        """No answer."""
        return {"group": Future()}

    def delete_records(self, positions: list[Any], **timeouts: float) -> dict[Any, Future[Any]]:
        """No answer."""
        return {position: Future() for position in positions}


@pytest.mark.parametrize("step", ["_forget_offsets", "_empty"])
def test_brokers_that_are_silent_in_the_middle_of_a_reset_are_told(
    settings: KafkaSettings, inputs: InputTopics, task: TopicPartition, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """No traceback between the steps: an error that says what was not done, and to try again."""
    monkeypatch.setattr(task_reset, "_REQUEST_S", 0.01)
    monkeypatch.setattr(answers, "_LATER_S", 0.01)
    resetting = TaskReset(settings, inputs, Forgetting())
    monkeypatch.setattr(resetting, "_admin", SilentAdmin())
    begun: Callable[[Any], None] = getattr(resetting, step)
    source = TopicPartition(inputs.journal, 0) if step == "_empty" else (task,)
    with pytest.raises(RetriableError, match=r"no answer in .* Try again"):
        begun(source)
    resetting.close()


def test_features_may_never_have_been_kept(settings: KafkaSettings, inputs: InputTopics, task: TopicPartition) -> None:
    """A reset names their topic whether rows are spilled or not; where there is none, nothing is to be deleted."""
    store = Forgetting()
    reset(settings, replace(inputs, features=f"{inputs.events}-never-made"), store)
    assert store.forgotten == [0]


def test_features_of_labels_go_before_the_journal(
    settings: KafkaSettings, inputs: InputTopics, task: TopicPartition, topic: MakeTopic, produce: Any
) -> None:
    """A task that begins anew names its segments as before: it must not find the old ones."""
    with_features = replace(inputs, features=topic("features", 2))
    produce(with_features.features, b"segment")
    emptied: list[str] = []

    class Noting(TaskReset):
        def _empty(self, source: TopicPartition) -> None:
            super()._empty(source)
            emptied.append(source.topic)

    resetting = Noting(settings, with_features, Forgetting())
    resetting.reset(0)
    resetting.close()
    with Reader(settings) as reader:
        assert reader.watermarks(TopicPartition(with_features.features, 0)) == (1, 1)
    assert emptied == [with_features.features, inputs.journal]
