"""Mean functions and gradients of losses with respect to the linear sum, in River's order of operations."""

from stream.kernels import kernel
from stream.kernels.elementary import exp, sigmoid
from stream.models.kernels.arguments import LOSS
from stream.records import Floats


@kernel
def logistic_mean(total: float) -> float:
    """River's sigmoid: exactly 0 below -30 and exactly 1 above 30."""
    if total < -30.0:
        return 0.0
    if total > 30.0:
        return 1.0
    return float(sigmoid(total))


@kernel
def identity_mean(total: float) -> float:
    return total


@kernel
def exponential_mean(total: float) -> float:
    return float(exp(total))


@kernel
def log_gradient(target: float, total: float, parameters: Floats) -> float:
    """Linear beyond |18|, as in River."""
    sign = -1.0 if target == 0.0 else 1.0
    weight = parameters[LOSS + 1] if target == 0.0 else parameters[LOSS]
    z = total * sign
    if z > 18.0:
        return float(weight * exp(-z) * -sign)
    if z < -18.0:
        return float(weight * -sign)
    return float(weight * -sign / (exp(z) + 1.0))


@kernel
def hinge_gradient(target: float, total: float, parameters: Floats) -> float:
    sign = target * 2.0 - 1.0
    return -sign if sign * total <= parameters[LOSS] else 0.0


@kernel
def focal_gradient(target: float, total: float, parameters: Floats) -> float:
    sign = target * 2.0 - 1.0
    return float(sign * (logistic_mean(parameters[LOSS] * (sign * total) + parameters[LOSS + 1]) - 1.0))


@kernel
def squared_gradient(target: float, total: float, parameters: Floats) -> float:
    return 2.0 * (total - target)


@kernel
def absolute_gradient(target: float, total: float, parameters: Floats) -> float:
    return 1.0 if total > target else -1.0


@kernel
def huber_gradient(target: float, total: float, parameters: Floats) -> float:
    error = total - target
    if abs(error) <= parameters[LOSS]:
        return error
    return float(parameters[LOSS] if error > 0.0 else -parameters[LOSS])


@kernel
def quantile_gradient(target: float, total: float, parameters: Floats) -> float:
    return float((1.0 if target < total else 0.0) - parameters[LOSS])


@kernel
def cauchy_gradient(target: float, total: float, parameters: Floats) -> float:
    error = total - target
    scaled = error / parameters[LOSS]
    return float(error / (scaled * scaled + 1.0))


@kernel
def epsilon_insensitive_gradient(target: float, total: float, parameters: Floats) -> float:
    """Aims at `2 * target - 1`, as River does."""
    aim = target * 2.0 - 1.0
    if total > aim + parameters[LOSS]:
        return 1.0
    return -1.0 if total + parameters[LOSS] < aim else 0.0


@kernel
def poisson_gradient(target: float, total: float, parameters: Floats) -> float:
    return float(exp(total) - target)
