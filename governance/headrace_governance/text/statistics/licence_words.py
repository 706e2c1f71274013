"""How much of a text stands in a known licence: words in passages that a licence has word for word.

The licences are SPDX's, as the package `spdx` ships them (338 texts: GNU, Creative Commons, Apache, Mozilla and others, mostly in
English). A passage is `PASSAGE` words in a row, letters and digits alone, small and capital letters alike, so marks, lines and
headings do not matter; what a manual changes in the text (addresses, a year) costs a few passages.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from headrace_governance.encoding.utf8 import buffers, code_point
from headrace_governance.text.statistics.character_classes import ALNUM, UPPER, character_classes
from headrace_governance.text.statistics.hash_table import HashTable
from headrace_governance.text.statistics.kernels import BASE, get, mixed

PASSAGE = 8
"""Words of a passage."""
Ints = npt.NDArray[np.int64]


def licence_words(texts: pa.Array) -> tuple[Ints, Ints]:
    """Words of each text of a large_string array (runs of letters and digits), and those of them in passages of a known licence."""
    words, known = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    if len(texts):
        data, places = buffers(texts)
        table = _licences()
        _licence_words(data, places, character_classes(), table.keys, table.values, words, known)
    return words, known


@lru_cache(maxsize=1)
def _licences() -> HashTable:
    """The passages of all licences; takes about 0.3 s, once a process."""
    folder = files("spdx") / "data"
    found = [
        passages_of(file.read_bytes().decode("utf-8", "replace"))
        for file in sorted(folder.iterdir(), key=lambda f: f.name)
        if file.name.endswith(".txt")
    ]
    keys = np.unique(np.concatenate(found))
    table = HashTable()
    table.put_all(keys, np.zeros(len(keys), np.int64))
    return table


def passages_of(text: str) -> npt.NDArray[np.uint64]:
    """The hashes of a text's passages, in order; none is 0."""
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    out = np.empty(len(data) // 2 + 1, np.uint64)
    return out[: _passages(data, character_classes(), out)]


@njit(cache=True)
def _next_word(data: Any, at: int, last: int, classes: Any) -> tuple[int, Any]:
    """The place behind the next word, and its hash; the hash is 0 if there is none."""
    h = np.uint64(0)
    while at < last:
        point, size = code_point(data, at)
        flags = classes[point]
        if flags & ALNUM:
            if flags & UPPER and point < 0x80:
                point += 32
            h = h * BASE + mixed(point)
        elif h != 0:
            break
        at += size
    return at, h


@njit(cache=True)
def _power() -> Any:
    power = np.uint64(1)
    for _ in range(PASSAGE):
        power *= BASE
    return power


@njit(cache=True)
def _passages(data: Any, classes: Any, out: Any) -> int:
    ring = np.zeros(PASSAGE, np.uint64)
    power = _power()
    h = np.uint64(0)
    at = n = found = 0
    while True:
        at, word = _next_word(data, at, len(data), classes)
        if word == 0:
            return found
        h = h * BASE + word - ring[n % PASSAGE] * power
        ring[n % PASSAGE] = word
        n += 1
        if n >= PASSAGE:
            out[found] = max(h, np.uint64(1))
            found += 1


@njit(cache=True)
def _licence_words(data: Any, places: Any, classes: Any, keys: Any, values: Any, words: Any, known: Any) -> None:
    ring = np.zeros(PASSAGE, np.uint64)
    power = _power()
    for row in range(len(words)):
        at, last = places[row], places[row + 1]
        ring[:] = 0
        h = np.uint64(0)
        n = covered = count = 0  # words; up to which one they are counted; how many
        while True:
            at, word = _next_word(data, at, last, classes)
            if word == 0:
                break
            h = h * BASE + word - ring[n % PASSAGE] * power
            ring[n % PASSAGE] = word
            n += 1
            if n >= PASSAGE and get(keys, values, max(h, np.uint64(1))) >= 0:
                count += n - max(covered, n - PASSAGE)
                covered = n
        words[row], known[row] = n, count
