"""Optimizers of linear models: River's, by River's names and parameters."""

from typing import Any, ClassVar

from stream.models.declaration import Declaration, check_number, declaration, numbers_of
from stream.models.schedules import Rate, check_rate, rate_kernel, rate_numbers, river_rate


class Optimizer(Declaration):
    """How weights follow gradients. `slots` numbers a weight are kept besides the weight itself."""

    __slots__ = ()
    kernel: ClassVar[str]
    slots: ClassVar[int]

    @property
    def schedule(self) -> Rate | None:
        """The learning rate; None where the optimizer has none."""
        return getattr(self, "lr", None)

    @property
    def numbers(self) -> tuple[float, ...]:
        """What its kernel reads: the parameters but the learning rate, four at most."""
        return numbers_of(self)[isinstance(self.schedule, int | float) :]

    @property
    def rate_kernel(self) -> str:
        return rate_kernel(0.0 if self.schedule is None else self.schedule)

    @property
    def rate_numbers(self) -> tuple[float, float]:
        return rate_numbers(0.0 if self.schedule is None else self.schedule)


@declaration
class SGD(Optimizer):
    """Plain stochastic gradient descent (river.optim.SGD)."""

    lr: Rate = 0.01  # learning rate

    kernel: ClassVar[str] = "sgd"
    slots: ClassVar[int] = 0

    def __post_init__(self) -> None:
        check_rate(self, "lr")

    def to_river(self) -> Any:
        from river import optim

        return optim.SGD(river_rate(self.lr))


@declaration
class AdaGrad(Optimizer):
    """Duchi, Hazan and Singer 2011 (river.optim.AdaGrad)."""

    lr: Rate = 0.1  # learning rate
    eps: float = 1e-8  # keeps a division from 0

    kernel: ClassVar[str] = "ada_grad"
    slots: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_rate(self, "lr")
        check_number(self, "eps", above=0.0)

    def to_river(self) -> Any:
        from river import optim

        return optim.AdaGrad(river_rate(self.lr), self.eps)


@declaration
class Adam(Optimizer):
    """Kingma and Ba 2014 (river.optim.Adam). As in River, moments of a feature stand still while it is missing."""

    lr: Rate = 0.1  # learning rate
    beta_1: float = 0.9  # fading of the gradients' mean
    beta_2: float = 0.999  # fading of their squares' mean
    eps: float = 1e-8  # keeps a division from 0

    kernel: ClassVar[str] = "adam"
    slots: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_rate(self, "lr")
        check_number(self, "beta_1", least=0.0, most=0.999999)
        check_number(self, "beta_2", least=0.0, most=0.999999)
        check_number(self, "eps", above=0.0)

    def to_river(self) -> Any:
        from river import optim

        return optim.Adam(river_rate(self.lr), self.beta_1, self.beta_2, self.eps)


@declaration
class FTRLProximal(Optimizer):
    """McMahan et al. 2013 (river.optim.FTRLProximal).

    As in River, and unlike the paper: the gradient comes from the weights as they were before this event's refresh, and
    a weight whose |z| is within l1 keeps its value instead of becoming 0.
    """

    alpha: float = 0.05  # learning rate of each weight
    beta: float = 1.0  # smooths it for a weight's first events
    l1: float = 0.0  # penalty on absolute weights
    l2: float = 1.0  # penalty on squared weights

    kernel: ClassVar[str] = "ftrl"
    slots: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_number(self, "alpha", above=0.0)
        check_number(self, "beta", above=0.0)
        check_number(self, "l1", least=0.0)
        check_number(self, "l2", least=0.0)

    def to_river(self) -> Any:
        from river import optim

        return optim.FTRLProximal(self.alpha, self.beta, self.l1, self.l2)


FTRL = FTRLProximal
