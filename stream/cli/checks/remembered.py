"""What Kafka remembers of an app that has run: whether this version of it goes on, and with what."""

from collections.abc import Sequence

from stream.cli.checks.findings import Findings
from stream.cli.state.naming import task_name
from stream.engine.plan import Plan
from stream.engine.snapshot import Checkpoint
from stream.engine.upgrade import carry, check_stages
from stream.errors import ConfigError, StreamError
from stream.runtime.remembered import RememberedTasks
from stream.runtime.settings import Settings

_PARTITION = 0  # stands for the others, which have the same app
_MOST_IN_TOPIC_BYTES = 64 << 20


def check_remembered(plans: Sequence[Plan], settings: Settings, findings: Findings) -> None:
    """Look at the newest snapshot of one task of each stage, which has to be read whole; nothing where there is none.

    Args:
        plans: of all stages, whose topics are there.
        settings: of the workers.
        findings: is told.
    """
    for plan in plans:
        task = f"{plan.app} {task_name(plan.stage, _PARTITION)}"
        try:
            with RememberedTasks(plan, settings) as tasks:
                snapshots = tasks.find(_PARTITION).checkpoints
        except StreamError as error:
            findings.note("state", task, str(error))
            continue
        if snapshots:
            _check_upgrade(plan, snapshots[0], task, findings)
            _check_size(snapshots[0], settings, task, findings)


def _check_upgrade(plan: Plan, newest: Checkpoint, task: str, findings: Findings) -> None:
    """Rule 5: which parts a worker of this version would begin anew."""
    try:
        check_stages(plan, newest.facts)
    except ConfigError as error:
        findings.wrong("state", task, str(error))
        return
    if newest.plan_digest == plan.digest:
        findings.ok("state", task, "of this very version")
    elif anew := carry(plan, newest.facts).anew:
        text = f"of another version: {', '.join(anew)} begin anew, and all else keeps its state (rule 5)"
        findings.note("state", task, text)
    else:
        findings.ok("state", task, "of another version; all keeps its state")


def _check_size(newest: Checkpoint, settings: Settings, task: str, findings: Findings) -> None:
    """Rule 23: what is better not kept in a compacted topic."""
    size = sum(array.nbytes for array in newest.arrays.values())
    if settings.snapshots == "kafka" and size > _MOST_IN_TOPIC_BYTES:
        findings.note(
            "state",
            task,
            f"{size >> 20} MB: snapshots of more than {_MOST_IN_TOPIC_BYTES >> 20} MB a task want a folder or an "
            "object store, not a topic (rule 23): the setting `snapshots`, docs/snapshots.md",
        )
