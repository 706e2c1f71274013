"""splitmix64's finaliser (Steele, Lea and Flood 2014) for compiled loops: every bit of a number decides every bit of its hash.

Imported only where such a loop is, because numba is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def mixed(h: Any) -> Any:
    """uint64 hash of an integer."""
    h = np.uint64(h)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))
