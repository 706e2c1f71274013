"""How a code point counts for comparison: what belongs to a word, what stands alone, and what it is folded to.

Words are runs of letters, numbers and marks, folded as datatrove's deduplication does: compatibility forms to plain ones, lower
case, no diacritics. Numbers stay, because a text with other numbers is another text. In scripts that do not put spaces between
words every character is a unit of its own; that is decided by the character, so a wrong language label ruins nothing.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

CODE_POINTS = 0x110000
SEPARATOR, SKIPPED = 0, 1
"""Values that stand for no letter: between words, and inside a word without counting (combining diacritics)."""
ALONE, DIGIT, UPPER = 1 << 31, 1 << 30, 1 << 29
"""Flags above the folded code point."""
_DIACRITICS = range(0x300, 0x370)
_UNSPACED = (
    (0x0E00, 0x0E7F), (0x0E80, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007),
    (0x3041, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9D), (0x20000, 0x323AF),
)  # fmt: skip
"""Thai, Lao, Tibetan, Myanmar, Khmer, Han, Hiragana, Katakana."""
_UNIFORM = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0x20000, 0x323B0))
_HANGUL = (0xAC00, 0xD7A4)
_SURROGATES = (0xD800, 0xE000)
_ASSIGNED = 0x40000


@cache
def fold_table() -> npt.NDArray[np.uint32]:
    """uint32[0x110000]: folded code point with flags, `SEPARATOR` or `SKIPPED`; read-only, made once a process in about 60 ms."""
    table = np.zeros(CODE_POINTS, np.uint32)
    for first, last in (*_UNIFORM, _HANGUL):
        table[first:last] = np.arange(first, last, dtype=np.uint32)
    uniform = np.zeros(_ASSIGNED, np.bool_)
    for first, last in (*_UNIFORM, _HANGUL, _SURROGATES):
        uniform[first:last] = True
    rest = [c for c in map(chr, np.flatnonzero(~uniform).tolist()) if unicodedata.category(c)[0] in "LNM"]
    table[[ord(c) for c in rest]] = _folded(rest)
    table[_DIACRITICS.start : _DIACRITICS.stop] = SKIPPED
    for low, high in _UNSPACED:
        part = table[low : high + 1]
        part[part > SKIPPED] |= np.uint32(ALONE)
    table.setflags(write=False)
    return table


def _folded(characters: list[str]) -> npt.NDArray[np.uint32]:
    """Letters, numbers and marks, folded. All at once, on lines of their own: that keeps each from its neighbours, whose marks
    would be reordered together and before whose end a capital sigma would be a final one.
    """
    plain = unicodedata.normalize("NFKD", "\n".join(characters)).split("\n")
    base = [p[0] for p in plain]
    for i in np.flatnonzero((_code_points(base) >= _DIACRITICS.start) & (_code_points(base) < _DIACRITICS.stop)).tolist():
        base[i] = next((c for c in plain[i] if ord(c) not in _DIACRITICS), characters[i])
    lower = [low[0] for low in "\n".join(base).lower().split("\n")]
    folded = _code_points(lower)
    folded[[c.isdecimal() for c in lower]] |= np.uint32(DIGIT)
    folded[_code_points(base) != _code_points(lower)] |= np.uint32(UPPER)
    return folded


def _code_points(characters: list[str]) -> npt.NDArray[np.uint32]:
    return np.frombuffer("".join(characters).encode("utf-32-le"), "<u4").astype(np.uint32)
