"""How the state commands reach an app's tasks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream.app.suggest import one_of
from stream.cli.connection import reachable_admin
from stream.cli.state.holdings import Holdings, holdings_of, members_by_partition
from stream.engine.plan import LAST, Plan
from stream.errors import ConfigError
from stream.kafka.admin import Admin
from stream.runtime.loading import load_app
from stream.runtime.remembered import RememberedTasks
from stream.runtime.running import stages_on_cluster
from stream.runtime.settings import Settings, load_settings
from stream.runtime.stage_errors import errors_named
from stream.runtime.worker import now_ms, use_kernel_cache


@dataclass(frozen=True, slots=True)
class OpenedStage:
    """A stage of an app whose cluster answers: the app itself, where it has one alone."""

    plan: Plan
    settings: Settings
    admin: Admin
    name: str  # as metrics call it; "" where the app has one alone

    @property
    def group_id(self) -> str:
        """The group that workers join for it."""
        return self.settings.kafka(self.plan.app, self.plan.stage).group_id

    @contextmanager
    def tasks(self) -> Iterator[RememberedTasks]:
        """A context that reads its tasks, and whose errors name the stage."""
        with errors_named(self.name), RememberedTasks(self.plan, self.settings) as tasks:
            yield tasks

    def refuse_while_running(self, what: str) -> None:
        """Raise ConfigError while the group has members: a worker would go on from what is in its memory."""
        members = sorted(self.admin.group(self.group_id).members)
        if members:
            raise ConfigError(
                f"{what} needs all workers of {self.plan.app} stopped, but the group {self.group_id} has "
                f"{len(members)} member{'s' if len(members) > 1 else ''}: {'; '.join(members)}. Stop them; one that "
                "was killed, or has a group_instance_id, stays a member until its session is over (session_timeout_ms)"
            )


@dataclass(frozen=True, slots=True)
class OpenedApp:
    """An app whose cluster answers."""

    name: str
    stages: tuple[OpenedStage, ...]  # in the order in which events pass them

    @property
    def has_stages(self) -> bool:
        """Several of them (rule 34)."""
        return len(self.stages) > 1

    def chosen_stages(self, asked: str | None) -> tuple[OpenedStage, ...]:
        """The stage that is asked for, or all; raises ConfigError where it is not there."""
        if asked is None:
            return self.stages
        if not self.has_stages:
            raise ConfigError(
                f"--stage {asked}: {self.name} has one stage alone. Several are needed for features by another key "
                "where the event topic has several partitions (rule 34)"
            )
        names = {stage.name: stage for stage in self.stages}
        return (names[one_of(asked, names, f"--stage of {self.name}", "stage")],)


def open_app(target: str, config: Path | None) -> OpenedApp:
    """Load an app and its settings, and see that its cluster answers.

    Raises:
        ConfigError: the app or a setting is wrong, or there is no event topic.
        RetriableError: no broker answers.
    """
    app, settings = load_app(target), load_settings(config).values
    use_kernel_cache(settings)
    admin = reachable_admin(settings.kafka(app.plan.app))
    plans = stages_on_cluster(app, settings)
    names = [plan.stage or LAST for plan in plans] if len(plans) > 1 else [""]
    stages = [OpenedStage(plan, settings, admin, name) for plan, name in zip(plans, names, strict=True)]
    return OpenedApp(app.plan.app, tuple(stages))


def chosen_partitions(there: tuple[int, ...], asked: list[int] | None) -> list[int]:
    """The partitions that are asked for, or all; raises ConfigError where one is not there."""
    for number in asked or ():
        if number not in there:
            raise ConfigError(f"--partition {number}: the event topic has partitions 0 to {len(there) - 1}")
    return sorted(set(asked)) if asked else list(there)


def read_holdings(stages: Sequence[OpenedStage], asked: list[int] | None) -> list[Holdings]:
    """What the tasks of these stages hold; of these partitions, or of all."""
    return [held for stage in stages for held in _read_stage(stage, asked)]


def _read_stage(stage: OpenedStage, asked: list[int] | None) -> list[Holdings]:
    with stage.tasks() as tasks:
        members = members_by_partition(stage.admin.group(stage.group_id).members, tasks.topics.events)
        return [
            holdings_of(tasks.find(number), stage.plan, members.get(number, ""), now_ms(), stage.name)
            for number in chosen_partitions(tasks.partitions(), asked)
        ]
