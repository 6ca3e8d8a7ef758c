"""A worker on a real broker, undisturbed: what it writes, what it says of itself, and how it stops."""

import time

from stream.resources import schema_text
from tests.runtime.conftest import Deploy
from tests.runtime.processes import WorkerProcess
from tests.runtime.truth import (
    check_journal,
    check_outputs,
    check_states,
    check_transactions,
    cycles,
    state_of_snapshot,
)


def test_every_event_is_predicted_once_and_a_clean_stop_leaves_the_journal_s_state(deploy: Deploy) -> None:
    """6,000 payments, 120 of them damaged, and 3,000 chargebacks; a stop; a start that replays nothing; 1,000 more."""
    app = deploy()
    app.traffic.send(6000)
    began = time.monotonic()
    worker = app.start()
    worker.wait(lambda: app.end_of(app.topics.predictions), "a first prediction")
    print(f"process start to first prediction: {time.monotonic() - began:.2f} s")
    app.wait_until_handled()
    check_what_it_says(worker, events=5880, labels=3000)
    app.stop(worker)

    check_outputs(app)
    check_journal(app)
    check_transactions(app)
    check_states(app)
    check_alerts(app.decoded(app.topics.alerts))
    assert app.registered(f"{app.topics.predictions}-value") == schema_text("prediction")
    assert app.registered(f"{app.topics.alerts}-value") == schema_text("alert")
    stopped_at = [state_of_snapshot(app, partition)[0] for partition in range(app.partitions)]
    assert stopped_at == [cycles(app, partition)[-1].cycle for partition in range(app.partitions)]

    again = app.start()
    again.wait(lambda: again.get("/readyz")[0] == 200, "to be ready")
    assert "replayed" not in again.log
    app.traffic.send(1000)
    app.wait_until_handled()
    app.stop(again)

    check_outputs(app)
    check_journal(app)
    check_states(app)


def check_what_it_says(worker: WorkerProcess, events: int, labels: int) -> None:
    """/metrics counts what it did; it is alive and ready."""
    worker.wait(lambda: worker.get("/readyz") == (200, "running\n"), "to be ready")
    assert worker.get("/healthz") == (200, "alive\n")
    worker.wait(lambda: worker.total("stream_lag_records") == 0, "a lag of 0, which is looked at once a second")

    assert worker.total("stream_events_total") == events
    reasons = ("truncated", "unknown_schema", "null_value")
    assert [worker.total("stream_rejections_total", reason=reason) for reason in reasons] == [40, 40, 40]
    assert worker.total("stream_labels_total") == labels
    assert worker.total("stream_learned_total", model="champion") > 0.9 * labels
    assert worker.total("stream_latency_seconds_count") == events + 120
    assert worker.total("stream_commits_total") > 0
    assert worker.total("stream_aborts_total") == 0


def check_alerts(alerts: list[dict[str, object]]) -> None:
    """The jump of the amounts is noticed; each alert has an identity of its own and a sentence."""
    assert alerts
    assert len({alert["id"] for alert in alerts}) == len(alerts)
    assert all(alert["sentence"] for alert in alerts)
