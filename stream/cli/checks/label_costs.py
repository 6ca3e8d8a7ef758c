"""How many events may wait for their labels, and what a rate of events takes for a horizon (rule 36)."""

import math
from dataclasses import dataclass

from stream.cli.checks.findings import Findings
from stream.engine.labels import SPARSE_SHARE, waiting_row_bytes
from stream.engine.plan import Plan
from stream.engine.spilled_rows import SPILLED_ID_BYTES

# In a segment a row is its cells; the log holds about half of that, compressed.
_CELL_BYTES = 8


@dataclass(frozen=True, slots=True)
class LabelCosts:
    """Of one partition; sparse features come on top, 16 bytes each, with each row."""

    row_bytes: int  # for every event that waits in memory
    state_bytes: int  # the budget of these
    rows_at_most: int  # that it has room for
    spilled_bytes: int  # the budget of ids whose rows wait in a topic; 0: none do
    ids_at_most: int  # that it has room for
    segment_row_bytes: int  # for every row in that topic, before compression
    horizon_ms: int

    @property
    def rate_at_most(self) -> float:
        """Events a second that the budgets hold for the whole horizon."""
        return (self.rows_at_most + self.ids_at_most) * 1000 / self.horizon_ms

    def waiting(self, rate: float) -> int:
        """Events that wait for their labels at this rate, in events a second."""
        return math.ceil(rate * self.horizon_ms / 1000)


def label_costs(plan: Plan) -> LabelCosts | None:
    """What waiting for labels takes; None where the label comes in the event."""
    if plan.labels is None:
        return None
    scores, labels = len(plan.models) * plan.problem.scores, plan.labels
    layout = plan.features.layout
    dense, share = len(layout.dense), 1 - SPARSE_SHARE if layout.sparse_size else 1.0
    row_bytes = waiting_row_bytes(dense, plan.label_inputs, scores)
    return LabelCosts(
        row_bytes=row_bytes,
        state_bytes=labels.state_bytes,
        rows_at_most=int(labels.state_bytes * share) // row_bytes,
        spilled_bytes=labels.spilled_bytes,
        ids_at_most=int(labels.spilled_bytes / SPILLED_ID_BYTES),
        segment_row_bytes=_CELL_BYTES * (5 + dense + plan.label_inputs + scores),
        horizon_ms=labels.horizon_ms,
    )


def check_label_rate(plan: Plan, rate: float, findings: Findings) -> None:
    """Whether the budgets of labels hold this many events a second for the whole horizon.

    Args:
        plan: the app.
        rate: events a second in one partition.
        findings: take what was found.
    """
    costs = label_costs(plan)
    if costs is None or plan.labels is None:
        findings.note("labels", plan.events.topic, "the label comes in the event: nothing waits")
        return
    waiting, topic = costs.waiting(rate), plan.labels.topic
    behind = max(0, waiting - costs.rows_at_most)
    told = f"at {rate:,g} events/s {waiting:,} events of a partition wait for their labels"
    if waiting <= costs.rows_at_most:
        findings.ok("labels", topic, f"{told}: {waiting * costs.row_bytes:,} bytes, within state_bytes")
    elif behind <= costs.ids_at_most:
        findings.ok(
            "labels",
            topic,
            f"{told}: {costs.rows_at_most:,} in memory, the ids of the others take {_ids(behind):,} bytes, within "
            f"spilled_bytes, and their features {behind * costs.segment_row_bytes:,} bytes in a topic, uncompressed",
        )
    else:
        held_s = (costs.rows_at_most + costs.ids_at_most) / rate
        findings.note(
            "labels",
            topic,
            f"{told}, and the budgets hold the last {held_s / 3600:,.1f} hours of them: labels that come later teach "
            f"nothing (`stream_label_rows_evicted_total`). All need state_bytes={waiting * costs.row_bytes}, or "
            f"spilled_bytes={_ids(behind)} beside {behind * costs.segment_row_bytes:,} bytes in the topic of features, "
            "uncompressed; or a shorter horizon, or more partitions",
        )


def _ids(count: int) -> int:
    return math.ceil(count * SPILLED_ID_BYTES)
