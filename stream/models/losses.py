"""Losses of linear models: River's, by River's names and parameters."""

from typing import Any, ClassVar

from stream.models.declaration import Declaration, check_number, declaration, numbers_of


class Loss(Declaration):
    """What a linear model descends: names of the kernels for its gradient and for its mean function."""

    __slots__ = ()
    gradient: ClassVar[str]
    mean: ClassVar[str]

    @property
    def numbers(self) -> tuple[float, ...]:
        """What the kernels read: the parameters, two at most."""
        return numbers_of(self)

    def to_river(self) -> Any:
        from river import optim

        return getattr(optim.losses, type(self).__name__)(*self.numbers)


class BinaryLoss(Loss):
    """For a target that is 0 or 1; the score is a probability."""

    __slots__ = ()
    mean: ClassVar[str] = "logistic_mean"


class RegressionLoss(Loss):
    """For a number; the score is a number."""

    __slots__ = ()
    mean: ClassVar[str] = "identity_mean"


@declaration
class Log(BinaryLoss):
    """Logarithmic loss with a weight for each class (river.optim.losses.Log)."""

    weight_pos: float = 1.0
    weight_neg: float = 1.0

    gradient: ClassVar[str] = "log_gradient"

    def __post_init__(self) -> None:
        check_number(self, "weight_pos", least=0.0)
        check_number(self, "weight_neg", least=0.0)


@declaration
class Hinge(BinaryLoss):
    """Hinge loss (river.optim.losses.Hinge). A point exactly on the margin counts as a violation, as in River."""

    threshold: float = 1.0

    gradient: ClassVar[str] = "hinge_gradient"

    def __post_init__(self) -> None:
        check_number(self, "threshold")


@declaration
class BinaryFocalLoss(BinaryLoss):
    """The "star" form of Lin et al. 2017 (river.optim.losses.BinaryFocalLoss)."""

    gamma: float = 2.0
    beta: float = 1.0

    gradient: ClassVar[str] = "focal_gradient"

    def __post_init__(self) -> None:
        check_number(self, "gamma", above=0.0)
        check_number(self, "beta")


@declaration
class Squared(RegressionLoss):
    """Squared loss, whose gradient is twice the error (river.optim.losses.Squared)."""

    gradient: ClassVar[str] = "squared_gradient"


@declaration
class Absolute(RegressionLoss):
    """Absolute loss (river.optim.losses.Absolute). Its gradient at an error of 0 is -1, as in River."""

    gradient: ClassVar[str] = "absolute_gradient"


@declaration
class Huber(RegressionLoss):
    """Huber loss (river.optim.losses.Huber)."""

    epsilon: float = 0.1

    gradient: ClassVar[str] = "huber_gradient"

    def __post_init__(self) -> None:
        check_number(self, "epsilon", least=0.0)


@declaration
class Quantile(RegressionLoss):
    """Quantile loss (river.optim.losses.Quantile)."""

    alpha: float = 0.5

    gradient: ClassVar[str] = "quantile_gradient"

    def __post_init__(self) -> None:
        check_number(self, "alpha", least=0.0, most=1.0)


@declaration
class Cauchy(RegressionLoss):
    """Cauchy loss (river.optim.losses.Cauchy)."""

    C: float = 80.0

    gradient: ClassVar[str] = "cauchy_gradient"

    def __post_init__(self) -> None:
        check_number(self, "C", above=0.0)


@declaration
class EpsilonInsensitiveHinge(RegressionLoss):
    """River's river.optim.losses.EpsilonInsensitiveHinge, which aims at `2 * target - 1` rather than at the target."""

    eps: float = 0.1

    gradient: ClassVar[str] = "epsilon_insensitive_gradient"

    def __post_init__(self) -> None:
        check_number(self, "eps", least=0.0)


@declaration
class Poisson(RegressionLoss):
    """Poisson loss for counts, whose score is exp of the linear sum (river.optim.losses.Poisson)."""

    gradient: ClassVar[str] = "poisson_gradient"
    mean: ClassVar[str] = "exponential_mean"
