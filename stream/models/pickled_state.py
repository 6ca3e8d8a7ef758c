"""Whether two pickles of a River model say the same: their bytes may differ between models that behave alike."""

import io
import pickle

import numpy as np
from numpy.typing import NDArray


def say_the_same(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    """Compare what two pickled states hold, whatever objects in them are shared.

    A pickle writes an object that it met before as a reference. What is shared, such as the text of a feature's name,
    depends on how a model came about: learned in one go, or loaded half way.

    Args:
        one: (bytes,) uint8, as `arrays()["pickle"]` of a River model.
        other: the same.

    Returns:
        True if they are equal written out without references; False if not, or if a model refers to itself, so that
        it cannot be written so.
    """
    if one.tobytes() == other.tobytes():
        return True
    try:
        return _without_references(one) == _without_references(other)
    except (ValueError, RecursionError):
        return False


def _without_references(state: NDArray[np.generic]) -> bytes:
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=5)
    pickler.fast = True
    pickler.dump(pickle.loads(state.tobytes()))
    return out.getvalue()
