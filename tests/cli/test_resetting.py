"""What `stream state reset` deletes."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from stream.cli.state import resetting
from stream.config import InputTopics
from stream.runtime.settings import Settings
from stream.runtime.worker import input_topics
from tests.engine.build import plan_that_spills, plan_with_labels


@pytest.mark.parametrize("plan", [plan_that_spills(), plan_with_labels()])
def test_features_are_deleted_whether_rows_are_spilled_now_or_not(plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spilled, spilled no more, begun anew, and spilled again: the segments of the first time must be gone."""
    named: list[str] = []

    class Noting:
        def __init__(self, _: object, topics: InputTopics, store: object) -> None:
            named.append(topics.features)

        def reset(self, partition: int) -> None:
            """Nothing is there."""

        def close(self) -> None:
            """Nothing is held."""

    settings = Settings()
    tasks = SimpleNamespace(topics=input_topics(plan, settings), store=None, partitions=lambda: (0,))
    stage: Any = SimpleNamespace(
        plan=plan, settings=settings, tasks=lambda: nullcontext(tasks), refuse_while_running=lambda _: None
    )
    opened: Any = SimpleNamespace(name="app", stages=(stage,), has_stages=False)
    monkeypatch.setattr(resetting, "TaskReset", Noting)

    resetting.reset(opened, None, lambda *_: None)
    assert named == ["app.features"]
