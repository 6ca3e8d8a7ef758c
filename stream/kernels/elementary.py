"""The elementary functions that kernels use instead of libm, whose results differ between machines (rule 26).

All are made of + - * / and bit operations on float64, without fused multiply-adds, so every IEEE machine gets the same
bits; each is within 1 ulp of the exact value (measured figures: tests/kernels/test_elementary.py).
"""

from stream.kernels.arctangent import atan2
from stream.kernels.exponential import exp, expm1, sigmoid, tanh
from stream.kernels.logarithm import log, log1p
from stream.kernels.power import power
from stream.kernels.trigonometric import cos, sin

__all__ = ["atan2", "cos", "exp", "expm1", "log", "log1p", "power", "sigmoid", "sin", "tanh"]
