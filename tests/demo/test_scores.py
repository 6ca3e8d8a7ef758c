"""What the demo says of predictions: honest, whatever the order in which things come."""

import numpy as np
import pytest

from stream.cli.demo.blocks import Block, Labels, numbered
from stream.cli.demo.scores import Scores, baseline_of
from stream.cli.demo.writing import NO_EVENT
from stream.records import Floats

MS = 1_000_000


def block(targets: list[float], has_label_topic: bool = True) -> Block:
    """Events with these truths; the change is at the third."""
    count = len(targets)
    labels = Labels({}, np.zeros(count, np.int64)) if has_label_topic else None
    changed = np.arange(count) >= 2
    return Block({}, np.zeros(count, np.int64), np.array(targets), labels=labels, is_after_change=changed)


def sent(scores: Scores, targets: list[float], has_label_topic: bool = True) -> Scores:
    """All of these events went out at time 0."""
    scores.expect(block(targets, has_label_topic))
    for event in range(len(targets)):
        scores.event_sent(event, 0)
    return scores


def arrived(scores: Scores, offsets: list[int], values: list[float], at_ns: int = MS) -> None:
    """Predictions came."""
    scores.received(np.zeros(len(offsets), np.int64), np.array(offsets), np.array(values), at_ns)


def test_a_prediction_counts_once_its_label_was_sent_and_it_has_come() -> None:
    """Given four predictions and two labels, two are judged; the others when their labels go out."""
    scores = sent(Scores(), [1.0, 0.0, 1.0, 0.0])
    arrived(scores, [0, 1, 2, 3], [0.9, 0.2, 0.1, 0.3])
    scores.label_sent(0)
    scores.label_sent(1)
    assert (scores.summary().count, scores.summary().roc_auc.value) == (2, 1.0)
    scores.label_sent(2)
    scores.label_sent(3)
    assert (scores.summary().count, scores.summary().roc_auc.value) == (4, 0.5)


def test_labels_that_the_events_carry_are_known_at_once() -> None:
    """Where there is no label topic, a prediction counts when it comes."""
    scores = sent(Scores(), [1.0, 0.0], has_label_topic=False)
    arrived(scores, [1], [0.2])
    assert scores.summary().count == 1


def test_poisoned_records_take_an_offset_and_are_no_events() -> None:
    """Given one in second place, the prediction at offset 2 is that of the second event."""
    scores = Scores()
    scores.expect(block([0.0, 1.0, 1.0], has_label_topic=False))
    for event in (0, NO_EVENT, 1, 2):
        scores.event_sent(event, 0)
    arrived(scores, [0, 2, 3], [0.1, 0.8, 0.9])
    assert (scores.sent_events, scores.sent_records, scores.predictions) == (3, 4, 3)
    assert scores.summary().roc_auc.value == 1.0
    assert scores.changed_at == 3


def test_latency_leaves_out_the_first_event_which_waits_for_the_worker() -> None:
    """Given 9 s for the first and 1, 2 and 3 ms for the others, the median is 2 ms."""
    scores = sent(Scores(), [0.0, 0.0, 0.0, 0.0])
    arrived(scores, [0], [0.5], 9_000 * MS)
    for offset in (1, 2, 3):
        arrived(scores, [offset], [0.5], offset * MS)
    assert scores.latencies_ms((50.0,)) == [pytest.approx(2.0)]


def judged(targets: list[float], values: Floats) -> Scores:
    """All of these predictions with their truths."""
    scores = sent(Scores(), targets, has_label_topic=False)
    arrived(scores, list(range(len(targets))), values.tolist())
    return scores


def test_the_baseline_is_the_better_of_no_change_and_prior() -> None:
    """Truths that come in runs are well guessed by the one before; those that alternate are not, and the prior is."""
    in_runs = baseline_of(judged([0.0] * 50 + [1.0] * 50, np.full(100, 0.5)).summary())
    assert in_runs.name == "no-change"
    assert in_runs.roc_auc == pytest.approx(0.99)
    alternating = baseline_of(judged([0.0, 1.0] * 50, np.full(100, 0.5)).summary())
    assert (alternating.name, alternating.roc_auc, alternating.pr_auc) == ("prior", 0.5, 0.5)


def test_with_one_kind_of_truth_there_is_nothing_to_be_better_than() -> None:
    """No-change is always right there, which means nothing."""
    assert baseline_of(judged([0.0, 0.0, 0.0], np.full(3, 0.1)).summary()).roc_auc == 0.5


def test_ids_are_written_without_a_loop() -> None:
    """With zeros in front, so that they sort as the numbers do."""
    ids = numbered("p-", np.array([0, 42, 1_234]), 5)
    data = ids.data.tobytes()
    assert [data[start:end] for start, end in ids.bounds.tolist()] == [b"p-00000", b"p-00042", b"p-01234"]


def test_with_several_partitions_places_are_told_apart() -> None:
    """The third record of four lies first in partition 1: its prediction is its own, and its number is 2."""
    scores = Scores(2)
    scores.expect(block([0.0, 1.0, 1.0, 0.0], has_label_topic=False))
    for event, partition in enumerate((0, 0, 1, 0)):
        scores.event_sent(event, 0, partition)
    scores.received(np.array([1, 0, 0, 0]), np.array([0, 2, 1, 0]), np.array([0.9, 0.1, 0.8, 0.2]), MS)
    assert scores.summary().roc_auc.value == 1.0
    assert (scores.record_at(1, 0), scores.record_at(0, 2), scores.changed_at) == (2, 3, 2)
