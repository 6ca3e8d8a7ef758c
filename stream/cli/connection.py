"""How commands reach Kafka and the registry: the user's settings, short waits, and no log of the clients."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from stream.config import KafkaSettings
from stream.engine.protocol import SchemaFetched
from stream.errors import ConfigError, RetriableError
from stream.kafka.admin import Admin, TopicState
from stream.kafka.registry import Registry

# A person waits for the answer.
BROKER_TIMEOUT_S = 5.0
REGISTRY_TIMEOUT_S = 5.0


def kafka_settings(config: Path | None, brokers: str | None = None, registry: str | None = None) -> KafkaSettings:
    """The settings of a command that belongs to no app.

    Raises:
        ConfigError: see `stream.runtime.settings.load_settings`.
    """
    from stream.runtime.settings import load_settings

    loaded = load_settings(config, bootstrap_servers=brokers, registry_url=registry)
    return loaded.values.kafka("stream-cli")


def quieten_clients() -> None:
    """Their logs repeat what the errors say, several lines a second; stdout, structlog's default, is for results."""
    logger = logging.getLogger("stream.kafka.librdkafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    if not structlog.is_configured():
        only_errors = structlog.make_filtering_bound_logger(logging.ERROR)
        structlog.configure(wrapper_class=only_errors, logger_factory=structlog.stdlib.LoggerFactory())


def reachable_admin(settings: KafkaSettings) -> Admin:
    """The admin of a cluster that answers.

    Raises:
        RetriableError: none does, within a few seconds.
    """
    quieten_clients()
    admin = Admin(settings, BROKER_TIMEOUT_S)
    admin.brokers()
    return admin


def existing_topic(admin: Admin, name: str, what_to_do: str) -> TopicState:
    """The topic as it is.

    Raises:
        ConfigError: there is none of that name; the text says which is near, and what to do.
    """
    from stream.app.suggest import did_you_mean

    state = admin.describe([name])[name]
    if state is not None:
        return state
    near = did_you_mean(name, admin.topics())
    hint = f"{near} Otherwise {what_to_do}" if near else f"; {what_to_do}"
    raise ConfigError(f"there is no topic {name!r}{hint}")


def quick_registry(settings: KafkaSettings) -> Registry:
    """A registry that is waited for only a few seconds, unless the settings say otherwise."""
    from dataclasses import replace

    patience: dict[str, Any] = {"timeout": REGISTRY_TIMEOUT_S, **settings.registry}
    return Registry(replace(settings, registry=patience))


@contextmanager
def registry_schemas(settings: KafkaSettings) -> Iterator[Callable[[int], str | None]]:
    """A context that gives the text of a schema by its id: None where there is no registry, or no such schema in it.

    What it gives raises RetriableError where the registry does not answer.
    """
    if not settings.registry_url:
        yield lambda schema_id: None
        return
    with quick_registry(settings) as registry:

        def fetch(schema_id: int) -> str | None:
            answer = registry.fetch(schema_id)
            return answer.schema if isinstance(answer, SchemaFetched) else None

        yield fetch


def answering_registry(settings: KafkaSettings) -> Registry:
    """The registry, once it answered.

    Raises:
        RetriableError: it does not, within a few seconds.
        ConfigError: it denies.
    """
    registry = quick_registry(settings)
    try:
        registry.subjects()
    except RetriableError as error:
        raise RetriableError(
            f"{error}. Is one running? `stream broker up` starts one; registry_url is the setting, "
            "and --framing json or single-object needs none"
        ) from error
    return registry
