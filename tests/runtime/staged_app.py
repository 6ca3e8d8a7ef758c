"""The app of these tests with a feature by another key and labels that are keyed otherwise: both need stages."""

import os
from typing import Any

from stream import App, col
from tests.runtime.app import CHARGEBACK, NAME, PAYMENT, declare

SHOP_PAYMENT: dict[str, Any] = {
    **PAYMENT,
    "fields": [*PAYMENT["fields"], {"name": "shop", "type": ["null", "string"], "default": None}],
}
CARD_CHARGEBACK: dict[str, Any] = {
    **CHARGEBACK,
    "fields": [*CHARGEBACK["fields"], {"name": "card", "type": "string"}],
}


def declare_staged(name: str) -> App:
    """With what its shop took, beside the features by card; chargebacks are keyed by the payment."""
    declared = declare(name)
    assert declared.event_stream is not None
    declared.label_stream = None
    declared.labels(
        f"{name}.chargebacks",
        of=declared.event_stream,
        schema=CARD_CHARGEBACK,
        target="fraud",
        horizon="1h",
        key="card",
        state_bytes=4 << 20,
    )
    declared.event_stream.schema = SHOP_PAYMENT
    amount = col("amount")
    declared.event_stream.features(
        shop_spend=amount.sum("1m", by="shop"),
        shop_unusual=amount / amount.ewm_mean("1h", by="shop"),
        shop_risk=col("shop").target_mean(local=False),
    )
    return declared


app = declare_staged(os.environ.get(NAME, "payments"))
