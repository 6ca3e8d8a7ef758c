"""Settings that contradict each other or the protocol are refused, with the key and the rule."""

from typing import Any

import pytest

from stream.config import KafkaSettings
from stream.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"group_id": ""}, "group_id"),
        ({"transactional_id": ""}, "transactional_id.*rule 6"),
        ({"group_protocol": "eager"}, "group_protocol"),
        ({"group_instance_id": "one", "group_protocol": "consumer"}, "group_instance_id.*rule 18"),
        ({"commit_interval_ms": 6000}, "commit_interval_ms.*10000.*rule 6"),
        ({"max_poll_interval_ms": 20_000}, "transaction_timeout_ms.*rule 16"),
        ({"session_timeout_ms": 300_001}, "session_timeout_ms.*max_poll_interval_ms = 300000.*rule 15"),
        ({"fetch_bytes": 0}, "fetch_bytes"),
        ({"max_message_bytes": 1000}, "max_message_bytes.*rule 12"),
        ({"librdkafka": {"isolation.level": "read_uncommitted"}}, "librdkafka.isolation.level.*rule 17"),
        ({"librdkafka_consumer": {"auto.offset.reset": "latest"}}, "auto.offset.reset.*rule 4"),
        ({"librdkafka_producer": {"partitioner": "random"}}, "partitioner.*rule 6"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(changes: dict[str, Any], said: str) -> None:
    """Nothing starts on settings that would break a promise."""
    with pytest.raises(ConfigError, match=said):
        KafkaSettings(**{"group_id": "g", "transactional_id": "t", **changes})
