"""Inline Markdown of one line: marks of code, emphasis and links, taken out in place.

What only resembles a mark stays: `2*3*4`, `[1]`, a back-tick that nothing closes. Costs what the line's length does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_RUN = 16
"""Back-ticks around inline code, at most."""
_TARGET = 300
"""Bytes of a link's target."""
_OPEN = 8
"""Emphases and brackets that are open at once; further ones stay as they are."""


@njit(cache=True)
def run_length(data: Any, at: int, end: int, byte: int) -> int:
    """How often a byte stands here."""
    k = at
    while k < end and data[k] == byte:
        k += 1
    return k - at


@njit(cache=True)
def _is_alnum(c: int) -> bool:
    return 0x30 <= c <= 0x39 or 0x41 <= c <= 0x5A or 0x61 <= c <= 0x7A


@njit(cache=True)
def without_inline_marks(out: Any, a: int, b: int, origins: Any, dead: Any) -> int:
    """Take the marks of inline code, emphasis and links out of a line, in place; returns its new end.

    Args:
        dead: flags, all False, of at least as many bytes as the line has.
    """
    next_run = np.full(_RUN + 1, -1, np.int64)
    stars, lengths = np.empty(_OPEN, np.int64), np.empty(_OPEN, np.int64)
    brackets = np.empty(_OPEN, np.int64)
    n_stars = n_brackets = 0
    i = a
    while i < b:
        c = out[i]
        if c == 0x5C and i + 1 < b and (out[i + 1] == 0x2A or out[i + 1] == 0x23 or out[i + 1] == 0x5F or out[i + 1] == 0x60):
            dead[i - a] = True
            i += 2
        elif c == 0x60:
            run = run_length(out, i, b, 0x60)
            if run <= _RUN:
                # Each length's search only moves on, so a line costs what its length does.
                if next_run[run] < i + run:
                    next_run[run] = _findrun_length(out, i + run, b, run)
                close = next_run[run]
                if close < b:
                    _mark(dead, i - a, i + run - a)
                    _mark(dead, close - a, close + run - a)
                    i = close
            i += run
        elif c == 0x2A:
            run = run_length(out, i, b, 0x2A)
            if run <= 3:
                before = int(out[i - 1]) if i > a else 0x20
                after = int(out[i + run]) if i + run < b else 0x20
                closed = False
                if before != 0x20 and not _is_alnum(after):
                    for k in range(n_stars - 1, -1, -1):
                        if lengths[k] == run:
                            _mark(dead, stars[k] - a, stars[k] + run - a)
                            _mark(dead, i - a, i + run - a)
                            n_stars = k
                            closed = True
                            break
                if not closed and after != 0x20 and not _is_alnum(before) and n_stars < _OPEN:
                    stars[n_stars], lengths[n_stars] = i, run
                    n_stars += 1
            i += run
        elif c == 0x5B:
            if n_brackets < _OPEN:
                brackets[n_brackets] = i
                n_brackets += 1
            i += 1
        elif c == 0x5D:
            if n_brackets > 0:
                n_brackets -= 1
                close = _target_end(out, i + 1, b)
                if close > 0:
                    opened = brackets[n_brackets]
                    dead[opened - a] = True
                    if opened > a and out[opened - 1] == 0x21:
                        dead[opened - 1 - a] = True
                    _mark(dead, i - a, close - a)
                    i = close - 1
            i += 1
        else:
            i += 1
    at = a
    for i in range(a, b):
        if dead[i - a]:
            dead[i - a] = False
        else:
            out[at] = out[i]
            if len(origins):
                origins[at] = origins[i]
            at += 1
    return at


@njit(cache=True)
def _mark(flags: Any, at: int, end: int) -> None:
    for k in range(at, end):
        flags[k] = True


@njit(cache=True)
def _findrun_length(out: Any, at: int, end: int, length: int) -> int:
    """Where so many back-ticks, and no more, stand next; the end if nowhere."""
    while at < end:
        if out[at] == 0x60:
            run = run_length(out, at, end, 0x60)
            if run == length:
                return at
            at += run
        else:
            at += 1
    return end


@njit(cache=True)
def _target_end(out: Any, at: int, end: int) -> int:
    """The place behind a link's target in brackets that begins here; 0 if none does: a target has a dot, slash or number sign."""
    if at >= end or out[at] != 0x28:
        return 0
    place = False
    for k in range(at + 1, min(end, at + _TARGET)):
        c = out[k]
        if c == 0x29:
            return k + 1 if place else 0
        if c <= 0x20 or c == 0x28 or c == 0x5B:
            return 0
        place |= c == 0x2E or c == 0x2F or c == 0x23
    return 0
