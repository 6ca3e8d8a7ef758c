"""SIMULATED orders, seeded: what a new project is tried with."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

COLUMNS: Final = ("order_id", "customer", "ordered_at", "amount", "items", "country", "payment", "returned")
COUNT: Final = 5_000
_CUSTOMERS: Final = 400
_COUNTRIES: Final = ("DE", "FR", "IT", "ES", "NL", "")  # the last is not known
_PAYMENTS: Final = ("card", "invoice", "voucher")
_BEGIN: Final = datetime(2025, 1, 1, tzinfo=UTC)
_MINUTES_BETWEEN: Final = 18.0
# Logit of a return: invoices, many items, and amounts above the customer's usual ones come back.
_BASE, _INVOICE, _ITEM, _UNUSUAL = -2.6, 1.3, 0.25, 1.6


def write_orders(path: Path, seed: int = 1) -> None:
    """Write the orders as CSV; the same seed gives the same file."""
    draw = np.random.default_rng(seed)
    customers = draw.integers(0, _CUSTOMERS, COUNT)
    deviations = draw.normal(0.0, 0.6, COUNT)
    amounts = np.exp(draw.normal(3.6, 0.7, _CUSTOMERS)[customers] + deviations)
    items = 1 + draw.poisson(1.5, COUNT)
    payments = draw.choice(len(_PAYMENTS), COUNT, p=(0.55, 0.35, 0.10))
    countries = draw.integers(0, len(_COUNTRIES), COUNT)
    minutes = np.cumsum(draw.exponential(_MINUTES_BETWEEN, COUNT))
    logits = _BASE + _INVOICE * (payments == 1) + _ITEM * items + _UNUSUAL * deviations
    returned = draw.random(COUNT) < 1.0 / (1.0 + np.exp(-logits))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for place in range(COUNT):
            ordered_at = _BEGIN + timedelta(minutes=float(minutes[place]))
            writer.writerow(
                (
                    f"o-{place + 1:05d}",
                    f"c-{customers[place]:03d}",
                    ordered_at.isoformat(timespec="milliseconds"),
                    f"{amounts[place]:.2f}",
                    items[place],
                    _COUNTRIES[countries[place]],
                    _PAYMENTS[payments[place]],
                    "true" if returned[place] else "false",
                )
            )
