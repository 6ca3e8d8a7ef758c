"""What waiting for labels takes: bytes from rate and horizon (rule 36)."""

from stream.app import compile_app
from stream.cli.checks.findings import Findings, Status
from stream.cli.checks.label_costs import check_label_rate, label_costs
from tests.engine.build import declare, plan_with_label_field

DAYS = 30
SECONDS = DAYS * 86_400
# 5 cells of the row, 3 dense features and a score; 2 entries of 8 cells, and a quarter of one for early labels.
ROW_BYTES = 8 * (5 + 3 + 1 + 16 + 2)


def told(rate: float, state_bytes: int, spilled_bytes: int = 0) -> tuple[Status, str]:
    """What is said of a rate, for a horizon of 30 days."""
    plan = compile_app(declare(horizon=f"{DAYS}d", state_bytes=state_bytes, spilled_bytes=spilled_bytes), {})
    findings = Findings()
    check_label_rate(plan, rate, findings)
    (found,) = findings.found
    return found.status, found.text


def test_a_rate_and_a_horizon_are_bytes() -> None:
    """One event a second for 30 days are 2,592,000 rows: too many for 64 MB, and what would hold them is told."""
    state_bytes = 64 << 20
    rows = int(state_bytes * 0.6) // ROW_BYTES  # the rest is for sparse features
    ids = 2_592_000 - rows

    status, text = told(1, state_bytes)
    assert status is Status.NOTE
    assert (
        f"2,592,000 events of a partition wait for their labels, and the budgets hold the last {rows / 3600:,.1f}"
        in text
    )
    assert f"state_bytes={2_592_000 * ROW_BYTES}" in text
    assert f"spilled_bytes={-(-ids * 129 // 8)} beside {ids * 72:,} bytes in the topic of features" in text


def test_a_rate_that_the_budgets_hold_is_right() -> None:
    """In memory alone, or with ids outside of it."""
    assert told(0.01, 64 << 20)[0] is Status.OK
    assert "within state_bytes" in told(0.01, 64 << 20)[1]
    assert told(1, 64 << 20, 42 << 20)[0] is Status.OK
    assert "within spilled_bytes" in told(1, 64 << 20, 42 << 20)[1]
    assert told(1, 64 << 20, 1 << 20)[0] is Status.NOTE


def test_what_the_budgets_hold_is_a_rate() -> None:
    """The other way round, which `stream check` always shows."""
    costs = label_costs(compile_app(declare(horizon="1h", state_bytes=ROW_BYTES * 6000, spilled_bytes=0), {}))
    assert costs is not None
    assert (costs.rows_at_most, costs.rate_at_most) == (3600, 1.0)


def test_labels_in_the_event_wait_for_nothing() -> None:
    """There is no topic of labels."""
    findings = Findings()
    check_label_rate(plan_with_label_field(), 1000, findings)
    assert [each.text for each in findings.found] == ["the label comes in the event: nothing waits"]
    assert label_costs(plan_with_label_field()) is None
