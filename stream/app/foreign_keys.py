"""Features by another key than the stream's: right where there is one partition, or where they say `local=True`."""

from stream.engine.plan import Plan


def foreign_key_problems(plan: Plan, partitions: int) -> dict[str, str]:
    """By feature: why it would see only a part of its events on an event topic of so many partitions."""
    if partitions == 1:
        return {}
    own = ", ".join(column.name for column in plan.events.key) or "no key"
    return {
        foreign.feature: (
            f"feature {foreign.feature} is keyed by {', '.join(foreign.by)}, but {plan.events.topic} is partitioned by "
            f"{own} into {partitions}: events of one {', '.join(foreign.by)} lie in several partitions, and no task "
            "sees them all. Key the topic by it, use one partition, or say local=True to keep statistics per partition"
        )
        for foreign in plan.features.foreign_keys
        if not foreign.is_local
    }
