"""Mistakes in a declaration are errors that name the feature, the column and what was expected."""

from collections.abc import Callable
from typing import Any

import pytest

from stream.errors import ConfigError
from stream.features import Expression, FeaturePlan, col, compile_features, distance_km, udf, when
from stream.features.plan import ForeignKey
from tests.features.events import COLUMNS, plan_of

amount, merchant, time = col("amount"), col("merchant"), col("time")

MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "misspelt column": (
        lambda: col("ammount").log1p(),
        "feature 'x': there is no column 'ammount'; did you mean 'amount'",
    ),
    "unknown column": (lambda: col("zzzzz"), "there are amount, booked"),
    "text as number": (lambda: merchant.log1p(), "'x': log1p expects a number, but column 'merchant' is text"),
    "number as text": (lambda: amount.bag_of_words(10), "bag_of_words expects text, but column 'amount' is a number"),
    "text alone": (lambda: merchant, "column 'merchant' is text, no feature; hash it"),
    "time alone": (lambda: time, "column 'time' is a time, no feature; use a part of it"),
    "enum alone": (lambda: col("country"), "is an enum, no feature; use one_hot"),
    "sum without window": (lambda: amount.sum(), r'sum\(\) of column \'amount\' wants a window, as in sum\("1h"\)'),
    "list of texts": (lambda: col("tags").sum(), "list of numbers, but the items of column 'tags' are string"),
    "sum of text": (lambda: merchant.sum("1h"), "window expects a boolean or a number, but column 'merchant' is text"),
    "unequal types": (lambda: time - amount, "'time' is a time and column 'amount' is a number"),
    "number in logic": (lambda: amount & (amount > 1), "and expects a boolean, but column 'amount' is a number"),
    "hour of a number": (lambda: amount.hour(), "calendar expects a time, but column 'amount' is a number"),
    "no such zone": (lambda: time.hour(tz="Mars/Base"), "no time zone 'Mars/Base'; write an IANA name"),
    "wrong symbol": (lambda: col("country") == "DEE", "has no symbol 'DEE'; did you mean 'DE'"),
    "text with number": (lambda: merchant.is_in([1]), "is text: compare it with texts, not 1"),
    "number with text": (lambda: amount == "1", "is a number: compare it with numbers, not '1'"),
    "too many symbols": (lambda: col("country").one_hot(2), "has 3 symbols, more than max_categories=2"),
    "key of floats": (lambda: amount.sum("1h", by="amount"), "key column 'amount' is double; a key is"),
    "unknown key": (lambda: amount.sum("1h", by="merchnt"), "did you mean 'merchant'"),
    "no duration": (lambda: amount.sum("1 hour"), "sum: window: '1 hour' is no duration; write a number and"),
    "zero duration": (lambda: amount.ewm_mean("0s"), "must be longer than zero"),
    "no buckets": (lambda: merchant.hash(0), r"hash: buckets must be a whole number from 1 to 2\*\*31, got 0"),
    "unknown option": (lambda: amount.sum("1h", key="a"), "unknown option 'key'; there are by, local"),
    "current of distance": (lambda: distance_km(amount, amount, include_current=True), "it has no include_current"),
    "python's and": (lambda: (amount > 1) and (amount < 2), "use & | ~ instead of and, or, not"),
    "unequal choices": (lambda: when(amount > 1).then(1.0).otherwise(amount > 2), "select expects two of one type"),
    "no expression": (lambda: 3.0, "'x': expected an expression such as col"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_an_error_that_helps(mistake: str) -> None:
    """At declaration, or when it meets the schema."""
    declare, message = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=message):
        plan_of({"x": declare()})


def test_keyed_features_want_a_key() -> None:
    """Given a stream without a key, the error names the feature and the ways out."""
    with pytest.raises(ConfigError, match="feature 'spend': window is keyed, but the events have no key; declare key="):
        compile_features({"spend": amount.sum("1h")}, COLUMNS, None)


def test_user_functions_must_stand_alone() -> None:
    """A name that is neither a number nor math is refused."""
    with pytest.raises(ConfigError, match="udf bad: plan_of is neither a number nor the module math"):

        @udf
        def bad(x: float) -> float:
            return float(plan_of(x))  # type: ignore[arg-type]


def test_only_columns_that_are_read_are_wanted() -> None:
    """Keys included, in the schema's order."""
    assert plan_of({"x": amount.sum("1h", by="terminal", local=True)}, key=None).wanted == ("amount", "terminal")
    assert plan_of({"x": amount.sum("1h")}).wanted == ("card", "amount")


def test_foreign_keys_are_told() -> None:
    """A feature by another key is named, with whether it was declared local."""
    features: dict[str, Expression] = {
        "own": amount.sum("1h", by="card"),
        "shop": amount / amount.ewm_mean("1h", by="merchant", local=True),
        "pair": amount.count("1h", by=("card", "merchant")),
    }
    assert plan_of(features).foreign_keys == (
        ForeignKey("shop", ("merchant",), True),
        ForeignKey("pair", ("card", "merchant"), False),
    )


def test_a_features_digest_follows_its_definition_alone() -> None:
    """Given one feature changed and one added, the other keeps its digest; the plan's is a new one."""

    def plan(window: str, **more: Expression) -> FeaturePlan:
        return plan_of({"spend": amount.sum(window), "hour": time.hour(), **more})

    before, after, same = plan("1h"), plan("2h", idle=time.since_last()), plan("1h")
    assert before.digests["hour"] == after.digests["hour"]
    assert before.digests["spend"] != after.digests["spend"]
    assert before.digest != after.digest
    assert before.digest == same.digest
