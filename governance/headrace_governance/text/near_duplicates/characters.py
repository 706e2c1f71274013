"""How a code point counts for comparison: what belongs to a word, what stands alone, and what it is folded to.

Words are runs of letters, numbers and marks, folded as datatrove's deduplication does: compatibility forms to plain ones, lower
case, no diacritics. Numbers stay, because a text with other numbers is another text. In scripts that do not put spaces between
words every character is a unit of its own; that is decided by the character, so a wrong language label ruins nothing.
"""

from __future__ import annotations

import unicodedata

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
_ASSIGNED = 0x40000


def fold_table() -> npt.NDArray[np.uint32]:
    """uint32[0x110000]: folded code point with flags, `SEPARATOR` or `SKIPPED`; takes about 0.2 s."""
    table = np.zeros(CODE_POINTS, np.uint32)
    for first, last in (*_UNIFORM, _HANGUL):
        table[first:last] = np.arange(first, last, dtype=np.uint32)
    point = 0
    while point < _ASSIGNED:
        jump = next((last for first, last in (*_UNIFORM, _HANGUL, (0xD800, 0xE000)) if first <= point < last), None)
        if jump is not None:
            point = jump
            continue
        table[point] = _folded(chr(point))
        point += 1
    for low, high in _UNSPACED:
        part = table[low : high + 1]
        part[part > SKIPPED] |= np.uint32(ALONE)
    return table


def _folded(character: str) -> int:
    if ord(character) in _DIACRITICS:
        return SKIPPED
    if unicodedata.category(character)[0] not in "LNM":
        return SEPARATOR
    base = [c for c in unicodedata.normalize("NFKD", character) if ord(c) not in _DIACRITICS] or [character]
    lower = base[0].lower()[0]
    flags = (DIGIT if lower.isdecimal() else 0) | (UPPER if base[0] != lower else 0)
    return ord(lower) | flags
