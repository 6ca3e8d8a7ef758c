"""Settings that librdkafka does not know or cannot use, as the commands tell of them."""

from collections.abc import Callable

import pytest

from stream.cli.dead_letters.topic import DeadLetterTopic
from stream.cli.producing.sending import Sender
from stream.cli.tailing.reading import TopicReader
from stream.config import KafkaSettings
from stream.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"librdkafka": {"securty.protocol": "SSL"}}, 'No such configuration property: "securty.protocol"'),
        ({"librdkafka": {"sasl.mechanism": "FOO", "security.protocol": "SASL_SSL"}}, "SASL mechanism"),
    ],
)
@pytest.mark.parametrize(
    "connect",
    [
        lambda settings: TopicReader(settings, "topic", [0]),
        lambda settings: Sender(settings, "topic", 0.0),
        lambda settings: DeadLetterTopic(settings, "topic").replay(lambda _: True),
    ],
    ids=["tail", "produce", "dead-letters"],
)
def test_a_setting_that_the_client_cannot_use_is_one_clear_error(
    connect: Callable[[KafkaSettings], object], changes: dict[str, dict[str, str]], said: str
) -> None:
    """TLS and SASL are the first things that an administrator types; a traceback would be the answer to a typo."""
    with pytest.raises(ConfigError, match=said):
        connect(KafkaSettings("group", "id", **changes))  # type: ignore[arg-type]


def test_a_setting_of_the_project_that_librdkafka_refuses_names_its_key() -> None:
    """`compression = "foo"`."""
    with pytest.raises(ConfigError, match=r"foo.*compression\.codec.*Check `compression`"):
        Sender(KafkaSettings("group", "id", compression="foo"), "topic", 0.0)
