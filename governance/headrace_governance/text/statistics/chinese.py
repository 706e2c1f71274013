"""jieba's segmentation (0.42, accurate mode with HMM), its search for the best path compiled.

jieba cuts a text in blocks of Han characters, Latin letters and digits; a block's words depend on the block alone. In a block the
most probable path over the dictionary's words is taken, from the end to the beginning; runs of single characters that are left
over go to jieba's hidden Markov model, which is called as it is and remembered by run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

_RUNS_REMEMBERED = 1 << 16


class Segmenter:
    """Cuts blocks into words, with the dictionary that jieba loads by default."""

    def __init__(self) -> None:
        import jieba
        from jieba import finalseg

        from headrace_governance.text.statistics import kernels

        jieba.setLogLevel(60)  # it announces its dictionary on standard error
        jieba.dt.initialize()
        self._kernels = kernels
        self._frequencies: dict[str, int] = jieba.dt.FREQ
        self._unknown = lru_cache(maxsize=_RUNS_REMEMBERED)(lambda run: tuple(finalseg.cut(run)))
        self._blocks = re.compile(f"{jieba.re_han_default.pattern}|(\\S)")
        self._is_block = jieba.re_han_default
        self._total = log(jieba.dt.total)
        self._slots, self._logs, self._longest = self._table()

    def _table(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64], int]:
        """Hash table of the dictionary: hash of the entry, logarithm of its frequency (not a number for a mere prefix)."""
        entries = list(self._frequencies)
        points = np.frombuffer("".join(entries).encode("utf-32-le", "surrogatepass"), np.uint32)
        ends = np.cumsum([len(e) for e in entries])
        logs = np.array([log(n) if n else np.nan for n in self._frequencies.values()])
        size = 1 << (2 * len(entries)).bit_length()
        slots, values = np.zeros(size, np.uint64), np.zeros(size, np.float64)
        self._kernels.fill_dictionary(points, ends, logs, slots, values)
        return slots, values, max(map(len, entries))

    def blocks(self, text: str) -> Iterator[str]:
        """Blocks and single other characters, white space left out."""
        return (m[0] for m in self._blocks.finditer(text))

    def cut(self, block: str) -> list[str]:
        """The words of a block."""
        if not self._is_block.match(block):
            return [block]
        points: Any = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), np.uint32)
        ends = np.zeros(len(points), np.int64)
        self._kernels.best_path(points, self._slots, self._logs, self._longest, self._total, ends)
        out: list[str] = []
        run = at = 0
        steps = ends.tolist()
        while at < len(steps):
            end = steps[at]
            if end - at > 1:
                self._left_over(block[run:at], out)
                out.append(block[at:end])
                run = end
            at = end
        self._left_over(block[run:], out)
        return out

    def frequency(self, word: str) -> int:
        """jieba's count of a word; 0 if it is none."""
        return self._frequencies.get(word, 0)

    def _left_over(self, run: str, out: list[str]) -> None:
        """A run of single characters: as it is if it is one or an entry, else by the model."""
        if len(run) < 2 or self._frequencies.get(run):
            out += run  # character by character
        else:
            out += self._unknown(run)
