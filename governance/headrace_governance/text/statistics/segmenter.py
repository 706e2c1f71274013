"""jieba's segmentation (0.42, accurate mode with HMM), compiled.

jieba cuts a text in blocks of Han characters, Latin letters and digits. In a block the most probable path over the dictionary's
words is taken, from the end to the beginning; runs of single characters that are left over go to a hidden Markov model.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import numpy.typing as npt


def import_jieba() -> Any:
    """jieba, whose prepared dictionary lies in a folder of ours: it would believe any /tmp/jieba.cache, whoever wrote it."""
    import jieba

    from headrace_lake.storage.object_cache import cache_folder

    jieba.setLogLevel(60)  # it announces its dictionary on standard error
    jieba.dt.tmp_dir = str(cache_folder())
    return jieba


class Segmenter:
    """Cuts texts into words, with the dictionary that jieba loads by default and the model that it ships."""

    def __init__(self) -> None:
        from headrace_governance.text.statistics import segmenter_kernels

        jieba = import_jieba()
        jieba.dt.initialize()
        self._kernels = segmenter_kernels
        self._frequencies: dict[str, int] = jieba.dt.FREQ
        self._total = log(jieba.dt.total)
        self._slots, self._logs, self._longest = _dictionary(jieba.dt.FREQ)
        self._first, self._steps, self._emissions = _model()

    def places(self, points: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Starts and ends of the words of a text, given as its code points; white space is left out."""
        starts, ends = np.empty(len(points), np.int64), np.empty(len(points), np.int64)
        n = self._kernels.segment(
            points, self._slots, self._logs, self._longest, self._total, self._first, self._steps, self._emissions, starts, ends
        )
        return starts[:n], ends[:n]

    def cut(self, text: str) -> list[str]:
        """The words of a text, white space left out."""
        starts, ends = self.places(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32))
        return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def frequency(self, word: str) -> int:
        """jieba's count of a word; 0 if it is none."""
        return self._frequencies.get(word, 0)


def _dictionary(frequencies: dict[str, int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64], int]:
    """Hash table of the dictionary: hash of the entry, logarithm of its frequency (not a number for a mere prefix)."""
    from headrace_governance.text.statistics import segmenter_kernels

    entries = list(frequencies)
    points = np.frombuffer("".join(entries).encode("utf-32-le", "surrogatepass"), np.uint32)
    ends = np.cumsum([len(e) for e in entries])
    logs = np.array([log(n) if n else np.nan for n in frequencies.values()])
    size = 1 << (2 * len(entries)).bit_length()
    slots, values = np.zeros(size, np.uint64), np.zeros(size, np.float64)
    segmenter_kernels.fill_dictionary(points, ends, logs, slots, values)
    return slots, values, max(map(len, entries))


def _model() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Logarithms of the hidden Markov model: first states, transitions, emissions by Han character."""
    from jieba.finalseg import emit_P, start_P, trans_P

    from headrace_governance.text.statistics.segmenter_kernels import FIRST_HAN, IMPOSSIBLE, LAST_HAN

    states = "BEMS"
    first = np.array([start_P[s] for s in states])
    steps: npt.NDArray[np.float64] = np.array([[trans_P[a].get(b, IMPOSSIBLE) for b in states] for a in states])
    emissions = np.full((len(states), LAST_HAN - FIRST_HAN + 1), IMPOSSIBLE)
    for row, state in enumerate(states):
        known: dict[str, Any] = emit_P[state]
        for character, value in known.items():
            if FIRST_HAN <= ord(character) <= LAST_HAN:
                emissions[row, ord(character) - FIRST_HAN] = value
    return first, steps, emissions
