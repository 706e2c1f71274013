"""Aho-Corasick (Aho & Corasick 1975) over the UTF-8 of a column of texts, with word boundaries, compiled.

The automaton is a dense table of states by classes of bytes: bytes that no pattern has share class 0, and capitals of ASCII share
the class of their small letters, so the text is neither decoded nor copied nor rewritten, and places are those of the stored text.
Speed is one table look-up a byte: 350 to 415 MB/s a core on manuals in twelve languages;
`pyahocorasick` (whose findings the tests compare) does 28 to 85 on decoded text, before word boundaries
(`benchmarks/text/bench_toxicity.py`).
Memory: 4 bytes a state and class; 5,000 patterns of ten bytes have 30,000 states and 70 classes, 8 MiB.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from headrace_governance.encoding.utf8 import buffers, code_point
from headrace_governance.text.toxicity.terms import Pattern

_LEFT, _RIGHT = 1, 2
_UNSPACED = ((0x3005, 0x3007), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FFFF))
"""Blocks of Chinese characters and kana."""


@dataclass(frozen=True)
class Automaton:
    """Tables of the machine.

    Attributes:
        classes: uint8[256], byte → class.
        step: int32[states, classes], next state; ~state where a pattern ends there.
        ends: int32[states], the pattern that ends in a state, or -1.
        chain: int32[states], the next shorter suffix in which a pattern ends, or 0.
        lengths: int32[patterns], in bytes.
        bounds: uint8[patterns], 1 for no letter before, 2 for none after.
    """

    patterns: tuple[Pattern, ...]
    classes: npt.NDArray[np.uint8]
    step: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    chain: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    bounds: npt.NDArray[np.uint8]


def build(patterns: Sequence[Pattern]) -> Automaton:
    """The automaton of patterns; bytes of ASCII letters match in either case. Of equal bytes the last pattern is found."""
    folded = [p.utf8.lower() for p in patterns]  # bytes.lower folds ASCII alone
    used = sorted({b for f in folded for b in f})
    classes = np.zeros(256, np.uint8)
    for place, byte in enumerate(used):
        classes[byte] = place + 1
        if 0x61 <= byte <= 0x7A:
            classes[byte - 32] = place + 1
    width = len(used) + 1
    lengths = np.array([len(f) for f in folded], np.int64)
    joined = classes[np.frombuffer(b"".join(folded), np.uint8)]
    starts = np.cumsum(lengths) - lengths
    state = np.zeros(len(folded), np.int64)
    states = 1
    levels: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    """By depth: numbers of the states, and state before * width + class."""
    while len(alive := np.flatnonzero(lengths > len(levels))):
        edges, which = np.unique(state[alive] * width + joined[starts[alive] + len(levels)], return_inverse=True)
        state[alive] = states + which
        levels.append((np.arange(states, states + len(edges)), edges))
        states += len(edges)
    ends = np.full(states, -1, np.int32)
    np.maximum.at(ends, state, np.arange(len(folded), dtype=np.int32))
    step = np.zeros((states, width), np.int32)
    chain = np.zeros(states, np.int32)
    for depth, (reached, edges) in enumerate(levels):  # what a state falls back to is less deep, so a level needs only those above it
        suffix = step.flat[edges] if depth else np.zeros(len(edges), np.int32)
        chain[reached] = np.where(ends[suffix] >= 0, suffix, chain[suffix])
        step.flat[edges] = reached
        step[reached] = step[suffix]
    found = (ends >= 0) | (chain > 0)
    step = np.where(found[step], ~step, step).astype(np.int32)
    bounds = np.array([_LEFT * p.left + _RIGHT * p.right for p in patterns] or [0], np.uint8)
    return Automaton(tuple(patterns), classes, step, ends, chain, np.array([len(p.utf8) for p in patterns] or [0], np.int32), bounds)


@cache
def word_characters() -> npt.NDArray[np.uint8]:
    """uint8 by code point: 1 for letters, digits, their marks, and the underscore of identifiers.

    Not for Chinese characters and kana: where they meet letters, a word of letters ends.
    """
    table = np.zeros(sys.maxunicode + 1, np.uint8)
    for point in range(0x30000):
        c = chr(point)
        if c == "_" or c.isalnum() or unicodedata.category(c)[0] == "M":
            table[point] = 1
    for first, last in _UNSPACED:
        table[first : last + 1] = 0
    return table


def search(automaton: Automaton, column: pa.Array) -> tuple[npt.NDArray[np.int64], ...]:
    """Everything found in a large_string array: rows, patterns, starts and ends (bytes of the row), by row and end."""
    data, offsets = buffers(column)
    a = automaton
    capacity = 1024
    while True:
        out = np.zeros((4, capacity), np.int64)
        n = int(_search(data, offsets, a.classes, a.step, a.ends, a.chain, a.lengths, a.bounds, word_characters(), out))
        if n <= capacity:
            return tuple(out[:, :n])
        capacity = n


@njit(cache=True)
def _search(
    data: Any, offsets: Any, classes: Any, step: Any, ends: Any, chain: Any, lengths: Any, bounds: Any, letters: Any, out: Any
) -> int:
    n = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        state = 0
        for at in range(begin, end):
            state = step[state, classes[data[at]]]
            if state >= 0:
                continue
            state = ~state
            where = state if ends[state] >= 0 else chain[state]
            while where > 0:
                number = ends[where]
                start = at + 1 - lengths[number]
                if _bounded(data, begin, end, start, at + 1, bounds[number], letters):
                    if n < out.shape[1]:
                        out[0, n] = row
                        out[1, n] = number
                        out[2, n] = start - begin
                        out[3, n] = at + 1 - begin
                    n += 1
                where = chain[where]
    return n


@njit(cache=True)
def _bounded(data: Any, begin: Any, end: Any, start: Any, stop: Any, bounds: Any, letters: Any) -> bool:
    if bounds & 1 and start > begin:
        at = start - 1
        while at > begin and data[at] & 0xC0 == 0x80:
            at -= 1
        if letters[code_point(data, at)[0]]:
            return False
    return not (bounds & 2 and stop < end and letters[code_point(data, stop)[0]])
