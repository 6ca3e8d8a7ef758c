"""A task that cannot go on, and the worker that serves the others."""

from contextlib import closing

from confluent_kafka import Producer

from tests.runtime.conftest import Deploy
from tests.runtime.deployment import Deployment


def damage_journal(app: Deployment, partition: int) -> None:
    """Put a record there that is none."""
    with closing(Producer({"bootstrap.servers": app.broker.bootstrap_servers})) as producer:
        producer.produce(app.topics.journal, b"?", partition=partition)
        assert producer.flush(30) == 0


def test_a_worker_serves_the_others_when_a_task_fails(deploy: Deploy) -> None:
    """The journal of partition 1 is damaged: seen in /readyz and in the metrics."""
    app = deploy(2)
    damage_journal(app, 1)
    worker = app.start()
    worker.wait_for_log("a task failed; the others go on")
    app.traffic.send(300)
    worker.wait(lambda: app.committed().get((app.events, 0)) == app.ends()[app.events, 0], "partition 0 is handled")
    worker.wait(lambda: "running; partition 1 failed" in worker.get("/readyz")[1], "the failure in /readyz")

    status, sentence = worker.get("/readyz")
    assert (status, worker.get("/healthz")[0]) == (503, 200)
    assert "a journal record is not of a version that this release can read" in sentence
    failed = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith("stream_task_failed{")]
    assert failed == ['stream_task_failed{partition="0"} 0.0', 'stream_task_failed{partition="1"} 1.0']
    assert app.committed()[app.events, 1] == 0 < app.ends()[app.events, 1]
    app.stop(worker)


def test_a_worker_ends_with_the_reason_when_all_its_tasks_have_failed(deploy: Deploy) -> None:
    """There is nobody to serve: whoever supervises it sees a status."""
    app = deploy(1)
    damage_journal(app, 0)
    worker = app.start()
    app.expect_end(worker)

    assert worker.exit_status() == 1
    assert "a journal record is not of a version that this release can read" in worker.log.splitlines()[-1]
    assert "Traceback" not in worker.log
