"""The app of these tests. Its name, and with it its topics, come from the environment: each test has its own."""

import os
from typing import Any

from stream import App, col, drift, models

PAYMENT: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "card", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
CHARGEBACK: dict[str, Any] = {
    "type": "record",
    "name": "Chargeback",
    "fields": [{"name": "id", "type": "string"}, {"name": "fraud", "type": "boolean"}],
}
NAME = "STREAM_TEST_APP"
STATE_BYTES = "STREAM_TEST_STATE_BYTES"  # another budget makes another version of the app, whose parts are all the same


def declare(name: str, state_bytes: int = 4 << 20, label_bytes: int = 4 << 20, spilled_bytes: int = 0) -> App:
    """Payments by card, whose chargebacks come on a topic of their own; both named after the app."""
    declared = App(name)
    payments = declared.events(
        f"{name}.payments", schema=PAYMENT, key="card", time="at", id="id", state_bytes=state_bytes
    )
    amount = col("amount")
    payments.features(
        amount=amount.log1p(),
        spend=amount.sum("1m"),
        unusual=amount / amount.ewm_mean(halflife="1h"),
        idle=col("at").since_last(),
    )
    declared.labels(
        f"{name}.chargebacks",
        of=payments,
        schema=CHARGEBACK,
        target="fraud",
        horizon="1h",
        state_bytes=label_bytes,
        spilled_bytes=spilled_bytes,
    )
    declared.model("champion", models.StandardScaler() | models.LogisticRegression())
    # A few thousand events have to be enough for an alert.
    policy = drift.AlertPolicy(share_delta=False, warm_up=100)
    declared.monitor(drift.ADWIN(delta=0.2), on=["error", "score", "features"], policy=policy)
    return declared


app = declare(os.environ.get(NAME, "payments"), int(os.environ.get(STATE_BYTES, 4 << 20)))
