"""The compiled loop that counts the letters of each script in texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from headrace_governance.encoding.utf8 import buffers, code_point


def count_scripts(column: pa.Array, table: npt.NDArray[np.uint8], scripts: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(int64[n, scripts] letters, int64[n, 2] characters that are simplified or traditional only) of a large_string array."""
    data, places = buffers(column)
    counts, sides = np.zeros((len(column), scripts), np.int64), np.zeros((len(column), 2), np.int64)
    if len(column):
        _count(data, places, table, counts, sides)
    return counts, sides


@njit(cache=True)
def _count(data: Any, places: Any, table: Any, counts: Any, sides: Any) -> None:
    for row in range(len(places) - 1):
        at, last = places[row], places[row + 1]
        simplified = traditional = 0
        while at < last:
            point, size = code_point(data, at)
            at += size
            value = table[point]
            counts[row, value & 0x3F] += 1
            simplified += (value & 0x40) != 0
            traditional += (value & 0x80) != 0
        sides[row, 0], sides[row, 1] = simplified, traditional
