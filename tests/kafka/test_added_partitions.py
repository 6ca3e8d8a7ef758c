"""Partitions that come while a worker runs, on a real broker."""

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from stream.config import InputTopics
from stream.engine.protocol import Assigned, FindTask
from stream.errors import ConfigError
from tests.conftest import ADMIN_TIMEOUT_S
from tests.kafka.conftest import MakeWorker
from tests.kafka.scripted import wait_for


def test_rule_13_a_partition_that_was_added_while_a_worker_runs_ends_it_with_what_to_do(
    worker: MakeWorker, inputs: InputTopics, admin: AdminClient
) -> None:
    """The group gives it to some worker, whose journal and labels have no such partition."""
    one = worker()
    wait_for(lambda: one.of(Assigned), one)
    admin.create_partitions([NewPartitions(inputs.events, 3)])[inputs.events].result(ADMIN_TIMEOUT_S)

    one.perform(FindTask(2))

    text = rf"{inputs.events} was given more partitions while this worker ran: it had 2 and has at least 3 now.*"
    with pytest.raises(ConfigError, match=text + rf"\({inputs.labels[0]}, {inputs.journal}, .*--alter --topic"):
        wait_for(lambda: False, one)
