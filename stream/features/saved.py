"""What saved arrays of features hold, for whoever has no plan to load them with."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream.kernels.table import KEYS


def keys_in(arrays: Mapping[str, NDArray[np.generic]]) -> int:
    """How many keys they hold, those of every keyed table together.

    Args:
        arrays: as `FeatureState.arrays` gave them.
    """
    tables = [array for name, array in arrays.items() if name.startswith("keys") and name.endswith(".state")]
    return sum(int(table[KEYS]) for table in tables)
