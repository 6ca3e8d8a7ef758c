"""Numba kernels that more than one room uses, and the one decorator that compiles every kernel of the project."""

from stream.kernels.cache import use_cache
from stream.kernels.compile import compilations, compile_seconds, intrinsic, kernel, on_compile
from stream.kernels.digest import digest_of
from stream.kernels.generated import load_generated

__all__ = [
    "compilations",
    "compile_seconds",
    "digest_of",
    "intrinsic",
    "kernel",
    "load_generated",
    "on_compile",
    "use_cache",
]
