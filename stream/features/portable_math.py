"""What the name `math` means in a user's numba function: the same functions, with the same bits on every machine."""

from math import ceil, e, floor, inf, isfinite, isinf, isnan, nan, pi, sqrt

from stream.kernels.elementary import atan2, cos, exp, expm1, log, log1p, sin, tanh
from stream.kernels.elementary import power as pow

__all__ = [
    "atan2", "ceil", "cos", "e", "exp", "expm1", "floor", "inf", "isfinite", "isinf", "isnan", "log", "log1p", "nan",
    "pi", "pow", "sin", "sqrt", "tanh",
]  # fmt: skip
