"""The figures of a demo at one moment, and in the end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream.cli.demo.demos import Demo
from stream.cli.demo.receiver import DeadLetter
from stream.cli.demo.scores import Baseline


@dataclass(frozen=True, slots=True)
class Figures:
    """What a view shows. NaN where a figure is not defined yet."""

    elapsed_s: float  # since the second event
    events: int  # sent
    predictions: int  # received
    events_per_s: float  # predictions received in each second
    p50_ms: float  # from the producer's send to the receipt of the prediction
    p99_ms: float
    judged: int  # predictions whose truth is known
    roc_auc: float
    pr_auc: float
    baseline: Baseline
    dead_letters: Sequence[DeadLetter]
    alerts: Sequence[Mapping[str, Any]]
    changed_at: int | None  # records before the first event after the change, where there is one and it is known
    partitions: int = 1  # of the event topic

    @property
    def change_place(self) -> str:
        """Where the change is; the number of records before it is an offset where there is one partition."""
        return (
            "" if self.changed_at is None else f"{'offset' if self.partitions == 1 else 'record'} {self.changed_at:,}"
        )

    def place_of(self, letter: DeadLetter) -> str:
        """Where its record is: with its partition where there are several."""
        partition = "" if self.partitions == 1 else f"partition {letter.partition}, "
        return f"{partition}offset {letter.offset:,}"


@dataclass(frozen=True, slots=True)
class Result:
    """How a demo went."""

    demo: Demo
    figures: Figures  # over the whole run
    first_prediction_s: float  # from the start of the process, downloads left out
    download_s: float

    @property
    def first_placed(self) -> Mapping[str, Any] | None:
        """The first drift alert behind the known change."""
        changed_at = self.figures.changed_at
        late = [
            alert
            for alert in self.figures.alerts
            if alert["kind"] == "DRIFT" and changed_at is not None and alert["record"] >= changed_at
        ]
        return late[0] if late else None

    def as_json(self) -> dict[str, Any]:
        """One object; null where a figure is not defined."""
        figures = self.figures
        return {
            "demo": self.demo.name,
            "data": self.demo.data,
            "events": figures.events,
            "predictions": figures.predictions,
            "dead_letters": len(figures.dead_letters),
            "alerts": len(figures.alerts),
            "roc_auc": _number(figures.roc_auc),
            "pr_auc": _number(figures.pr_auc),
            "baseline": {
                "name": figures.baseline.name,
                "roc_auc": _number(figures.baseline.roc_auc),
                "pr_auc": _number(figures.baseline.pr_auc),
            },
            "p50_ms": _number(figures.p50_ms),
            "p99_ms": _number(figures.p99_ms),
            "events_per_s": _number(figures.events_per_s),
            "first_prediction_s": _number(self.first_prediction_s),
            "download_s": _number(self.download_s),
            "dead_letter_errors": sorted(letter.error for letter in figures.dead_letters),
            "changed_at": figures.changed_at,
            "placed_at": [alert["placed_record"] for alert in figures.alerts if alert["kind"] == "DRIFT"],
        }


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
