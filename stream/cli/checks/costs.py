"""What an app keeps in memory, and what bounds it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stream.cli.checks.label_costs import LabelCosts, label_costs
from stream.engine.plan import LAST, Plan
from stream.features.costs import TABLE_BYTES_PER_KEY, FeatureCost


@dataclass(frozen=True, slots=True)
class Costs:
    """Bytes by what they are for."""

    features: tuple[dict[str, Any], ...]  # by feature: key_bytes, event_bytes, fixed_bytes
    key_bytes: int  # for every key in memory
    event_bytes: int  # for every event in the longest windows
    fixed_bytes: int  # in any case: categories, vocabularies, running means
    table_bytes_a_key: int  # of these, what the table of keys itself takes
    keys_at_most: int | None  # that the budget has room for; None without keyed features
    window_events_at_most: int | None  # None without windows
    labels: LabelCosts | None  # None where the label comes in the event
    stages: tuple[dict[str, Any], ...] = ()  # of each that keeps state: stage, the three sorts of bytes, and what fits


def costs_of(plan: Plan, stages: Sequence[Plan] = ()) -> Costs:
    """The state costs of a plan, per task (partition), and of its stages where the event topic has several."""
    costs = plan.features.costs()
    budget = plan.features.budget
    return Costs(
        features=tuple(asdict(cost) for cost in costs),
        key_bytes=sum(cost.key_bytes for cost in costs),
        event_bytes=sum(cost.event_bytes for cost in costs),
        fixed_bytes=sum(cost.fixed_bytes for cost in costs),
        table_bytes_a_key=TABLE_BYTES_PER_KEY,
        keys_at_most=min(budget.keys) if budget.keys else None,
        window_events_at_most=min(budget.reservoir_events.values()) if budget.reservoir_events else None,
        labels=label_costs(plan),
        stages=tuple(_stage_costs(stage) for stage in stages if any(map(_is_kept, stage.features.costs()))),
    )


def _is_kept(cost: FeatureCost) -> bool:
    return bool(cost.key_bytes or cost.event_bytes or cost.fixed_bytes)


def _stage_costs(stage: Plan) -> dict[str, Any]:
    """Each stage has a budget of its own."""
    costs = costs_of(stage)
    kept = ("key_bytes", "event_bytes", "fixed_bytes", "keys_at_most", "window_events_at_most")
    return {"stage": stage.stage or LAST, **{name: getattr(costs, name) for name in kept}}
