"""`when(condition).then(value).otherwise(value)`: an expression that chooses between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream.features.expression import Expression, apply, as_expression


@dataclass(frozen=True, slots=True)
class When:
    """The first third of `when(condition).then(value).otherwise(value)`."""

    condition: Expression

    def then(self, value: Any) -> Then:
        """The value where the condition is true."""
        return Then(self.condition, as_expression(value))


@dataclass(frozen=True, slots=True)
class Then:
    """The second third of `when(condition).then(value).otherwise(value)`."""

    condition: Expression
    value: Expression

    def otherwise(self, value: Any) -> Expression:
        """The value where the condition is false; a null condition gives null."""
        return apply("select", self.condition, self.value, value)


def when(condition: Expression) -> When:
    """Choose between two values: `when(col("amount") > 100).then(1.0).otherwise(0.0)`."""
    return When(condition)
