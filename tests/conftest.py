"""What all tests share: one real Kafka a process, topics of their own, one folder of compiled kernels."""

import gc
import os
import re
import signal
import time
import uuid
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import HealthCheck, settings
from structlog.testing import capture_logs

from stream.cli.broker.local import LocalBroker
from stream.kernels import use_cache

ROOT = Path(__file__).parents[1]
KERNELS = ROOT / "build" / "kernels"
ADMIN_TIMEOUT_S = 60

# Of a broker that lets workers say that they are to be missed within seconds.
BRISK = {
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    # A dead owner's open transaction hides what its successor commits until this scan has ended it.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}

# Modules of more than some ten seconds, the longest first, as `make test` showed them. Each runs in one process, beside
# what its tests share; where the order is wrong, a run is longer and nothing else.
LONGEST = (
    "demo/test_fraud_offline",
    "testing/test_simulation",  # other kernels than those of the one before: two processes compile at once
    "demo/test_fraud_stages",
    "models/test_river_twins",
    "features/test_take_over",
    "kernels/test_cache",
    "engine/test_image",
    "cli/test_main",
    "runtime/test_rebalances",
    "runtime/test_chaos",
    "runtime/test_crashes",
    "demo/test_demo_on_kafka",
    "docs/test_tutorial",
    "deploy/test_system",
    "cli/test_local_broker",
    "runtime/test_fencing",
    "runtime/test_backfill",
    "runtime/test_forgotten_groups",
    "benchmarks/test_benchmarks",
    "cli/test_rights_on_kafka",
    "runtime/test_stages_state",
    "runtime/test_mistakes",
    "control/test_control_on_kafka",
    "runtime/test_complaints",
    "runtime/test_stages",
    "runtime/test_plain_run",
)

# How quick examples are made and run depends on what else the machine does, and says nothing about the code.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


class MakeTopic(Protocol):
    """What the fixture `topic` is."""

    def __call__(self, name: str = "topic", partitions: int = 1, **settings: str) -> str:
        """Create a topic that no other test has.

        Args:
            name: what its name begins with, so that logs can be read.
            partitions: how many.
            **settings: of the topic, with `_` for `.` (cleanup_policy="compact").

        Returns:
            Its name.
        """
        ...


def pytest_configure() -> None:
    """Kernels are compiled once for all runs, by pytest's processes, by commands called in them and by workers.

    A change of their code makes new entries, so that nothing has to be deleted. Ctrl-C works in what tests start, also
    where a script runs them in its background, whose processes ignore it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["STREAM_CACHE"] = str(KERNELS)
    use_cache(KERNELS)


def pytest_collection_finish() -> None:
    """What is imported stays: the collector need not look through River and numba again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the broker is a Kafka test. The longest modules begin first: none is left alone at the end."""
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
    order = {module: place for place, module in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(f"{item.path.parent.name}/{item.path.stem}", len(order)))


@pytest.fixture(autouse=True)
def kernels_are_kept() -> Iterator[None]:
    """A test may keep kernels elsewhere; those behind it do not."""
    yield
    use_cache(KERNELS)


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged from here on, whatever a command that an earlier test ran in this process wanted logged."""
    structlog.reset_defaults()
    with capture_logs() as lines:
        yield lines


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """A real Kafka and schema registry: `broker.bootstrap_servers`, `broker.registry_url`.

    All tests of a process share it: use names of your own (`topic`, and groups and ids made from it). A test may
    restart or kill it; it is there again, and answers, when the test is over.
    """
    with LocalBroker(tmp_path_factory.mktemp("broker"), settings=BRISK) as local:
        yield local


@pytest.fixture(scope="session")
def admin(broker: LocalBroker) -> AdminClient:
    """An admin client of the session's broker."""
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers})


@pytest.fixture
def topic(admin: AdminClient, request: pytest.FixtureRequest) -> MakeTopic:
    """A factory of topics with unique names: `topic("payments", partitions=4)` returns the name."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")

    def make(name: str = "topic", partitions: int = 1, **settings: str) -> str:
        unique = f"{name}-{test}-{uuid.uuid4().hex[:8]}"
        wanted = NewTopic(
            unique, partitions, 1, config={key.replace("_", "."): value for key, value in settings.items()}
        )
        admin.create_topics([wanted])[unique].result(ADMIN_TIMEOUT_S)
        # It is there for whoever asks a moment later, which was seen to be long on a busy machine.
        give_up_at = time.monotonic() + ADMIN_TIMEOUT_S
        while unique not in admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics:
            assert time.monotonic() < give_up_at, f"{unique} is not there"
        return unique

    return make
