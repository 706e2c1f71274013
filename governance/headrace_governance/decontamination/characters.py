"""How a code point counts when a document is compared with an evaluation item.

The base is the folding of near duplicates (compatibility forms, case, diacritics; one unit a character in scripts without spaces).
On top of it comes what copies of test questions differ in: apostrophes and invisible characters inside a word do not count, the
two forms of sigma are one, a sharp s is two s, and Arabic and Hebrew points are left out.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from headrace_governance.duplicates.near.characters import SKIPPED, fold_table

TWICE = 1 << 28
"""Flag of a character that stands for its letter twice."""
_INSIDE_WORDS = "'\u2018\u2019\u02bc\uff07\u00ad\u200b\u200c\u200d\u2060\ufeff\u0640"
_POINTS = ((0x0591, 0x05BD), (0x064B, 0x065F), (0xFE00, 0xFE0F))


@cache
def comparison_table() -> npt.NDArray[np.uint32]:
    """uint32[0x110000] for `kernels.split_units`; made once a process."""
    table = fold_table().copy()
    for character in _INSIDE_WORDS:
        table[ord(character)] = SKIPPED
    for first, last in _POINTS:
        table[first : last + 1] = SKIPPED
    table[ord("ς")] = table[ord("σ")]
    for sharp_s in "ßẞ":
        table[ord(sharp_s)] = ord("s") | TWICE
    table.setflags(write=False)
    return table
