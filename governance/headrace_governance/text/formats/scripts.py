"""Raised and lowered text in the notation that all converters share: Unicode's digits where they can say it, else `^` and `_`.

`x²`, `H₂O`, `10⁻⁶`; `e^ix`. The tables hold the characters that fonts have in one style (Unicode 4.0 and earlier).
"""

from __future__ import annotations

_RAISED = str.maketrans("0123456789+-=()n−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ⁻")
_LOWERED = str.maketrans("0123456789+-=()−", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎₋")


def raised(text: str) -> str:
    """Text of a `sup`."""
    return _script(text, "^", _RAISED)


def lowered(text: str) -> str:
    """Text of a `sub`."""
    return _script(text, "_", _LOWERED)


def _script(text: str, mark: str, table: dict[int, int]) -> str:
    if text and all(ord(c) in table for c in text):
        return text.translate(table)
    return f"{mark}{text}" if text else ""
