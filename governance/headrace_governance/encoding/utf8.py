"""Texts as their UTF-8 bytes, for compiled loops: the buffers of an Arrow column, and the code point at a byte.

Imported only where such a loop is, because numba is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

Int64 = Any
"""An int64 of numpy until it is compiled; Python's `int` elsewhere stands for the same."""


def buffers(column: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """UTF-8 bytes and int64[n + 1] offsets of a large_string array, without a copy."""
    if not len(column):
        return np.zeros(1, np.uint8), np.zeros(1, np.int64)
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8), places


@njit(cache=True)
def code_point(data: Any, at: int) -> tuple[Int64, int]:
    """Code point and length in bytes of the character at `at`, in valid UTF-8."""
    b = np.int64(data[at])
    if b < 0x80:
        return b, 1
    if b < 0xE0:
        return ((b & 0x1F) << 6) | (np.int64(data[at + 1]) & 0x3F), 2
    if b < 0xF0:
        return ((b & 0x0F) << 12) | ((np.int64(data[at + 1]) & 0x3F) << 6) | (np.int64(data[at + 2]) & 0x3F), 3
    high = ((b & 0x07) << 18) | ((np.int64(data[at + 1]) & 0x3F) << 12)
    return high | ((np.int64(data[at + 2]) & 0x3F) << 6) | (np.int64(data[at + 3]) & 0x3F), 4
