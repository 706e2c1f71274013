"""Raised, lowered and annotated text in the notation that all converters share, pages (`text/html_marks.py`) included.

`x²`, `H₂O`, `10⁻⁶` where Unicode has a form for every character, else `^` and `_` before it; `虐待（ぎゃくたい）` for an annotation.
"""

from __future__ import annotations

_RAISED = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")
_RAISED_ALREADY = frozenset("® ™ ℠ © ª º ° ′ ″".split())
_MARKED = 200
"""Characters that are marked; longer ones are small print."""


def raised(text: str) -> str:
    """Text of a `sup`."""
    return text if text in _RAISED_ALREADY else _script(text, "^", _RAISED)


def lowered(text: str) -> str:
    """Text of a `sub`."""
    return _script(text, "_", _LOWERED)


def annotated(base: str, reading: str) -> str:
    """Text of a `ruby` whose brackets (`rp`) are not written out."""
    return f"{base}（{reading}）" if base and reading else base or reading


def _script(text: str, mark: str, table: dict[int, int]) -> str:
    if text and all(ord(c) in table for c in text):
        return text.translate(table)
    return f"{mark}{text}" if 0 < len(text) <= _MARKED else text
