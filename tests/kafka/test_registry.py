"""The schema registry: what it has, what it has not, and when it does not answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from stream.cli.broker.local import LocalBroker
from stream.config import KafkaSettings
from stream.engine.protocol import SchemaFetched, SchemaRefused
from stream.errors import ConfigError, RetriableError
from stream.kafka.registry import Registry, _inlined
from stream.records import RejectReason
from tests.conftest import MakeTopic

POINT = '{"type":"record","name":"Point","fields":[{"name":"x","type":"int"}]}'
WIDER = '{"type":"record","name":"Point","fields":[{"name":"x","type":"int"},{"name":"y","type":"string"}]}'


@pytest.fixture
def registry(broker: LocalBroker) -> Iterator[Registry]:
    """The session's registry."""
    with Registry(KafkaSettings("g", "t", registry_url=broker.registry_url)) as registry:
        yield registry


def test_a_registered_schema_is_found_by_id_and_by_subject(registry: Registry, topic: MakeTopic) -> None:
    """Registering it again gives the same id."""
    subject = topic("points") + "-value"
    schema_id = registry.register(subject, POINT)
    assert registry.register(subject, POINT) == schema_id
    found = registry.fetch(schema_id)
    assert isinstance(found, SchemaFetched)
    assert orjson.loads(found.schema) == orjson.loads(POINT)
    latest = registry.latest(subject)
    assert latest is not None
    assert latest.schema_id == schema_id
    assert registry.latest("no-such-subject") is None
    assert subject in registry.subjects()


def test_an_unknown_id_is_an_answer(registry: Registry) -> None:
    """It is refused, with the reason."""
    refused = registry.fetch(999_999)
    assert isinstance(refused, SchemaRefused)
    assert refused.reason is RejectReason.UNKNOWN_SCHEMA


def test_rule_3_no_answer_is_not_an_answer() -> None:
    """Nobody listens, or something that is no registry: ask again."""
    settings = KafkaSettings("g", "t", registry_url="http://127.0.0.1:9")
    with Registry(settings) as registry, pytest.raises(RetriableError, match="does not answer"):
        registry.fetch(1)


def test_rule_3_a_404_of_something_that_is_no_registry_refuses_no_schema(broker: LocalBroker) -> None:
    """The address is right, the path is wrong."""
    wrong = broker.registry_url.replace("/apis/ccompat/v7", "/nowhere")
    with Registry(KafkaSettings("g", "t", registry_url=wrong)) as registry, pytest.raises(RetriableError, match="404"):
        registry.fetch(1)


def test_a_schema_that_is_none_is_not_registered(registry: Registry) -> None:
    """The registry's own words come along."""
    with pytest.raises(ConfigError, match="does not accept the schema"):
        registry.register("broken-value", '{"type":"nonsense"}')


def test_workers_that_start_together_register_one_schema(registry: Registry, topic: MakeTopic) -> None:
    """All ask for a new subject at once: each gets the one id."""
    for number in range(5):
        subject = f"{topic('together')}-{number}-value"
        with ThreadPoolExecutor(8) as workers:
            ids = list(workers.map(registry.register, [subject] * 8, ['"long"'] * 8))
        assert len(set(ids)) == 1


def test_an_incompatible_schema_is_not_registered(registry: Registry, topic: MakeTopic) -> None:
    """A field without a default was added to a subject that must stay readable."""
    subject = topic("points") + "-value"
    registry.register(subject, POINT)
    registry._client.set_compatibility(subject, "BACKWARD")
    with pytest.raises(ConfigError, match="not compatible with the subject's last version"):
        registry.register(subject, WIDER)


def test_settings_without_a_registry_say_which_key_is_missing() -> None:
    """A topic with registered schemas needs one."""
    with pytest.raises(ConfigError, match="registry_url"):
        Registry(KafkaSettings("g", "t"))


def test_an_unknown_setting_of_the_client_is_a_config_error() -> None:
    """A typo in a security setting must not be ignored."""
    with pytest.raises(ConfigError, match=r"basic\.auth\.usr"):
        Registry(KafkaSettings("g", "t", registry_url="http://127.0.0.1:9", registry={"basic.auth.usr": "x"}))


def test_referenced_schemas_are_written_into_the_text() -> None:
    """The first mention becomes the definition, later ones stay names; short names mean the namespace."""
    money = {"type": "record", "name": "Money", "namespace": "bank", "fields": [{"name": "cents", "type": "long"}]}
    given = {
        "type": "record",
        "name": "Payment",
        "namespace": "bank",
        "fields": [{"name": "amount", "type": "Money"}, {"name": "fee", "type": ["null", "bank.Money"]}],
    }
    inlined = _inlined(given, "", {"bank.Money": money})
    assert inlined["fields"] == [{"name": "amount", "type": money}, {"name": "fee", "type": ["null", "bank.Money"]}]
