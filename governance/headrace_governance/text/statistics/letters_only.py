"""Whether a pattern can find anything in a text of letters.

Most stretches between white space are plain words, and most of spaCy's patterns look for marks and digits. Where that can be seen from a
pattern's own parse tree, a plain word need not be searched.
"""

from __future__ import annotations

import re
from re import _constants as op  # type: ignore[attr-defined]  # what the patterns are compiled from; it has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any


def finds_nothing_in_letters(pattern: re.Pattern[str]) -> bool:
    """Whether every match needs a character for which `str.isalpha` is false; where the tree does not show it, the answer is no."""
    tree = parser.parse(pattern.pattern, pattern.flags)
    if tree.state.flags & re.IGNORECASE:  # then a mark may stand for a letter (U+0345 for iota)
        return False
    return _needs_another(tree)


def _needs_another(sequence: Any) -> bool:
    return any(_node_needs_another(code, value) for code, value in sequence)


def _node_needs_another(code: Any, value: Any) -> bool:
    if code is op.LITERAL:
        return not chr(value).isalpha()
    if code is op.IN:
        return all(_is_no_letter(*item) for item in value)
    if code is op.BRANCH:
        return all(_needs_another(branch) for branch in value[1])
    if code is op.SUBPATTERN:
        return not value[1] & re.IGNORECASE and _needs_another(value[3])
    if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return value[0] > 0 and _needs_another(value[2])
    if code is op.ASSERT:  # what stands before or after belongs to the text too
        return _needs_another(value[1])
    return code is op.ATOMIC_GROUP and _needs_another(value)


def _is_no_letter(code: Any, value: Any) -> bool:
    if code is op.LITERAL:
        return not chr(value).isalpha()
    if code is op.RANGE:
        return not any(chr(point).isalpha() for point in range(value[0], value[1] + 1))
    return code is op.CATEGORY and value in (op.CATEGORY_DIGIT, op.CATEGORY_SPACE)
