"""How many events wait for their label, of a store that was saved."""

from collections.abc import Mapping

import numpy as np

from stream.engine import label_table as table
from stream.engine.spilled_rows import rows_waiting_outside
from stream.records import Array


def labels_awaited(arrays: Mapping[str, Array]) -> int:
    """Events whose label was not known yet, in memory and outside of it.

    Rows of events stay behind their label until the horizon is over, so that a second label is known for what it is:
    they wait for nothing.

    Args:
        arrays: as `LabelStore.arrays` gave them.
    """
    entries, marks = arrays["entries"], arrays["marks"]
    live = np.arange(marks[table.ENTRY_TAIL], marks[table.ENTRY_HEAD]) % len(entries)
    awaited = int(np.count_nonzero(entries[live, table.STATE] == table.WAITING))
    if "spilled_marks" in arrays:
        awaited += rows_waiting_outside(arrays["spilled_marks"], arrays["spilled_learned"])
    return awaited
