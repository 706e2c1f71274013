"""What the encoder must know of every code point: letter, number or space, and whether NFC may change it.

Letters, numbers and spaces are asked from the regular-expression engine inside `tiktoken`, so that a code point that a
newer Unicode made a letter is one here exactly if it is one there.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import numpy.typing as npt

OTHER, LETTER, NUMBER, SPACE = 0, 1, 2, 3
NOT_NFC = 8
"""Bit: the code point is not in NFC, or may combine with one before it (NFC_Quick_Check is not Yes, or it has a
combining class); UAX #15, section 9."""
CODE_POINTS = 0x110000
_ASSIGNED_PLANES = 0x40000
"""Above lie only unassigned, private-use, tag and variation code points: no letters, numbers or spaces."""
_HANGUL_VOWELS, _HANGUL_TAILS = range(0x1161, 0x1176), range(0x11A8, 0x11C3)


def character_table() -> npt.NDArray[np.uint8]:
    """Class and NFC bit of every code point, uint8[0x110000]; takes about 0.3 s."""
    table = np.zeros(CODE_POINTS, np.uint8)
    for pattern, kind in ((r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE)):
        table[_matching(pattern)] = kind
    table[_composing()] |= NOT_NFC
    return table


def _matching(pattern: str) -> npt.NDArray[np.uint32]:
    """The code points that a character class matches in tiktoken's engine, which drops what a pattern does not match."""
    import tiktoken

    bytes_only = {bytes([b]): b for b in range(256)}
    engine = tiktoken.Encoding("characters", pat_str=pattern, mergeable_ranks=bytes_only, special_tokens={})
    points = [*range(0xD800), *range(0xE000, _ASSIGNED_PLANES)]
    # One code point a line: no pre-token is longer, and a line feed is known to be a space.
    text = "\n".join(map(chr, points)) if pattern != r"\s+" else "x".join(map(chr, points))
    found = engine.decode_bytes(engine.encode_ordinary(text)).decode("utf-8")
    return np.frombuffer(found.encode("utf-32-le"), np.uint32)


def _composing() -> npt.NDArray[np.uint32]:
    found = {*_HANGUL_VOWELS, *_HANGUL_TAILS}
    for point in range(0x300, CODE_POINTS):
        if 0xD800 <= point < 0xE000 or point >= _ASSIGNED_PLANES:
            continue
        character = chr(point)
        if unicodedata.combining(character):
            found.add(point)
        parts = unicodedata.decomposition(character)
        if parts and not parts.startswith("<"):
            if unicodedata.normalize("NFC", character) != character:
                found.add(point)
            found.update(int(p, 16) for p in parts.split()[1:])
    return np.array(sorted(found), np.uint32)
