"""The simulated payments: what the demo promises of them."""

import time
from dataclasses import astuple

import numpy as np

from stream.cli.demo.payments import DAY_MS, Payments, PaymentSimulator
from stream.evaluate import roc_auc
from stream.records import Bools, Floats

PLANNED = 60_000


def simulated(seed: int, planned: int = PLANNED, changes: bool = True) -> Payments:
    """All payments of a run, as one."""
    days = [astuple(day) for day in PaymentSimulator(seed, planned, 0, changes).days()]
    return Payments(*(np.concatenate(columns) for columns in zip(*days, strict=True)))


def category_rates(values: Floats, is_fraud: Bools) -> Floats:
    """Each value replaced by the share of frauds among the earlier payments with it: the best one field could score."""
    counts: dict[float, list[float]] = {}
    rates = np.empty(len(values))
    for place, (value, target) in enumerate(zip(values.tolist(), is_fraud.tolist(), strict=True)):
        seen = counts.setdefault(value, [1.0, 20.0])  # begins as one fraud in twenty
        rates[place] = seen[0] / seen[1]
        seen[0] += target
        seen[1] += 1.0
    return rates


def test_the_same_seed_gives_the_same_payments_and_another_seed_others() -> None:
    """A demo can be repeated."""
    first, again, other = simulated(1, 9_000), simulated(1, 9_000), simulated(2, 9_000)
    assert all(np.array_equal(one, two) for one, two in zip(astuple(first), astuple(again), strict=True))
    assert not np.array_equal(first.amounts, other.amounts)


def test_there_are_as_many_payments_as_planned_in_the_order_of_their_times() -> None:
    """Numbers count from 0, times never fall, and a verdict comes half a day later or so."""
    payments = simulated(3, 10_001)
    assert payments.numbers.tolist() == list(range(10_001))
    assert (np.diff(payments.times_ms) >= 0).all()
    delays = (payments.verdict_times_ms - payments.times_ms) / DAY_MS
    assert 0.4 < delays.min() < delays.max() < 0.6


def test_the_pattern_changes_in_the_middle_and_not_where_the_change_is_switched_off() -> None:
    """The first payment behind the change is number 30,000 of 60,000, give or take a hundredth."""
    assert abs(int(np.argmax(simulated(4).is_after_change)) - PLANNED / 2) < PLANNED / 100
    assert not simulated(4, changes=False).is_after_change.any()


def test_frauds_are_few_on_both_sides_of_the_change() -> None:
    """About 5 % before it and 8 % after it."""
    payments = simulated(5)
    before, after = (payments.is_fraud[payments.is_after_change == side].mean() for side in (False, True))
    assert 0.04 < before < 0.06
    assert 0.065 < after < 0.095


def test_no_single_raw_field_tells_frauds() -> None:
    """No field reaches a ROC-AUC of 0.8, neither before the change nor after it, whichever way it is read."""
    for seed in range(3):
        payments = simulated(seed)
        for side in (False, True):
            chosen = payments.is_after_change == side
            is_fraud = payments.is_fraud[chosen]
            numbers = (payments.amounts, payments.latitudes, payments.longitudes, payments.times_ms % DAY_MS)
            names = (payments.categories, payments.channels, payments.cards, payments.terminals)
            scores = [field[chosen].astype(np.float64) for field in numbers]
            scores += [category_rates(field[chosen].astype(np.float64), is_fraud) for field in names]
            areas = [roc_auc(score, is_fraud.astype(np.float64)) for score in scores]
            assert max(max(area, 1 - area) for area in areas) < 0.8, (seed, side, areas)


def test_payments_are_made_faster_than_any_worker_takes_them() -> None:
    """At least 100,000 a second."""
    began = time.process_time()
    simulated(6, 120_000)
    assert time.process_time() - began < 1.2
