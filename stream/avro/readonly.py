"""Arrays as kernels get them."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Number = TypeVar("_Number", np.uint8, np.int64, np.bool_)


def readonly(array: NDArray[_Number]) -> NDArray[_Number]:
    """A contiguous view that is not writable, whatever the original is: one type for numba, compiled once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
