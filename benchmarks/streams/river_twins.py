"""The same features and models in River, in the loop that River's own documentation shows."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from river import compose, linear_model, naive_bayes, optim, preprocessing

from benchmarks.streams import bank_marketing, elec2, hotel_bookings, noaa_weather, sms_spam
from stream.cli.evaluation.loading import LabelStream
from stream.features.text import hash_words
from stream.records import Floats

# What the engine calls a word; on bytes, as there.
_WORD = re.compile(rb"[a-z0-9'\x80-\xff]+")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Twin:
    """An app's features and models in River."""

    features: Callable[[Row], dict[str, float]]
    models: Mapping[str, Callable[[], Any]]


def dense(names: Sequence[str]) -> Callable[[Row], dict[str, float]]:
    """Numbers as they are; missing ones are left out."""
    return lambda row: {name: row[name] for name in names if row[name] is not None and row[name] == row[name]}


def dense_and_one_hot(names: Sequence[str], categories: Sequence[str]) -> Callable[[Row], dict[str, float]]:
    """Numbers, and 1 for each category."""
    numbers = dense(names)
    return lambda row: numbers(row) | {f"{name}={row[name]}": 1.0 for name in categories if row[name] is not None}


def words(row: Row) -> dict[str, float]:
    """How often each word is in the text, by the engine's bucket: words that share one there share one here."""
    found = _WORD.findall(row["text"].encode().lower())
    return {str(bucket): float(count) for bucket, count in Counter(map(_bucket, found)).items()}


@cache
def _bucket(word: bytes) -> int:
    indices = np.zeros(1, np.int64)
    hash_words(np.frombuffer(word, np.uint8), 0, len(word), 0, sms_spam.BUCKETS, indices, 0)
    return int(indices[0])


class ScaledNumbers(preprocessing.StandardScaler):  # type: ignore[misc]
    """River's scaler on some features; the others pass. (A union of a scaler and the rest would let the scaler learn
    twice an event while scalers learn at arrival, since River's union passes an event on twice.)
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names

    def learn_one(self, x: dict[str, float]) -> None:
        """Learn from the numbers."""
        super().learn_one(self._numbers(x))

    def transform_one(self, x: dict[str, float]) -> dict[str, float]:
        """Scale the numbers."""
        numbers: dict[str, float] = super().transform_one(self._numbers(x))
        return x | numbers

    def _numbers(self, x: dict[str, float]) -> dict[str, float]:
        return {name: x[name] for name in self.names if name in x}


def _logistic() -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def _adagrad(names: Sequence[str]) -> Callable[[], Any]:
    return lambda: ScaledNumbers(names) | linear_model.LogisticRegression(optim.AdaGrad(0.05))


TWINS = {
    "elec2": Twin(
        dense(elec2.DENSE), {"LogisticRegression": _logistic, "GaussianNB": lambda: naive_bayes.GaussianNB()}
    ),
    "noaa_weather": Twin(
        dense(noaa_weather.DENSE), {"LogisticRegression": _logistic, "GaussianNB": lambda: naive_bayes.GaussianNB()}
    ),
    "bank_marketing": Twin(
        dense_and_one_hot(bank_marketing.DENSE, bank_marketing.ONE_HOT),
        {"LogisticRegression": _adagrad(bank_marketing.DENSE)},
    ),
    "hotel_bookings": Twin(
        dense_and_one_hot(hotel_bookings.DENSE, hotel_bookings.ONE_HOT),
        {"LogisticRegression": _adagrad(hotel_bookings.DENSE)},
    ),
    "sms_spam": Twin(
        words,
        {
            "LogisticRegression": lambda: linear_model.LogisticRegression(optim.AdaGrad(0.1)),
            "MultinomialNB": lambda: naive_bayes.MultinomialNB(),
        },
    ),
}


def run_twin(twin: Twin, rows: Sequence[Row], labels: LabelStream | None) -> tuple[dict[str, Floats], float]:
    """Scores (n,) of every model, and the seconds that features, predictions and learning took.

    Args:
        twin: features and models.
        rows: of the stream, each with its `label`.
        labels: when each label arrives, where it is later than its event; scalers then learn at arrival.
    """
    all_scores: dict[str, Floats] = {}
    seconds = 0.0
    for name, make in twin.models.items():
        model, scores = make(), np.full(len(rows), np.nan)
        began = time.perf_counter()
        with compose.learn_during_predict() if labels is not None else nullcontext():
            waiting: dict[int, dict[str, float]] = {}
            for event, is_label in _order(len(rows), labels):
                if is_label:
                    model.learn_one(waiting.pop(event), bool(rows[event]["label"]))
                    continue
                features = waiting[event] = twin.features(rows[event])
                scores[event] = _positive(model.predict_proba_one(features))
        seconds += time.perf_counter() - began
        all_scores[name] = scores
    return all_scores, seconds


def _positive(probabilities: Mapping[bool, float]) -> float:
    """Naive Bayes names only classes that it has seen; 0.5 before the first."""
    return probabilities.get(True, 0.0 if probabilities else 0.5)


def _order(count: int, labels: LabelStream | None) -> Iterator[tuple[int, bool]]:
    """Events and labels as they come: (event, whether it is its label)."""
    if labels is None:
        for event in range(count):
            yield event, False
            yield event, True
        return
    arrivals = list(zip(labels.places.tolist(), labels.events.tolist(), strict=True))
    arrived = 0
    for event in range(count + 1):
        while arrived < len(arrivals) and arrivals[arrived][0] == event:
            yield arrivals[arrived][1], True
            arrived += 1
        if event < count:
            yield event, False
