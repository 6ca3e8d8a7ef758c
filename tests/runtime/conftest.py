"""Apps with workers on the session's broker."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from stream.cli.broker.local import LocalBroker
from tests.runtime.deployment import Deployment


class Deploy(Protocol):
    """What the fixture `deploy` is."""

    def __call__(
        self, partitions: int = 2, *, broker: LocalBroker = ..., is_created: bool = True, **settings: str
    ) -> Deployment:
        """An app on the session's broker unless told.

        Args:
            partitions: of its topics.
            broker: where it runs.
            is_created: whether its topics are made.
            **settings: of all its workers, as in stream.toml.
        """
        ...


@pytest.fixture
def deploy(broker: LocalBroker, tmp_path: Path) -> Iterator[Deploy]:
    """Deploys apps; their workers end with the test."""
    made: list[Deployment] = []

    def make(
        partitions: int = 2, *, broker: LocalBroker = broker, is_created: bool = True, **settings: str
    ) -> Deployment:
        app = Deployment(broker, f"app-{uuid.uuid4().hex[:8]}", tmp_path, partitions, settings)
        made.append(app)
        if is_created:
            app.create_topics()
        return app

    yield make
    for app in made:
        app.kill_all()
