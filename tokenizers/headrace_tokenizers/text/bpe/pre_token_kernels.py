"""The compiled search for pre-tokens: the pattern `PRE_TOKENS` written out by hand, alternative by alternative, on UTF-8 bytes.

Imported only where text is encoded, because numba is.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from headrace_governance.encoding.utf8 import code_point
from headrace_tokenizers.text.bpe.characters import LETTER, NOT_NFC, NUMBER, OTHER, SPACE

_CLASS = 7


@njit(cache=True)
def _contraction_end(data: Any, at: int, end: int) -> int:
    """End of `'s 't 're 've 'm 'll 'd` in any case at `at`, or -1. The long s (U+017F) folds to s."""
    left = end - at
    if left < 2:
        return -1
    first = data[at + 1] | 0x20
    if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:
        return at + 2
    if left < 3:
        return -1
    if data[at + 1] == 0xC5 and data[at + 2] == 0xBF:
        return at + 3
    second = data[at + 2] | 0x20
    if second == 0x65 and (first == 0x72 or first == 0x76):
        return at + 3
    if first == 0x6C and second == 0x6C:
        return at + 3
    return -1


@njit(cache=True)
def _run_end(data: Any, at: int, end: int, kinds: Any, kind: int) -> int:
    """End of the run of characters of one class that starts at `at`."""
    while at < end:
        byte = data[at]
        if byte < 0x80:
            if kinds[byte] != kind:
                break
            at += 1
            continue
        point, size = code_point(data, at)
        if kinds[point] & _CLASS != kind:
            break
        at += size
    return at


@njit(cache=True)
def pre_token_end(data: Any, at: int, end: int, kinds: Any) -> int:
    """Where the pre-token that starts at `at` ends."""
    point, size = code_point(data, at)
    if point == 0x27:
        found = _contraction_end(data, at, end)
        if found > 0:
            return found
    kind = kinds[point] & _CLASS
    after = at + size
    if kind == LETTER:
        return _run_end(data, after, end, kinds, LETTER)
    line_end = point == 0x0A or point == 0x0D
    following = OTHER + 8
    if after < end:
        point_after, _ = code_point(data, after)
        following = kinds[point_after] & _CLASS
        if following == LETTER and kind != NUMBER and not line_end:
            return _run_end(data, after, end, kinds, LETTER)
    if kind == NUMBER:
        return after
    if kind == OTHER or (point == 0x20 and following == OTHER):
        stop = _run_end(data, after, end, kinds, OTHER)
        while stop < end and (data[stop] == 0x0A or data[stop] == 0x0D):
            stop += 1
        return stop
    return _space_end(data, at, end, kinds)


@njit(cache=True)
def _space_end(data: Any, at: int, end: int, kinds: Any) -> int:
    """A run of white space: up to its last line end; else all but its last character if something follows; else all."""
    last_line_end = -1
    last_start = at
    stop = at
    while stop < end:
        point, size = code_point(data, stop)
        if kinds[point] & _CLASS != SPACE:
            break
        last_start = stop
        stop += size
        if point == 0x0A or point == 0x0D:
            last_line_end = stop
    if last_line_end > 0:
        return last_line_end
    if stop < end and last_start > at:
        return last_start
    return stop


@njit(cache=True)
def needs_normalising(data: Any, start: int, end: int, kinds: Any) -> bool:
    """Whether NFC may differ from the text: some code point of it is not plainly in NFC."""
    at = start
    while at < end:
        if data[at] < 0x80:
            at += 1
            continue
        point, size = code_point(data, at)
        if kinds[point] & NOT_NFC:
            return True
        at += size
    return False
