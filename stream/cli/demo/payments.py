"""SIMULATED card payments, seeded: the project's own generator. Any likeness to real cards or frauds is by design only.

People shop in sessions: a few payments in a row, mostly near home. A fraud is a session too, of someone who has the
card: before the change a thief, who pays unusual amounts far from the card's home; after it a tester, who tries the
card on line with small amounts, near its home. Frauds are spread evenly, so nothing but their pattern changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from stream.records import Bools, Floats, Ints

CARDS: Final = 2_000
CITIES: Final = 40
TERMINALS: Final = 8  # of each city
SHOPS: Final = 60  # on line
DAY_MS: Final = 86_400_000
VERDICT_MS: Final = (11 * DAY_MS // 24, 13 * DAY_MS // 24)  # how long after a payment its verdict comes
PAYMENTS_A_DAY: Final = 4_000  # two of each card


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How somebody pays with a card. Amounts are log-normal around the card's own mean."""

    share: float  # of all payments
    payments: float  # mean length of a session (geometric)
    gap_ms: float  # mean time between its payments (exponential)
    amount_factor: float  # against the card's mean
    amount_spread: float  # standard deviation of the logarithm
    away: float  # share of sessions in another city than the card's home
    categories: tuple[float, ...]  # shares, in the order of the schema's symbols
    channels: tuple[float, ...]
    careless: float  # share of payments on line in one of the shops that look at nothing


_CARELESS_SHOPS: Final = 12
_ONLINE: Final = 2  # among the schema's channels

HOLDER: Final = Behaviour(
    0.95, 1.5, 900_000, 1.0, 0.6, 0.06, (0.34, 0.16, 0.20, 0.08, 0.07, 0.15), (0.35, 0.40, 0.25), 0.0
)
THIEF: Final = Behaviour(
    0.05, 1.6, 1_200_000, 3.2, 0.5, 0.95, (0.22, 0.10, 0.16, 0.24, 0.18, 0.10), (0.45, 0.40, 0.15), 0.0
)
TESTER: Final = Behaviour(
    0.08, 3.0, 1_200_000, 0.35, 0.5, 0.06, (0.19, 0.08, 0.13, 0.10, 0.05, 0.45), (0.14, 0.16, 0.70), 0.6
)


@dataclass(frozen=True, slots=True)
class Payments:
    """Payments in the order of their times; arrays of one length."""

    numbers: Ints  # counted from 0
    cards: Ints
    terminals: Ints
    times_ms: Ints
    amounts: Floats
    categories: Ints
    channels: Ints
    latitudes: Floats
    longitudes: Floats
    is_fraud: Bools
    verdict_times_ms: Ints  # when it becomes known whether it is fraud
    is_after_change: Bools

    def __len__(self) -> int:
        return len(self.numbers)


