"""One weight's step of each optimizer, in River's order of operations.

A weight's row of its table holds the weight, then what its optimizer remembers, then (with l1) its cumulated penalty.
"""

import math

from stream.kernels import kernel
from stream.kernels.elementary import power
from stream.models.kernels.arguments import BETA_1_POWER, BETA_2_POWER, OPTIMIZER, State
from stream.records import Floats


@kernel
def constant_rate(parameters: Floats, at: int, iterations: float) -> float:
    return float(parameters[at])


@kernel
def inverse_scaling_rate(parameters: Floats, at: int, iterations: float) -> float:
    return float(parameters[at] / power(iterations + 1.0, parameters[at + 1]))


@kernel
def sgd_rate(rate: float, state: State, parameters: Floats) -> float:
    return rate


ada_grad_rate = sgd_rate
ftrl_rate = sgd_rate


@kernel
def adam_rate(rate: float, state: State, parameters: Floats) -> float:
    """The rate with Adam's bias corrections, from running powers of the betas.

    Below 1e-30 a power becomes 0: it is lost beside 1 all the same, and numbers below 1e-308 would be slow.
    """
    beta_1_power = state.scalars[BETA_1_POWER] * parameters[OPTIMIZER]
    beta_2_power = state.scalars[BETA_2_POWER] * parameters[OPTIMIZER + 1]
    state.scalars[BETA_1_POWER] = beta_1_power if beta_1_power > 1e-30 else 0.0
    state.scalars[BETA_2_POWER] = beta_2_power if beta_2_power > 1e-30 else 0.0
    return float(rate * math.sqrt(1.0 - beta_2_power) / (1.0 - beta_1_power))


@kernel
def sgd(table: Floats, f: int, gradient: float, rate: float, parameters: Floats) -> None:
    table[f, 0] -= rate * gradient


@kernel
def ada_grad(table: Floats, f: int, gradient: float, rate: float, parameters: Floats) -> None:
    table[f, 1] += gradient * gradient
    table[f, 0] -= rate / math.sqrt(table[f, 1] + parameters[OPTIMIZER]) * gradient


@kernel
def adam(table: Floats, f: int, gradient: float, rate: float, parameters: Floats) -> None:
    beta_1 = parameters[OPTIMIZER]
    beta_2 = parameters[OPTIMIZER + 1]
    table[f, 1] = beta_1 * table[f, 1] + (1.0 - beta_1) * gradient
    table[f, 2] = beta_2 * table[f, 2] + (1.0 - beta_2) * (gradient * gradient)
    table[f, 0] -= rate * table[f, 1] / (math.sqrt(table[f, 2]) + parameters[OPTIMIZER + 2])


@kernel
def ftrl(table: Floats, f: int, gradient: float, rate: float, parameters: Floats) -> None:
    alpha = parameters[OPTIMIZER]
    beta = parameters[OPTIMIZER + 1]
    l1 = parameters[OPTIMIZER + 2]
    l2 = parameters[OPTIMIZER + 3]
    z = table[f, 1]
    root = math.sqrt(table[f, 2])
    if abs(z) > l1:
        table[f, 0] = -(z - (l1 if z > 0.0 else -l1)) / ((beta + root) / alpha + l2)
    square = gradient * gradient
    step = (math.sqrt(table[f, 2] + square) - root) / alpha
    table[f, 1] = z + (gradient - step * table[f, 0])
    table[f, 2] += square


@kernel
def penalise(table: Floats, f: int, cumulated: float) -> None:
    """Tsuruoka, Tsujii and Ananiadou 2009: bring the weight towards 0 by the L1 penalty it has not had yet."""
    last = table.shape[1] - 1
    weight = table[f, 0]
    penalised = weight
    if weight > 0.0:
        penalised = max(0.0, weight - (cumulated + table[f, last]))
    elif weight < 0.0:
        penalised = min(0.0, weight + (cumulated - table[f, last]))
    table[f, 0] = penalised
    table[f, last] += penalised - weight
