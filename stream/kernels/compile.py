"""The one decorator that owns every numba option."""

from collections.abc import Callable
from typing import Any

import numba
from numba.extending import intrinsic as _numba_intrinsic

Kernel = Callable[..., Any]


def kernel(function: Kernel) -> Kernel:
    """Compile `function` with the options of the house: nogil, strict IEEE arithmetic, no implicit parallelism.

    Kernels take arrays and scalars (eight parameters at most), allocate nothing in loops and treat NaN as missing.
    Division by zero gives inf or NaN, as IEEE says; indices are not checked.
    """
    return numba.njit(nogil=True, fastmath=False, error_model="numpy", boundscheck=False)(function)  # type: ignore[no-any-return]


def intrinsic(function: Kernel) -> Kernel:
    """An operation given as LLVM instructions, for kernels to call. See numba.extending.intrinsic."""
    return _numba_intrinsic(function)  # type: ignore[no-any-return]
