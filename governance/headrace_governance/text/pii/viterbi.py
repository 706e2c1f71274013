"""The most probable path of a conditional random field, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def viterbi(emissions: Any, transitions: Any) -> Any:
    """int64[length]: the path over float32[length, tags] and float32[from, to]; of equal ones the lower tag."""
    length, tags = emissions.shape
    back = np.zeros((length, tags), np.int64)
    scores = emissions[0].copy()
    for at in range(1, length):
        following = np.empty(tags, np.float32)
        for to in range(tags):
            best, where = scores[0] + transitions[0, to], 0
            for tag in range(1, tags):
                value = scores[tag] + transitions[tag, to]
                if value > best:
                    best, where = value, tag
            following[to] = best + emissions[at, to]
            back[at, to] = where
        scores = following
    path = np.zeros(length, np.int64)
    path[length - 1] = np.argmax(scores)
    for at in range(length - 1, 0, -1):
        path[at - 1] = back[at, path[at]]
    return path
