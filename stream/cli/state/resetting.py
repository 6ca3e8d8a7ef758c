"""Starts tasks anew: deletes offsets, journal and snapshots of each."""

from collections.abc import Callable

from stream.cli.state.opening import OpenedApp
from stream.kafka.task_reset import TaskReset
from stream.runtime.remembered import RememberedTasks


def reset(opened: OpenedApp, tasks: RememberedTasks, partitions: list[int], on_done: Callable[[int], None]) -> None:
    """Do it, for each partition in turn.

    Args:
        opened: the app.
        tasks: its tasks.
        partitions: whose tasks.
        on_done: hears of each task that is to begin anew.

    Raises:
        ConfigError: the group has members, or a right is missing.
        RetriableError: no answer; tasks that `on_done` heard of are done, call again for the others.
    """
    resetting = TaskReset(opened.settings.kafka(opened.plan.app), tasks.topics, tasks.store)
    try:
        for partition in partitions:
            opened.refuse_while_running("`stream state reset`")
            resetting.reset(partition)
            on_done(partition)
    finally:
        resetting.close()