class PaymentSimulator:
    """Makes payments, about 4,000 a simulated day.

    Args:
        seed: the same seed gives the same payments.
        planned: how many; the fraud pattern changes after half of the time that they take.
        start_ms: time of the first.
        changes: whether the pattern changes at all.
    """

    def __init__(self, seed: int, planned: int, start_ms: int, changes: bool = True) -> None:
        self._random = np.random.default_rng(seed)
        self._planned = planned
        self._start_ms = start_ms
        midway = planned / PAYMENTS_A_DAY / 2
        self._change_ms = start_ms + round(midway * DAY_MS) if changes else np.iinfo(np.int64).max
        draw = self._random
        self._places = np.random.default_rng([seed, 1])  # of terminals, so that all else is as it was without them
        self._cities = np.stack([draw.uniform(36, 60, CITIES), draw.uniform(-9, 30, CITIES)], axis=1)
        self._homes = draw.integers(0, CITIES, CARDS)
        self._means = draw.lognormal(3.3, 1.0, CARDS)
        self._activity = np.cumsum(draw.gamma(2.0, 1.0, CARDS))

    def days(self) -> Iterator[Payments]:
        """The payments of one simulated day after the other, `planned` in all."""
        made, day, later = 0, 0, np.zeros((0, 10))
        while made < self._planned:
            end_ms = self._start_ms + (day + 1) * DAY_MS
            drawn = np.concatenate([later, self._day(end_ms - DAY_MS)])
            drawn = drawn[np.argsort(drawn[:, 0], kind="stable")]
            here = drawn[drawn[:, 0] < end_ms][: self._planned - made]
            later = drawn[drawn[:, 0] >= end_ms]
            yield self._payments(here, made)
            made, day = made + len(here), day + 1

    def _day(self, start_ms: int) -> Floats:
        """Sessions that begin on this day, as rows of _session's columns."""
        frauds_before = self._sessions(THIEF, start_ms, True)
        frauds_after = self._sessions(TESTER, start_ms, True)
        begun = (frauds_before[:, 8] < self._change_ms, frauds_after[:, 8] >= self._change_ms)
        holders = self._sessions(HOLDER, start_ms, False)
        return np.concatenate([holders, frauds_before[begun[0]], frauds_after[begun[1]]])

    def _sessions(self, how: Behaviour, start_ms: int, is_fraud: bool) -> Floats:
        """Columns: time, card, amount, category, channel, latitude, longitude, whether fraud, session, terminal."""
        draw = self._random
        count = int(draw.poisson(PAYMENTS_A_DAY * how.share / how.payments))
        lengths = draw.geometric(1 / how.payments, count)
        session = np.repeat(np.arange(count), lengths)
        starts = start_ms + draw.uniform(0, DAY_MS, count)
        gaps = draw.exponential(how.gap_ms, len(session))
        gaps[np.cumsum(lengths) - lengths] = 0.0
        waited = np.cumsum(gaps)
        times = starts[session] + waited - waited[(np.cumsum(lengths) - lengths)[session]]
        cards = np.searchsorted(self._activity, draw.uniform(0, self._activity[-1], count))[session]
        is_away = draw.random(count) < how.away
        cities = np.where(is_away[session], draw.integers(0, CITIES, count)[session], self._homes[cards])
        places = self._cities[cities] + draw.normal(0, 0.05, (len(session), 2))
        amounts = self._means[cards] * how.amount_factor * draw.lognormal(0, how.amount_spread, len(session))
        categories = draw.choice(len(how.categories), len(session), p=how.categories)
        channels = draw.choice(len(how.channels), len(session), p=how.channels)
        terminals = self._terminals(how, cities, channels)
        is_frauds = np.full(len(session), is_fraud)
        return np.column_stack(
            [times, cards, amounts, categories, channels, places, is_frauds, starts[session], terminals]
        )

    def _terminals(self, how: Behaviour, cities: Ints, channels: Ints) -> Ints:
        """Where each payment was made: at a terminal of its city, or in a shop on line, of which some have most."""
        draw, count = self._places, len(cities)
        shops = np.minimum(draw.geometric(0.05, count) - 1, SHOPS - 1)
        is_careless = draw.random(count) < how.careless
        shops = np.where(is_careless, SHOPS - 1 - draw.integers(0, _CARELESS_SHOPS, count), shops)
        return np.where(
            channels == _ONLINE, CITIES * TERMINALS + shops, cities * TERMINALS + draw.integers(0, TERMINALS, count)
        )

    def _payments(self, rows: Floats, first: int) -> Payments:
        times_ms = rows[:, 0].astype(np.int64)
        return Payments(
            numbers=np.arange(first, first + len(rows)),
            cards=rows[:, 1].astype(np.int64),
            terminals=rows[:, 9].astype(np.int64),
            times_ms=times_ms,
            amounts=np.round(rows[:, 2], 2),
            categories=rows[:, 3].astype(np.int64),
            channels=rows[:, 4].astype(np.int64),
            latitudes=rows[:, 5],
            longitudes=rows[:, 6],
            is_fraud=rows[:, 7] > 0.5,
            verdict_times_ms=times_ms + self._random.integers(*VERDICT_MS, len(rows)),
            is_after_change=times_ms >= self._change_ms,
        )
