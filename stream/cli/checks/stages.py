"""What features by another key cost where the event topic has several partitions: hops, and state in each stage; and
what stages have left behind that are no more."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from stream.app.stages import FIRST, LABELS
from stream.cli.checks.findings import Findings
from stream.engine.plan import LAST, Plan
from stream.errors import ConfigError
from stream.runtime.loading import LoadedApp
from stream.runtime.settings import Settings

# What an app's stages before the last are named, behind the app's name.
_STAGE = re.compile(rf"{FIRST}|{LABELS}|by-.+")
_KINDS = ("journal", "snapshots", "repartition")  # of topics that a stage has to itself
_SEVERAL = 2  # partitions: the stages are the same for any number above one


def stages_of_several(app: LoadedApp, settings: Settings) -> tuple[Plan, ...]:
    """The app's stages where its event topic has several partitions; raises ConfigError where it cannot have any."""
    return app.stages(_SEVERAL, settings.topic_prefix)


def note_hops_of_several(app: LoadedApp, settings: Settings, findings: Findings) -> None:
    """Say what would be, where nobody knows how many partitions there are: without a broker, or an event topic."""
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
    if back := [plan.stage for plan in passed if plan.counts_labels]:
        told.append(f"labels go back, once they are learned, to {', '.join(back)} (rule 34)")
    if len(passed) < len(plans):
        told.append("labels take one hop, to the partitions of their events (rule 19)")
    return "; ".join(told)


def note_left_behind(plans: Sequence[Plan], settings: Settings, topics: Iterable[str], findings: Findings) -> None:
    """Name what stages that are no more have left on the brokers: nobody reads it, and nothing deletes it (rule 34).

    Args:
        plans: of the app's stages, as they are now.
        settings: for names.
        topics: all that are there.
        findings: gets a note for each such stage.
    """
    app, stages = plans[-1].app, {plan.stage for plan in plans}
    left: dict[str, list[str]] = defaultdict(list)
    for topic in sorted(topics):
        stage = _stage_of(topic, app, settings)
        if stage is not None and stage not in stages:
            left[stage].append(topic)
    for stage, names in left.items():
        group = settings.kafka(app, stage).group_id
        findings.note(
            "topics",
            f"{app}.{stage}",
            f"stage {stage} is no more, and has left {', '.join(names)} and the group {group}. Unless an app is named "
            f"{app}.{stage}, delete them once no worker of a version with that stage runs: `kafka-topics.sh --delete "
            f"--topic TOPIC`, `kafka-consumer-groups.sh --delete --group {group}`",
        )


def _stage_of(topic: str, app: str, settings: Settings) -> str | None:
    """The stage, before the last, that has or had a topic of this name to itself; None of other topics."""
    stem, kind = topic.rpartition(".")[::2]
    own = f"{settings.topic_prefix}{app}."
    names = [stem.removeprefix(own)] if stem.startswith(own) and kind in _KINDS else []
    named = [f"{chosen}." for chosen in (settings.journal_topic, settings.snapshots_topic) if chosen]
    names += [topic.removeprefix(each) for each in named if topic.startswith(each)]
    return next((name for name in names if _STAGE.fullmatch(name)), None)
