"""What the characters of words are: pure punctuation, a letter among them."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

SYMBOL, LETTER, MARK = 1, 2, 4
"""All characters in datatrove's PUNCTUATION_SET; one for which `str.isalpha` holds; all of Unicode's categories P."""
_SEEN = 8


def word_flags(points: npt.NDArray[np.uint32], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """uint8 flags of words that stand one after another as code points; an empty word has all but LETTER."""
    from headrace_governance.text.statistics.kernels import flags_of_words

    table = _table()
    for point in np.unique(points[table[points] == 0]).tolist():
        table[point] = _flags(chr(point))
    out: npt.NDArray[np.uint8] = flags_of_words(points, lengths, table)
    return out


@lru_cache(maxsize=1)
def _table() -> npt.NDArray[np.uint8]:
    """Flags of the code points that a word had, else 0."""
    return np.zeros(0x110000, np.uint8)


def _flags(c: str) -> int:
    from datatrove.utils.text import PUNCTUATION_SET

    return _SEEN | SYMBOL * (c in PUNCTUATION_SET) | LETTER * c.isalpha() | MARK * unicodedata.category(c).startswith("P")
