"""Raised, lowered, annotated and numbered text in the notation that all converters share, pages (`text/html_marks.py`) included.

`x²`, `H₂O`, `10⁻⁶` where Unicode has a form for every character, else `^` and `_` before it; `虐待（ぎゃくたい）` for an annotation.
"""

from __future__ import annotations

_RAISED = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")
_RAISED_ALREADY = frozenset("® ™ ℠ © ª º ° ′ ″".split())
_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"),
    (4, "IV"), (1, "I"),
)  # fmt: skip
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


def list_sign(number: int, style: str) -> str:
    """The sign of a list's item by HTML's `type`: `3.`, `c.`, `C.`, `iii.` or `III.`; digits if a number has no such form."""
    if style in ("a", "A") and number > 0:
        letters = ""
        while number > 0:
            number, rest = divmod(number - 1, 26)
            letters = chr(ord(style) + rest) + letters
        return f"{letters}."
    if style in ("i", "I") and 0 < number < 4000:
        out = ""
        for value, sign in _ROMAN:
            out += sign * (number // value)
            number %= value
        return f"{out.lower() if style == 'i' else out}."
    return f"{number}."


def _script(text: str, mark: str, table: dict[int, int]) -> str:
    if text and all(ord(c) in table for c in text):
        return text.translate(table)
    return f"{mark}{text}" if 0 < len(text) <= _MARKED else text
