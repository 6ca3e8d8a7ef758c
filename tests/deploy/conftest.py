"""The whole system of docker-compose.yml as processes, once for the tests of this folder."""

import signal
import subprocess
from collections.abc import Iterator

import pytest

from stream.cli.broker.local import LocalBroker
from tests.deploy.feeding import Feeder
from tests.deploy.system import System, warm_command


@pytest.fixture(scope="package")
def system(broker: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Kernels compiled as the image's build does, topics made, worker and control plane started: in Compose's order."""
    whole = System(broker, tmp_path_factory.mktemp("compose"))
    built = subprocess.run(
        warm_command(), env=whole.environment("worker"), capture_output=True, text=True, timeout=300, check=False
    )
    assert built.returncode == 0, built.stderr
    whole.run_once("topics")
    try:
        # A snapshot within seconds: its age is among the figures that are asked for.
        whole.start("worker", STREAM_SNAPSHOT_INTERVAL_S="2")
        whole.start("control")
        whole.wait_until_ready("worker")
        whole.wait_until_ready("control")
        yield whole
    finally:
        for service in list(whole.running):
            whole.end(service, signal.SIGKILL)


@pytest.fixture(scope="package")
def feeder(system: System, broker: LocalBroker) -> Iterator[Feeder]:
    """Payments, from the moment at which a first test asks for them."""
    feeding = Feeder(broker)
    feeding.start()
    yield feeding
    feeding.end()
