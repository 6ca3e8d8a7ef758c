"""Numba kernels that more than one room uses, and the one decorator that compiles every kernel of the project."""

from stream.kernels.compile import kernel

__all__ = ["kernel"]
