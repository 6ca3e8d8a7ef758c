"""The rows of all keys of one group: a keyed table, and beside it the fields of each key."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream.errors import TaskCorrupted
from stream.kernels.key_table import KeyTable
from stream.kernels.pages import Paged
from stream.kernels.reserved import reserved


class KeyedRows:
    """Rows of `width` 8-byte fields by key, within a byte budget. The table's page marks are the rows' too."""

    def __init__(self, width: int, table_bytes: int, expiry_ms: int | None) -> None:
        self.table = KeyTable(table_bytes, 8 * width, expiry_ms)
        self._rows = reserved((self.table.max_rows, width))

    def reserve(self, new_keys: int) -> None:
        """Make room for so many more keys, as far as the budget allows."""
        self.table.reserve(new_keys)

    def kernel_arrays(self) -> tuple[object, ...]:
        """The table and the rows."""
        return self.table.live, self._rows

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """The live arrays, cut to what was ever used."""
        return {**self.table.arrays(), "rows": self._rows[: self.table.rows]}

    def paged(self) -> dict[str, Paged]:
        """Those of `arrays` that are large, with the marks of their pages, which the table and the rows share."""
        entries = self.table.paged
        return {"entries": entries, "rows": entries._replace(array=self._rows)}

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over saved arrays.

        Raises:
            TaskCorrupted: where they are not those of such rows.
        """
        rows = arrays["rows"]
        if rows.dtype != np.int64 or rows.shape != (len(arrays["entries"]), self._rows.shape[1]):
            raise TaskCorrupted(
                f"features: rows of keys are {rows.dtype}{rows.shape}, "
                f"expected int64 ({len(arrays['entries'])}, {self._rows.shape[1]}); restore an older snapshot"
            )
        self.table.load({name: array for name, array in arrays.items() if name != "rows"})  # type: ignore[misc]
        self._rows = reserved(self._rows.shape)
        self._rows[: len(rows)] = rows
