"""Arrays that grow part by part and move to a file when they grow large.

The file has no name: it lies in the folder for temporary files and is gone with the process, however that ends. It is mapped, so
what is read of it is memory that the system takes back when it needs it.
"""

from __future__ import annotations

import tempfile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

MOST_HELD = 64 << 20
"""Bytes of one array that stay in memory."""
_AT_ONCE = 1 << 16
"""Rows that are put in order at once."""


class Gathered:
    """Rows of one dtype and shape.

    Attributes:
        dtype, shape: of a row.
    """

    def __init__(self, dtype: str, shape: tuple[int, ...], most_held: int | None = None) -> None:
        self.dtype, self.shape = dtype, shape
        self._most = MOST_HELD if most_held is None else most_held
        self._parts: list[npt.NDArray[Any]] = []
        self._held = self._rows = 0
        self._file: IO[bytes] | None = None

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Append rows."""
        self._rows += len(rows)
        self._held += rows.nbytes
        self._parts.append(rows)
        if self._held > self._most:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the array
            for part in self._parts:
                self._file.write(np.ascontiguousarray(part).data)
            self._parts, self._held = [], 0

    def array(self, order: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """All rows, in the order in which they came or in another; nothing can be added afterwards."""
        if self._file is None:
            rows = np.concatenate(self._parts) if self._parts else np.empty((0, *self.shape), self.dtype)
            return rows if order is None else rows[order]
        for part in self._parts:
            self._file.write(np.ascontiguousarray(part).data)
        self._parts = []
        rows = self._mapped(self._file)
        if order is None:
            return rows
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the array
        for at in range(0, self._rows, _AT_ONCE):
            file.write(np.ascontiguousarray(rows[order[at : at + _AT_ONCE]]).data)
        self._file.close()
        return self._mapped(file)

    def _mapped(self, file: IO[bytes]) -> npt.NDArray[Any]:
        file.flush()
        return np.memmap(file, self.dtype, "r", shape=(self._rows, *self.shape))
