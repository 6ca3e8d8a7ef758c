"""What users of other systems complained about, on a real broker (tests/engine/test_complaints.py has the others)."""

from tests.runtime.conftest import Deploy
from tests.runtime.slow_app import EVENT_S
from tests.runtime.truth import check_journal, check_outputs


def test_a_slow_batch_is_not_evicted_from_its_group(deploy: Deploy) -> None:
    """A batch that takes half again as long as the group waits for a poll: it is cut, and the member stays."""
    max_poll_interval_ms = 6000
    app = deploy(
        partitions=1,
        max_poll_interval_ms=str(max_poll_interval_ms),
        transaction_timeout_ms="2000",
        session_timeout_ms="6000",
    )
    events = int(1.5 * max_poll_interval_ms / 1000 / EVENT_S)
    app.traffic.send_payments(events)
    worker = app.start(target="tests/runtime/slow_app.py:app")
    app.wait_until_handled()
    assert len(worker.said("partitions gained")) == 1
    assert not worker.said("partitions lost")
    app.stop(worker)
    check_outputs(app)
    check_journal(app)


def test_a_consumer_that_is_dead_does_not_die_silently(deploy: Deploy) -> None:
    """Its place in the group was taken by another process of the same name: it ends, with the reason, and at once."""
    app = deploy()
    first = app.start("0", group_instance_id="the-same")
    first.wait(lambda: first.get("/readyz")[0] == 200, "to be ready")
    second = app.start("1", group_instance_id="the-same")
    assert first.exit_status() == 1
    assert "group_instance_id" in first.log
    assert "Traceback" not in first.log
    app.expect_end(first)
    app.traffic.send(300)
    app.wait_until_handled()
    app.stop(second)
    check_outputs(app)
