"""What of a snapshot a plan goes on with: every part whose definition did not change (rule 5).

A part's definition includes that of what it reads: a model whose features changed starts anew, and so does a detector
whose model did. Features are compared one by one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from stream.engine.plan import Plan
from stream.errors import ConfigError

_PART = "part/"
_FEATURES_LAYOUT = "layout/features"
_MODELS = "layout/models"
_STAGES = "layout/stages"


@dataclass(frozen=True, slots=True)
class Carried:
    """How the parts of a plan begin."""

    kept: Mapping[str, str]  # whole parts: prefix of their arrays in the plan, and in the snapshot
    anew: tuple[str, ...]  # prefixes of those that begin empty; of features each by its name: "features/NAME"
    features_layout: str  # of the snapshot's features, where some are kept of others; "" where all or none are
    saved_models: tuple[str, ...]  # of the snapshot: the order of scores


@dataclass(frozen=True, slots=True)
class Restored:
    """What was not taken over from a snapshot."""

    anew: tuple[str, ...]  # see Carried
    label_rows_dropped: int  # events that waited for their label: it will not be learned from


def facts_of(plan: Plan) -> dict[str, str]:
    """What a snapshot says of the plan that it was taken under."""
    return {f"{_PART}{prefix}": digest for prefix, digest in plan.parts.items()} | {
        _FEATURES_LAYOUT: plan.features.saved_layout,
        _MODELS: json.dumps([item.name for item in plan.models]),
        _STAGES: plan.chain,
    }


def check_stages(plan: Plan, facts: Mapping[str, str]) -> None:
    """Raise ConfigError if the snapshot is of an app with other stages: events are on their way between those."""
    saved = facts.get(_STAGES, "")
    if saved != plan.chain:
        raise ConfigError(
            f"the stages of {plan.app} changed from {saved or 'one alone'} to {plan.chain or 'one alone'}: features by "
            "another key came or went, and with them the topics between. State is not carried over that: give the app "
            "another name, which starts anew beside the old one, or reset it (`stream state reset`)"
        )


def score_digests(plan: Plan) -> list[str]:
    """Of each score in a row that waits for its label, its model by name and digest: by it rows of before are known."""
    scores = range(plan.problem.scores)
    return [f"{item.name}:{plan.parts[f'model/{item.name}']}:{score}" for item in plan.models for score in scores]


def carry(plan: Plan, facts: Mapping[str, str]) -> Carried:
    """Compare a plan with the facts of a snapshot (`Checkpoint.facts`)."""
    saved = {name.removeprefix(_PART): digest for name, digest in facts.items() if name.startswith(_PART)}
    kept: dict[str, str] = {}
    for prefix, digest in plan.parts.items():
        same = [name for name in _like(prefix, saved) if saved[name] == digest and name not in kept.values()]
        if same:
            kept[prefix] = same[0]
    anew = [prefix for prefix in plan.parts if prefix not in kept]
    saved_models = tuple(json.loads(facts.get(_MODELS, "[]")))
    if "features" in kept:
        return Carried(kept, tuple(anew), "", saved_models)
    layout = facts.get(_FEATURES_LAYOUT, "")
    features = plan.features.starting_anew(layout) if layout else tuple(plan.features.digests)
    names = [f"features/{name}" for name in features]
    return Carried(kept, (*names, *(prefix for prefix in anew if prefix != "features")), layout, saved_models)


def _like(prefix: str, saved: Mapping[str, str]) -> list[str]:
    """Saved parts that this one may go on with, the likeliest first: of monitors, which have no names, any."""
    same = [prefix] if prefix in saved else []
    if prefix.startswith("monitor/"):
        same += [name for name in saved if name.startswith("monitor/") and name != prefix]
    return same
