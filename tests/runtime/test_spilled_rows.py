"""Rule 36 on a broker: rows that left memory wait in a topic, and their labels are learned all the same."""

import random
import signal

from stream.app import compile_app
from stream.engine.label_values import LabelCounts
from stream.engine.output_format import OutputFormat
from stream.engine.plan import Plan
from stream.engine.task import Task
from tests.runtime.app import declare
from tests.runtime.conftest import Deploy
from tests.runtime.deployment import Deployment
from tests.runtime.truth import check_journal, check_outputs, cycles, state_of_journal, state_of_snapshot

SPILLING = "tests/runtime/spilling_app.py:app"
PAYMENTS = 700
HOUR_MS = 3_600_000


def test_labels_meet_rows_that_left_memory_whoever_has_the_task(deploy: Deploy) -> None:
    """700 payments, 16 of which fit into memory; killed and started again, and then in any order their chargebacks."""
    app = deploy(1, is_created=False, commit_interval_ms="50", snapshot_interval_s="1")
    app.create_topics(HOUR_MS)
    app.traffic.send_payments(PAYMENTS)
    killed = app.start(target=SPILLING)
    app.wait_until_handled()
    numbers = random.Random(7).sample(range(PAYMENTS), PAYMENTS)
    app.traffic.send_chargebacks(numbers[:400])
    before = app.committed()
    killed.wait(lambda: app.committed() != before, "labels that are learned")
    killed.end(signal.SIGKILL)
    last = app.start(target=SPILLING)
    app.wait_until_handled()
    app.traffic.send_chargebacks([*numbers[400:], numbers[0], 10_000])
    app.wait_until_handled()
    app.stop(last)

    check_outputs(app)
    check_journal(app)
    plan = compile_app(declare(app.name, label_bytes=1, spilled_bytes=1), {})
    assert state_of_snapshot(app, 0, plan) == state_of_journal(app, 0, plan)
    counts = last_counts(app, plan)
    assert (counts.joined, counts.duplicate, counts.early, counts.rows_evicted) == (PAYMENTS, 1, 1, 0)
    assert len(app.records(app.topics.features)) > 50


def last_counts(app: Deployment, plan: Plan) -> LabelCounts:
    """What became of labels, as the newest snapshot says."""
    store = app.open_store()
    stored = store.load(0, {(record.cycle, record.digest) for record in cycles(app, 0)})
    store.close()
    assert stored.checkpoint is not None
    task = Task(plan, 0, 1, OutputFormat(app.topics, None, None))
    task.load(stored.checkpoint)
    return task.state.labels_kept.counts
