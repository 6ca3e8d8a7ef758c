"""Learning rates that change with the number of events learned, and initial weights: River's, by River's names."""

from typing import Any, ClassVar

from stream.models.declaration import Declaration, check_number, declaration


@declaration
class InverseScaling(Declaration):
    """The rate `learning_rate / (t + 1) ** power` at the t-th learned event (river.optim.schedulers.InverseScaling)."""

    learning_rate: float
    power: float = 0.5

    rate: ClassVar[str] = "inverse_scaling_rate"

    def __post_init__(self) -> None:
        check_number(self, "learning_rate", least=0.0)
        check_number(self, "power", least=0.0, most=10.0)

    def to_river(self) -> Any:
        from river import optim

        return optim.schedulers.InverseScaling(self.learning_rate, self.power)


@declaration
class Constant(Declaration):
    """Every weight starts at `value` when its feature is first learned from (river.optim.initializers.Constant)."""

    value: float

    def __post_init__(self) -> None:
        check_number(self, "value", least=-1e6, most=1e6)

    def to_river(self) -> Any:
        from river import optim

        return optim.initializers.Constant(self.value)


@declaration
class Zeros(Declaration):
    """Every weight starts at 0 (river.optim.initializers.Zeros)."""

    value: ClassVar[float] = 0.0

    def to_river(self) -> Any:
        from river import optim

        return optim.initializers.Zeros()


Rate = float | InverseScaling


def rate_kernel(rate: Rate) -> str:
    """Name of the kernel that computes the rate."""
    return rate.rate if isinstance(rate, InverseScaling) else "constant_rate"


def rate_numbers(rate: Rate) -> tuple[float, float]:
    """What that kernel reads."""
    return (rate.learning_rate, rate.power) if isinstance(rate, InverseScaling) else (float(rate), 0.0)


def check_rate(owner: Declaration, name: str) -> None:
    """Raise ConfigError unless the parameter is a number that is at least 0, or a schedule."""
    if not isinstance(getattr(owner, name), InverseScaling):
        check_number(owner, name, least=0.0, most=1e6)


def river_rate(rate: Rate) -> Any:
    """The same for River."""
    return rate.to_river() if isinstance(rate, InverseScaling) else rate
