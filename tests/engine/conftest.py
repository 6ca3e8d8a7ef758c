"""What tests of the engine share."""

import orjson
import pytest

from tests.engine.build import (
    EVENT_SCHEMA,
    FORMAT,
    LABEL_SCHEMA,
    T0,
    chargebacks,
    payments,
)
from tests.engine.memory_broker import MemoryBroker
from tests.engine.running import EVENTS, LABELS


@pytest.fixture
def memory() -> MemoryBroker:
    """400 events with 100 labels behind them."""
    made = MemoryBroker(
        ["payments", "chargebacks"],
        FORMAT.topics.journal,
        {1: orjson.dumps(EVENT_SCHEMA).decode(), 2: orjson.dumps(LABEL_SCHEMA).decode()},
    )
    for number, (key, value) in enumerate(payments(400)):
        made.append(EVENTS, key, value, T0 + number)
    for number, (key, value) in enumerate(chargebacks(range(50, 150))):
        made.append(LABELS, key, value, T0 + 100 + number)
    return made
