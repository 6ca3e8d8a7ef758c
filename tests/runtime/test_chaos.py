"""A short campaign of random faults on a real Kafka; `make bench-chaos` runs long ones."""

from pathlib import Path

import pytest

from stream.cli.broker.local import LocalBroker
from tests.runtime.chaos import campaign


@pytest.mark.parametrize(
    ("seed", "delivery", "protocol"), [(1, "exactly-once", "classic"), (2, "immediate", "consumer")]
)
def test_faults_at_random_lose_nothing_and_nothing_is_learned_twice(
    broker: LocalBroker, tmp_path: Path, seed: int, delivery: str, protocol: str
) -> None:
    """Kills, pauses, stops, joins and a broker that restarts, among three workers under load."""
    found = campaign(broker, tmp_path, 5, seed, 200, delivery, protocol)
    assert found["lost"] == 0
    assert found["identical"]
    if delivery == "exactly-once":
        assert found["duplicated"] == 0
