"""What features by another key cost where the event topic has several partitions: hops, and state in each stage."""

from collections.abc import Sequence

from stream.cli.checks.findings import Findings
from stream.engine.plan import LAST, Plan
from stream.errors import ConfigError
from stream.runtime.loading import LoadedApp
from stream.runtime.settings import Settings

_SEVERAL = 2  # partitions: the stages are the same for any number above one


def stages_of_several(app: LoadedApp, settings: Settings) -> tuple[Plan, ...]:
    """The app's stages where its event topic has several partitions; raises ConfigError where it cannot have any."""
    return app.stages(_SEVERAL, settings.topic_prefix)


def check_hops_offline(app: LoadedApp, settings: Settings, findings: Findings) -> None:
    """Say what would be, since nobody knows how many partitions there are."""
    where = "where the event topic has several partitions"
    try:
        plans = stages_of_several(app, settings)
    except ConfigError as error:
        findings.note("features", app.plan.app, f"{where}, this would be wrong: {error}")
        return
    if len(plans) > 1:
        findings.note("features", app.plan.app, f"{where}, {hops_text(plans)}")


def hops_text(plans: Sequence[Plan]) -> str:
    """Features by another key cost a hop each, and one back (rule 35); labels that are keyed otherwise cost one."""
    passed = [plan for plan in plans if plan.leaves is None or not plan.leaves.is_of_labels]
    told = []
    if len(passed) > 1:
        told.append(
            f"{len(passed) - 1} hops: {' > '.join(plan.stage or LAST for plan in passed)}. Each takes about a commit "
            "interval before a prediction is seen (rule 35); events keyed by it, one partition, or local=True take none"
        )
    if back := [plan.stage for plan in passed if plan.leaves is not None and plan.label_inputs]:
        told.append(f"labels go back, once they are learned, to {', '.join(back)} (rule 34)")
    if len(passed) < len(plans):
        told.append("labels take one hop, to the partitions of their events (rule 19)")
    return "; ".join(told)
