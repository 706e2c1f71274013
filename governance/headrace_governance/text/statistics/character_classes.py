"""What each code point is, as Python's `str` methods say it: one byte of flags a code point, for compiled loops."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

CODE_POINTS = 0x110000
SPACE, ALNUM, UPPER, DIGIT = 1, 2, 4, 8
"""`str.isspace`, `isalnum`, `isupper` and `isdigit` of the one character."""
_ASSIGNED = 0x33000
"""Beyond are not characters that have a flag."""


@lru_cache(maxsize=1)
def character_classes() -> npt.NDArray[np.uint8]:
    """uint8[0x110000]; takes about 0.1 s, once a process."""
    table = np.zeros(CODE_POINTS, np.uint8)
    for point in range(_ASSIGNED):
        c = chr(point)
        table[point] = SPACE * c.isspace() | ALNUM * c.isalnum() | UPPER * c.isupper() | DIGIT * c.isdigit()
    table.flags.writeable = False
    return table
