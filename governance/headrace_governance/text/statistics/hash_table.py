"""A hash table for compiled loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class HashTable:
    """Numbers by hash, open addressing, at most half full.

    Attributes:
        keys: uint64, 0 where free; values: int64; both of a power of two.
    """

    def __init__(self) -> None:
        from headrace_governance.text.statistics import kernels

        self._kernels = kernels
        self.keys = np.zeros(4096, np.uint64)
        self.values = np.zeros(4096, np.int64)
        self.size = 0

    def put_all(self, keys: npt.NDArray[np.uint64], values: npt.NDArray[np.int64]) -> None:
        """Add different hashes (not 0) that are not there yet."""
        size = len(self.keys)
        while 2 * (self.size + len(keys)) > size:
            size *= 4
        if size > len(self.keys):
            more = np.zeros(size, np.uint64), np.zeros(size, np.int64)
            self._kernels.rehash(self.keys, self.values, *more)
            self.keys, self.values = more
        self._kernels.put_all(self.keys, self.values, keys, values)
        self.size += len(keys)
