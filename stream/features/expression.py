"""Expressions over columns, in the manner of Polars: what a declaration is written in.

    from stream import col, distance_km, lit, speed_kmh, udf, when

Everything else is a method of an expression.

An expression is only a description. It gets its types, and its mistakes their errors, when the features are compiled
against a schema (`stream.features.compile_features`). Null and NaN are one thing, written null here: every operator
whose operand is null gives null, unless it says otherwise. A result that is not finite becomes null where it leaves
the expression or enters keyed state, so that no infinity reaches a model.

What "keyed" means is the same for all keyed operators. They describe the events of the same key *before* the current
one (`include_current=True`: up to and with it). `by=` takes another key than the stream's, a column's name or a tuple
of names. Where the event topic has several partitions such a feature is computed in a stage of its own, behind a topic
keyed by it, and sees the events of its key from all partitions in the order in which they arrive there: each key costs
a hop (docs/guarantees.md, "Stages"), and its operands must be columns and what is computed of them, not keyed features.
`local=True` says that it is meant to see this partition alone, without a hop. With a null key they are null.

What they cost (`FeaturePlan.costs` says it for a declaration): a key 29 bytes in its table and 8 for its time, and for
each distinct expression and halflife 16 bytes (24 with `ewm_var`), `since_last` 8, a point for distance or speed 24, a
window 8 for its count, 16 for a sum or mean, 16 more for var or std, 8 for nunique, and 8 a column for min and for max.
All windows over one expression share one reservoir: 24 bytes for each event in the longest, 8 more with min, with max,
32 more with nunique. Reading and updating takes constant time an event, but min and max walk over the events of the
key that are larger (smaller) than all later ones, about the logarithm of the key's events in the window, at worst all
of them (a series that only falls, or only rises); and a late event moves those behind it, at most the lateness's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stream.errors import ConfigError
from stream.features.duration import duration_ms


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A value computed from each event. Made by `col`, combined by operators and methods."""

    operator: str
    operands: tuple[Expression, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str) -> Any:
        """The option of that name; None where it is not set."""
        return dict(self.options).get(name)

    def __bool__(self) -> bool:
        raise ConfigError("an expression has no truth value: use & | ~ instead of and, or, not; is_in instead of in")

    # arithmetic: numbers; time - time gives seconds; division by zero gives null; % is Python's

    def __add__(self, other: Any) -> Expression:
        return apply("add", self, other)

    def __radd__(self, other: Any) -> Expression:
        return apply("add", other, self)

    def __sub__(self, other: Any) -> Expression:
        return apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return apply("subtract", other, self)

    def __mul__(self, other: Any) -> Expression:
        return apply("multiply", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return apply("multiply", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return apply("divide", other, self)

    def __mod__(self, other: Any) -> Expression:
        return apply("remainder", self, other)

    def __rmod__(self, other: Any) -> Expression:
        return apply("remainder", other, self)

    def __pow__(self, other: Any) -> Expression:
        return apply("power", self, other)

    def __rpow__(self, other: Any) -> Expression:
        return apply("power", other, self)

    def __neg__(self) -> Expression:
        return apply("negate", self)

    def __abs__(self) -> Expression:
        return apply("abs", self)

    # comparisons and logic give booleans; strings and enums compare with == and != to a literal

    def __lt__(self, other: Any) -> Expression:
        return apply("less", self, other)

    def __le__(self, other: Any) -> Expression:
        return apply("less_equal", self, other)

    def __gt__(self, other: Any) -> Expression:
        return apply("less", other, self)

    def __ge__(self, other: Any) -> Expression:
        return apply("less_equal", other, self)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self.is_in((other,)) if isinstance(other, str) else apply("equal", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return ~(self == other)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> Expression:
        return apply("and", self, other)

    def __or__(self, other: Any) -> Expression:
        return apply("or", self, other)

    def __invert__(self) -> Expression:
        return apply("not", self)

    def is_in(self, values: Iterable[str | float]) -> Expression:
        """Whether the value is one of these literals: texts for strings and enums, numbers for numbers."""
        literals = tuple(values)
        if not literals or not all(isinstance(value, str | int | float) for value in literals):
            raise ConfigError(f"is_in wants one or more texts or numbers, got {literals!r}")
        if len({isinstance(value, str) for value in literals}) > 1:
            raise ConfigError(f"is_in wants texts or numbers, not both: {literals!r}")
        return apply("is_in", self, values=literals)

    # numbers

    def abs(self) -> Expression:
        """The absolute value."""
        return apply("abs", self)

    def log(self) -> Expression:
        """The natural logarithm; null at and below 0."""
        return apply("log", self)

    def log1p(self) -> Expression:
        """log(1 + x), exact near 0; null at and below -1."""
        return apply("log1p", self)

    def exp(self) -> Expression:
        """e to the power of x."""
        return apply("exp", self)

    def sqrt(self) -> Expression:
        """The square root; null below 0."""
        return apply("sqrt", self)

    def clip(self, lower: float | None = None, upper: float | None = None) -> Expression:
        """The value, no smaller than `lower` and no larger than `upper`."""
        if lower is not None and upper is not None and lower > upper:
            raise ConfigError(f"clip: lower {lower} is above upper {upper}")
        return apply("clip", self, lower=lower, upper=upper)

    def is_null(self) -> Expression:
        """Whether the value is missing; never null itself."""
        return apply("is_null", self)

    def fill_null(self, value: float | str) -> Expression:
        """The value, or where it is null a constant, or with "mean" the mean of all values this partition saw before.

        Before the first value the running mean is null too.
        """
        if value == "mean":
            return apply("fill_mean", self)
        if isinstance(value, str):
            raise ConfigError(f'fill_null wants a number or "mean", got {value!r}')
        return apply("fill_null", self, value=float(value))

    def cast(self, to: type[float] | type[bool]) -> Expression:
        """A boolean as the number 0 or 1 (`cast(float)`), or a number as "is not 0" (`cast(bool)`)."""
        if to not in (float, bool):
            raise ConfigError(f"cast wants float or bool, got {to!r}")
        return apply("to_boolean" if to is bool else "to_number", self)

    # texts, enums and lists

    def length(self) -> Expression:
        """Characters of a text (code points; bytes of a bytes column), or items of a list."""
        return apply("length", self)

    def hash(self, buckets: int) -> Expression:
        """Sparse: 1 at the hash of the value, among so many buckets; a list's items are counted in theirs.

        Null has no entry. Unlike categories may share a bucket.
        """
        return apply("hash", self, buckets=_bounded("hash: buckets", buckets))

    def one_hot(self, max_categories: int) -> Expression:
        """Sparse: 1 at the category's own index.

        An enum has its symbols as categories. Otherwise the first `max_categories` values that the partition meets get
        an index each, in order of appearance, and one more index stands for all others. Null has no entry.
        """
        return apply("one_hot", self, max_categories=_bounded("one_hot: max_categories", max_categories))

    def target_mean(self, smoothing: float = 10.0, buckets: int = 2**14, *, local: bool = True) -> Expression:
        """The mean label of the events of this category whose labels are known by now.

        It is drawn towards the mean of all labels as if `smoothing` events had had that (Micci-Barreca, 2001).
        It is of all labels that this partition has had so far, as they were known when the event came: there is no
        window. Categories are hashed into `buckets`; 16 bytes each. Null before the first label and for null.

        `local=False`, for a column: of the labels of all partitions, kept in a stage keyed by it, to which each label
        goes back once it is learned (docs/guarantees.md, "Stages"); "all labels" are those that lie there with a key.
        """
        if not smoothing >= 0:
            raise ConfigError(f"target_mean: smoothing must be 0 or more, got {smoothing!r}")
        if not local and self.operator != "column":
            raise ConfigError('target_mean(local=False) is of a column, as in col("shop").target_mean(local=False)')
        options = {"smoothing": float(smoothing), "buckets": _bounded("target_mean: buckets", buckets)}
        return apply("target_mean", self, **options, **({} if local else {"by": (self.option("name"),)}))

    def bag_of_words(self, buckets: int) -> Expression:
        """Sparse: counts of the words, each hashed into a bucket.

        A word is a longest run of ASCII letters, digits, apostrophes and bytes above 127 (so that words of other
        scripts hold together where spaces divide them); A to Z are lower-cased.
        """
        return apply("bag_of_words", self, buckets=_bounded("bag_of_words: buckets", buckets))

    def char_ngrams(self, n: int, buckets: int) -> Expression:
        """Sparse: counts of every n consecutive characters (code points), hashed; A to Z are lower-cased.

        A text shorter than n has no entry.
        """
        if not 1 <= n <= 16:
            raise ConfigError(f"char_ngrams: n must be 1 to 16, got {n!r}")
        return apply("char_ngrams", self, n=n, buckets=_bounded("char_ngrams: buckets", buckets))

    # calendar parts of a time

    def hour(self, tz: str = "UTC") -> Expression:
        """Hour of the day, 0 to 23, in the time zone of that IANA name."""
        return apply("calendar", self, part="hour", tz=tz)

    def minute(self, tz: str = "UTC") -> Expression:
        """Minute of the hour, 0 to 59."""
        return apply("calendar", self, part="minute", tz=tz)

    def day_of_week(self, tz: str = "UTC") -> Expression:
        """Day of the week, Monday 0 to Sunday 6."""
        return apply("calendar", self, part="day_of_week", tz=tz)

    def day(self, tz: str = "UTC") -> Expression:
        """Day of the month, 1 to 31."""
        return apply("calendar", self, part="day", tz=tz)

    def month(self, tz: str = "UTC") -> Expression:
        """Month, 1 to 12."""
        return apply("calendar", self, part="month", tz=tz)

    def is_weekend(self, tz: str = "UTC") -> Expression:
        """Whether the day is a Saturday or a Sunday."""
        return apply("is_weekend", self, tz=tz)

    # keyed: exact sliding windows; without a window, sum and mean are those of a list's items

    def count(self, window: str, **keyed: Any) -> Expression:
        """Events of the key in the last `window` whose value is not null.

        Keyword arguments of all keyed operators: `by` (a column's name or a tuple of names), `local`,
        `include_current`. A window of length w holds the events with time in (now - w, now], where now is the largest
        event time that the partition has seen: the event's own time, unless it is late. A late event enters in time
        order while it is no more than the app's lateness behind.
        """
        return keyed_apply("window_count", (self,), keyed, stat="count", window_ms=duration_ms(window, "count: window"))

    def sum(self, window: str | None = None, **keyed: Any) -> Expression:
        """Sum of the values in the window (see `count`); 0 where it is empty. Without a window: of a list's items."""
        return self._window("sum", window, keyed) if window is not None else apply("list_sum", self)

    def mean(self, window: str | None = None, **keyed: Any) -> Expression:
        """Mean of the values in the window; null where it is empty. Without a window: of a list's items."""
        return self._window("mean", window, keyed) if window is not None else apply("list_mean", self)

    def var(self, window: str, **keyed: Any) -> Expression:
        """Sample variance (divided by n - 1) of the values in the window; null below two values."""
        return self._window("var", window, keyed)

    def std(self, window: str, **keyed: Any) -> Expression:
        """Square root of `var`."""
        return self._window("std", window, keyed)

    def min(self, window: str, **keyed: Any) -> Expression:
        """Smallest value in the window; null where it is empty."""
        return self._window("min", window, keyed)

    def max(self, window: str, **keyed: Any) -> Expression:
        """Largest value in the window; null where it is empty."""
        return self._window("max", window, keyed)

    def nunique(self, window: str, **keyed: Any) -> Expression:
        """Distinct values in the window, counted exactly (up to collisions of 64-bit hashes)."""
        return keyed_apply(
            "window_nunique", (self,), keyed, stat="nunique", window_ms=duration_ms(window, "nunique: window")
        )

    def _window(self, stat: str, window: str, keyed: dict[str, Any]) -> Expression:
        return keyed_apply("window", (self,), keyed, stat=stat, window_ms=duration_ms(window, f"{stat}: window"))

    # keyed: exponentially weighted by event time; a value's weight halves with every `halflife` that passes

    def ewm_mean(self, halflife: str, **keyed: Any) -> Expression:
        """Weighted mean of the key's values; null before the first."""
        return self._ewm("mean", halflife, keyed)

    def ewm_var(self, halflife: str, **keyed: Any) -> Expression:
        """Weighted variance, sum(w (x - mean)^2) / sum(w) (West, 1979); 0 after one value, null before it."""
        return self._ewm("var", halflife, keyed)

    def ewm_sum(self, halflife: str, **keyed: Any) -> Expression:
        """Weighted sum; 0 before the first value."""
        return self._ewm("sum", halflife, keyed)

    def ewm_count(self, halflife: str, **keyed: Any) -> Expression:
        """Sum of the weights: events as they fade; 0 before the first value."""
        return self._ewm("count", halflife, keyed)

    def ratio_to_mean(self, halflife: str, **keyed: Any) -> Expression:
        """The value over the key's own weighted mean: 1 is the usual."""
        return self / self.ewm_mean(halflife, **keyed)

    def _ewm(self, stat: str, halflife: str, keyed: dict[str, Any]) -> Expression:
        return keyed_apply("ewm", (self,), keyed, stat=stat, halflife_ms=duration_ms(halflife, f"ewm_{stat}: halflife"))

    # keyed: the time since the previous event

    def since_last(self, **keyed: Any) -> Expression:
        """Seconds from this time at the key's previous event to the current one; null at the first, never below 0.

        `include_current` has no meaning here and is refused.
        """
        return keyed_apply("since_last", (self,), without_current("since_last", keyed))


def col(name: str) -> Expression:
    """The column of that name; nested fields have dotted names (`merchant.city`)."""
    if not isinstance(name, str) or not name:
        raise ConfigError(f"col wants the name of a column, got {name!r}")
    return Expression("column", (), (("name", name),))


def lit(value: float | bool) -> Expression:
    """A constant."""
    if not isinstance(value, bool | int | float):
        raise ConfigError(f"expected a number or an expression, got {value!r}")
    return Expression("literal", (), (("value", value),))


def as_expression(value: Any) -> Expression:
    """The expression itself, or a number as a constant."""
    return value if isinstance(value, Expression) else lit(value)


def apply(operator: str, *operands: Any, **options: Any) -> Expression:
    """An operator over operands."""
    return Expression(operator, tuple(as_expression(value) for value in operands), tuple(options.items()))


def keyed_apply(operator: str, operands: tuple[Expression, ...], keyed: dict[str, Any], **options: Any) -> Expression:
    """A keyed operator, with the options that all of them have."""
    unknown = sorted(set(keyed) - {"by", "local", "include_current"})
    if unknown:
        raise ConfigError(f"{operator}: unknown option {unknown[0]!r}; there are by, local and include_current")
    by = keyed.get("by", ())
    by = (by,) if isinstance(by, str) else tuple(by)
    if not all(isinstance(name, str) for name in by):
        raise ConfigError(f"{operator}: by wants a column's name or a tuple of names, got {by!r}")
    return apply(
        operator,
        *operands,
        **options,
        by=by,
        local=bool(keyed.get("local", False)),
        include_current=bool(keyed.get("include_current", False)),
    )


def without_current(operator: str, keyed: dict[str, Any]) -> dict[str, Any]:
    """The keyed options of an operator to which include_current means nothing."""
    if "include_current" in keyed:
        raise ConfigError(f"{operator} compares the current event with the previous one: it has no include_current")
    return keyed


def _bounded(what: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 2**31:
        raise ConfigError(f"{what} must be a whole number from 1 to 2**31, got {value!r}")
    return value
