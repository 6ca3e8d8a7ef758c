"""The app of these tests with a feature by another key, which needs stages where there are several partitions."""

import os
from typing import Any

from stream import App, col
from tests.runtime.app import NAME, PAYMENT, declare

SHOP_PAYMENT: dict[str, Any] = {
    **PAYMENT,
    "fields": [*PAYMENT["fields"], {"name": "shop", "type": ["null", "string"], "default": None}],
}


def declare_staged(name: str) -> App:
    """With what its shop took, beside the features by card."""
    declared = declare(name)
    assert declared.event_stream is not None
    declared.event_stream.schema = SHOP_PAYMENT
    amount = col("amount")
    declared.event_stream.features(
        shop_spend=amount.sum("1m", by="shop"), shop_unusual=amount / amount.ewm_mean("1h", by="shop")
    )
    return declared


app = declare_staged(os.environ.get(NAME, "payments"))
