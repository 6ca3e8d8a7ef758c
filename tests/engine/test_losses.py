"""What state lets go of for its budgets is counted, cycle by cycle, and shown: nothing is lost without a word."""

import random
from collections.abc import Sequence
from functools import cache

from stream.app import compile_app
from stream.engine.metrics import LabelOutcome, Losses
from stream.engine.plan import Plan
from stream.engine.task import Task
from stream.records import RecordBatch
from stream.runtime.metrics import WorkerMetrics
from tests.engine.build import EVENT_SCHEMA, FORMAT, LABEL_SCHEMA, T0, batch, declare, encoded, task_of

# The fewest rows, and sparse features of them, that are kept for labels whatever the budget.
ROOM = 1024


@cache
def tight_plan() -> Plan:
    """The smallest budgets: some hundred keys and window events, ROOM rows that wait for labels."""
    app = declare(state_bytes=1, of_events={"state_bytes": 40_000, "key_expiry": "10m"})
    return compile_app(app, {})


def events(numbers: Sequence[int], cards: int = 1, at: int = 0, text: str = "taxi") -> RecordBatch:
    """Payments of these numbers by so many cards in turn, a millisecond apart from T0 + `at` on."""
    records: list[tuple[bytes | None, bytes | None]] = []
    for number in numbers:
        card = f"card{number % cards}"
        value = {"id": f"p{number}", "card": card, "amount": 9.0, "at": T0 + at + number, "text": text, "fraud": None}
        records.append((card.encode(), encoded(EVENT_SCHEMA, 1, value)))
    made = batch("payments", records, numbers[0])
    made.timestamps_ms[:] = T0 + at + made.offsets
    return made


def labels(numbers: Sequence[int]) -> RecordBatch:
    """Chargebacks of these payments."""
    return batch(
        "chargebacks", [(b"card", encoded(LABEL_SCHEMA, 2, {"id": f"p{n}", "fraud": True})) for n in numbers], 1
    )


def losses_of(task: Task, *work: RecordBatch) -> Losses:
    """What a cycle of this work lost."""
    for each in work:
        task.process(each, T0)
    task.close_cycle()
    return task.metrics.losses


def test_every_loss_is_counted_and_shown() -> None:
    """Too many events in a window, keys and waiting rows, a late event, idle keys: each under its name on /metrics."""
    plan, task = tight_plan(), task_of(tight_plan())
    keys, in_window = plan.features.budget.keys[0], plan.features.budget.reservoir_events[0, 0]
    first = losses_of(task, events(range(in_window + 1_500)))
    assert first == Losses(window_events_dropped=1_500, label_rows_evicted=in_window + 1_500 - ROOM)

    begin = in_window + 1_500
    crowd = losses_of(task, events(range(begin, begin + keys + 5), cards=100_000))
    late = losses_of(task, events([100_000]), events([100_001], at=-500_000))
    idle = losses_of(task, events([200_000], at=20 * 60_000))

    assert (crowd.keys_evicted, crowd.keys_expired) == (6, 0)
    assert (late.late_events, late.keys_evicted) == (1, 1)
    assert idle == Losses(keys_expired=1, label_rows_evicted=1)  # the row of an hour ago still waits
    shown = WorkerMetrics("app", ["champion"], [])
    shown.record_cycle(0, task.metrics)
    assert shown.registry.get_sample_value("stream_expiries_total", {"partition": "0"}) == 1


def test_a_label_whose_row_made_room_is_late_and_one_whose_row_is_kept_is_learned() -> None:
    """76 rows more than fit: the labels of the 76 oldest come too late, that of the next one is learned from."""
    task = task_of(tight_plan())
    losses_of(task, events(range(ROOM + 76)))

    losses_of(task, labels([0, 75, 76, ROOM + 75]))

    assert task.metrics.labels[LabelOutcome.LATE] == 2
    assert task.metrics.labels[LabelOutcome.JOINED] == 2
    assert task.metrics.learned == {"champion": 2}


def test_rows_go_for_the_share_of_their_sparse_features_too() -> None:
    """Two words each fill that share with half as many rows."""
    task = task_of(tight_plan())
    few = losses_of(task, events(range(ROOM), text="taxi lunch"))
    losses_of(task, labels([ROOM // 2 - 1, ROOM // 2]))

    assert few.label_rows_evicted == ROOM // 2
    assert task.metrics.labels[LabelOutcome.LATE] == 1
    assert task.metrics.labels[LabelOutcome.JOINED] == 1


def test_losses_do_not_depend_on_batches_nor_on_a_restart() -> None:
    """Cut at random, and saved and loaded in the middle: the same losses, the same state; no cycle counts another's."""
    whole, cut, loaded = task_of(tight_plan()), task_of(tight_plan()), Task(tight_plan(), 0, 1, FORMAT)
    first, second = events(range(3_000), cards=300), events(range(3_000, 4_000), cards=300)
    draw, at = random.Random(1), 0
    expected = [losses_of(whole, first), losses_of(whole, second)]
    while at < len(first):
        end = min(at + draw.randrange(1, 400), len(first))
        cut.process(first.part(at, end), T0)
        at = end
    cut.close_cycle()
    loaded.load(cut.checkpoint(T0))

    assert cut.metrics.losses == expected[0]
    assert expected[0].label_rows_evicted > 0 < expected[0].keys_evicted
    assert losses_of(loaded, second) == expected[1]
    assert loaded.state.digest() == whole.state.digest()
