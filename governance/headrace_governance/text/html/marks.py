"""Bytes that the block writer puts around text: list signs, raised and lowered text, annotations.

Raised and lowered text is written as `formats/tree.py` writes it for JATS, and `formats/wikitext.py` for wikitext: in Unicode's own
characters where there are some for all of it (10⁻⁶, H₂O), else behind `^` or `_`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.tags import number

MARKED = 200
"""Bytes of raised or lowered text that are marked; longer ones are small print."""
FOOTNOTE = 24
"""Bytes of raised text that only points to a note."""
RAISE, LOWER = 1, 2
NO_NOTE, IN_BRACKETS, BARE = 0, 1, 2

_RUBY, _RT, _RP, _RTC = (number(n) for n in "ruby rt rp rtc".split())


def _forms(pairs: dict[str, str]) -> np.ndarray:
    """UTF-8 of the raised or lowered form (length, then up to three bytes), by ASCII byte; length 0: there is none."""
    forms = np.zeros((128, 4), dtype=np.uint8)
    for plain, form in pairs.items():
        data = form.encode()
        forms[ord(plain), 0] = len(data)
        forms[ord(plain), 1 : 1 + len(data)] = list(data)
    return forms


_RAISED = _forms(dict(zip("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ", strict=True)))
_LOWERED = _forms(dict(zip("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎", strict=True)))
_RAISED_ALREADY = np.zeros((16, 8), dtype=np.uint8)
for _row, _sign in enumerate("® ™ ℠ © ª º ° ′ ″ &reg; &trade; &copy; &#174; &#8482; &deg; &ordm;".split()):
    _RAISED_ALREADY[_row, : len(_sign.encode())] = list(_sign.encode())
_ROMAN_VALUES = np.array([1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1], dtype=np.int64)
_ROMAN = np.array([list(s.encode().ljust(2, b"\0")) for s in "M CM D CD C XC L XL X IX V IV I".split()], dtype=np.uint8)


@njit(cache=True)
def grown(out: Any, needed: int) -> Any:
    """The buffer, or a copy that has room for so many bytes."""
    if needed <= len(out):
        return out
    bigger = np.empty(max(needed, 2 * len(out)), dtype=np.uint8)
    for i in range(len(out)):  # a loop compiles in a tenth of a second, an array assigned to a slice in four
        bigger[i] = out[i]
    return bigger


@njit(cache=True)
def number_sign(out: Any, at: int, value: int, style: int) -> int:
    """Write `3. `, or by the list's `type` `c. `, `III. `; returns the place behind it (up to 20 bytes)."""
    if (style == 97 or style == 65) and value > 0:  # a A
        size, rest = 0, value
        while rest > 0:
            rest = (rest - 1) // 26
            size += 1
        rest = value
        for d in range(size - 1, -1, -1):
            out[at + d] = style + (rest - 1) % 26
            rest = (rest - 1) // 26
        at += size
    elif (style == 105 or style == 73) and 0 < value < 4000:  # i I
        for k in range(len(_ROMAN_VALUES)):
            while value >= _ROMAN_VALUES[k]:
                value -= _ROMAN_VALUES[k]
                for c in _ROMAN[k]:
                    if c:
                        out[at] = c + (32 if style == 105 else 0)
                        at += 1
    else:
        if value < 0:
            out[at] = 45
            at += 1
            value = -value
        digits = 1
        while value >= 10**digits and digits < 9:
            digits += 1
        for d in range(digits - 1, -1, -1):
            out[at] = 48 + (value // 10**d) % 10
            at += 1
    out[at], out[at + 1] = 46, 32
    return at + 2


@njit(cache=True)
def footnote(out: Any, a: int, b: int, linked: int, place: bool) -> int:
    """What raised text says that only points to a note: NO_NOTE; IN_BRACKETS, which needs no mark; BARE, which would read as a power.

    A pointer is a link (`linked` of its bytes) to a place in the page, or one around a number or sign.
    """
    if linked == 0 or b - a > FOOTNOTE:
        return NO_NOTE
    signs = 0
    for i in range(a, b):
        c = out[i]
        word = 97 <= c <= 122 or 65 <= c <= 90
        if word and not place:
            return NO_NOTE
        signs += not (word or 48 <= c <= 57 or c >= 128)
    if linked + signs < b - a:
        return NO_NOTE
    return IN_BRACKETS if out[a] == 91 or out[a] == 40 else BARE


@njit(cache=True)
def close_script(out: Any, a: int, b: int, way: int) -> int:
    """Raise or lower what stands from a to b; returns the new end. The buffer has room for three times as much."""
    if b <= a or b - a > MARKED:
        return b
    forms = _RAISED if way == RAISE else _LOWERED
    size = 0
    for i in range(a, b):
        if out[i] >= 128 or forms[out[i], 0] == 0:
            size = 0
            break
        size += forms[out[i], 0]
    if size == 0:
        if way == RAISE and _is_raised_already(out, a, b):
            return b
        for i in range(b, a, -1):
            out[i] = out[i - 1]
        out[a] = 94 if way == RAISE else 95
        return b + 1
    plain = out[a:b].copy()
    at = a
    for c in plain:
        for k in range(forms[c, 0]):
            out[at] = forms[c, 1 + k]
            at += 1
    return at


@njit(cache=True)
def _is_raised_already(out: Any, a: int, b: int) -> bool:
    for row in _RAISED_ALREADY:
        size = 0
        while size < len(row) and row[size]:
            size += 1
        if size == b - a:
            same = True
            for i in range(size):
                same &= out[a + i] == row[i]
            if same:
                return True
    return False


@njit(cache=True)
def rubies(nodes: Any) -> Any:
    """Nodes of annotations over a base (`rt`, `rtc`) that need brackets: their `ruby` has none (`rp`) itself."""
    n = len(nodes)
    ruby_of = np.zeros(n, dtype=np.int32)
    bare = np.zeros(n, dtype=np.bool_)
    bracketed = np.zeros(n, dtype=np.bool_)
    holds = np.zeros(n, dtype=np.bool_)
    found = False
    for k in range(1, n):
        tag = nodes[k, 0]
        ruby_of[k] = k if tag == _RUBY else ruby_of[nodes[k, 1]]
        if tag == _RP:
            bracketed[ruby_of[k]] = True
        elif tag in (_RT, _RTC):
            found = True
            holds[nodes[k, 1]] = True
    if found:
        for k in range(1, n):
            tag = nodes[k, 0]
            bare[k] = ruby_of[k] > 0 and (tag == _RT or (tag == _RTC and not holds[k])) and not bracketed[ruby_of[k]]
    return bare
