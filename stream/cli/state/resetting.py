"""Starts tasks anew: deletes offsets, journal and snapshots of each, and what is on its way between stages."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from stream.cli.state.opening import OpenedApp, OpenedStage, chosen_partitions
from stream.errors import ConfigError
from stream.kafka.task_reset import TaskReset
from stream.runtime.remembered import RememberedTasks

_WHAT = "`stream state reset`"


def check_reset(opened: OpenedApp, partitions: list[int] | None) -> None:
    """Whether these tasks may begin anew now; None: all.

    Raises:
        ConfigError: a worker runs; or single partitions are asked for of an app with stages.
    """
    if partitions and opened.has_stages:
        asked = " ".join(f"--partition {number}" for number in partitions)
        raise ConfigError(
            f"{asked}: {opened.name} has stages, and events of every partition are on their way through all partitions "
            "of the others (rule 34): one task alone cannot begin anew. Leave --partition out: all tasks of all stages "
            "then begin anew together"
        )
    for stage in opened.stages:
        stage.refuse_while_running(_WHAT)


def reset(opened: OpenedApp, partitions: list[int] | None, on_done: Callable[[OpenedStage, int], None]) -> None:
    """Let tasks begin anew, in an order in which it may be interrupted anywhere and run again.

    Where there are stages, every task of every stage is marked first, which lets none of them start; then what is on
    its way between them is deleted; then the stages begin anew, the first one first: one that went on with what it had
    learned, behind another that began anew, would be told that events came twice, and not wait for ever.

    Args:
        opened: the app.
        partitions: whose tasks; None: all. Must be all where there are stages.
        on_done: hears of each task that is to begin anew.

    Raises:
        ConfigError: a group has members, or a right is missing.
        RetriableError: no answer; tasks that `on_done` heard of are done, call again for the others.
    """
    check_reset(opened, partitions)
    with ExitStack() as opening:
        stages = [_opened(stage, partitions, opening) for stage in opened.stages]
        if opened.has_stages:
            for _, resetting, numbers in stages:
                for number in numbers:
                    resetting.mark(number)
            for _, resetting, numbers in stages:
                for number in numbers:
                    resetting.discard_repartition(number)
        for stage, resetting, numbers in stages:
            for number in numbers:
                stage.refuse_while_running(_WHAT)
                resetting.reset(number)
                on_done(stage, number)


def _opened(
    stage: OpenedStage, partitions: list[int] | None, opening: ExitStack
) -> tuple[OpenedStage, TaskReset, list[int]]:
    tasks: RememberedTasks = opening.enter_context(stage.tasks())
    app, settings = stage.plan.app, stage.settings
    # Also where rows are not spilled any more: those of before would be found again once they are.
    topics = replace(tasks.topics, features=settings.topics(app, stage.plan.stage).features)
    resetting = TaskReset(settings.kafka(app, stage.plan.stage), topics, tasks.store)
    opening.callback(resetting.close)
    return stage, resetting, chosen_partitions(tasks.partitions(), partitions)
