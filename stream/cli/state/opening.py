"""How the state commands reach an app's tasks."""

from dataclasses import dataclass
from pathlib import Path

from stream.cli.connection import reachable_admin
from stream.cli.state.holdings import Holdings, holdings_of, members_by_partition
from stream.engine.plan import Plan
from stream.errors import ConfigError
from stream.kafka.admin import Admin
from stream.runtime.loading import load_app
from stream.runtime.remembered import RememberedTasks
from stream.runtime.settings import Settings, load_settings
from stream.runtime.worker import now_ms, use_kernel_cache


@dataclass(frozen=True, slots=True)
class OpenedApp:
    """An app whose cluster answers."""

    target: str  # as the user named it
    plan: Plan
    settings: Settings
    admin: Admin

    @property
    def group_id(self) -> str:
        """The group of its workers."""
        return self.settings.kafka(self.plan.app).group_id

    def tasks(self) -> RememberedTasks:
        """A context that reads its tasks."""
        return RememberedTasks(self.plan, self.settings)

    def refuse_while_running(self, what: str) -> None:
        """Raise ConfigError while the group has members: a worker would go on from what is in its memory."""
        members = sorted(self.admin.group(self.group_id).members)
        if members:
            raise ConfigError(
                f"{what} needs all workers of {self.plan.app} stopped, but the group {self.group_id} has "
                f"{len(members)} member{'s' if len(members) > 1 else ''}: {'; '.join(members)}. Stop them; one that "
                "was killed, or has a group_instance_id, stays a member until its session is over (session_timeout_ms)"
            )


def open_app(target: str, config: Path | None) -> OpenedApp:
    """Load an app and its settings, and see that its cluster answers.

    Raises:
        ConfigError: the app or a setting is wrong.
        RetriableError: no broker answers.
    """
    plan, settings = load_app(target).plan, load_settings(config).values
    use_kernel_cache(settings)
    return OpenedApp(target, plan, settings, reachable_admin(settings.kafka(plan.app)))


def chosen_partitions(there: tuple[int, ...], asked: list[int] | None) -> list[int]:
    """The partitions that are asked for, or all; raises ConfigError where one is not there."""
    for number in asked or ():
        if number not in there:
            raise ConfigError(f"--partition {number}: the event topic has partitions 0 to {len(there) - 1}")
    return sorted(set(asked)) if asked else list(there)


def read_holdings(opened: OpenedApp, tasks: RememberedTasks, partitions: list[int]) -> list[Holdings]:
    """What these tasks hold."""
    members = members_by_partition(opened.admin.group(opened.group_id).members, tasks.topics.events)
    return [
        holdings_of(tasks.find(number), opened.plan.digest, members.get(number, ""), now_ms()) for number in partitions
    ]
