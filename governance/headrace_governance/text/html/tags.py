"""HTML element names as small numbers, with what the tokeniser and the block writer must know of each.

The numbers are positions in `NAMES`; `TABLE` finds them by FNV-1a of the lower-case name, which a kernel can compute in one pass.
"""

from __future__ import annotations

import numpy as np

VOID, BLOCK, RAW, SKIPPED, CLOSES_P, NAMED, INLINE_CODE = 1, 2, 4, 8, 16, 32, 64
"""VOID has no content, BLOCK ends lines, RAW is dropped with all up to its end tag, SKIPPED is not an element for us, CLOSES_P ends an open
paragraph (HTML standard 13.2.6), NAMED may name itself main content."""
_BLOCKS = (
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure footer form h1 h2 h3 "
    "h4 h5 h6 header hgroup hr legend li listing main menu nav ol p pre search section summary table td th tr ul xmp custom-element"
).split()
_PROPERTIES = {
    VOID: "area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr".split(),
    BLOCK: _BLOCKS,
    RAW: (
        "script style noscript template iframe object svg canvas audio video map select textarea noembed noframes title datalist applet xml"
    ).split(),
    SKIPPED: "html head body tbody thead tfoot colgroup meta link base col".split(),
    CLOSES_P: (
        "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header "
        "hgroup hr main menu nav ol p pre search section table ul listing xmp li dd dt"
    ).split(),
    NAMED: "article div main section td".split(),
    INLINE_CODE: "code kbd samp tt".split(),
}
NAMES: tuple[str, ...] = (
    "",
    *sorted(
        {n for names in _PROPERTIES.values() for n in names}
        | set(
            "a span b i em strong font small u abbr label time cite ins mark q sub sup math mml:math mjx-container annotation ruby rb rt "
            "rtc rp del s strike button".split()
        )
    ),
)
"""Position 0: any other element, which is inline and means nothing; `custom-element`: any name with a hyphen."""
_NUMBER = {name: i for i, name in enumerate(NAMES)}


def number(name: str) -> int:
    """The number of a known element."""
    return _NUMBER[name]


def fnv(text: bytes) -> int:
    """FNV-1a, 32 bits, as the kernels compute it."""
    h = 2166136261
    for byte in text:
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return h


def _properties() -> np.ndarray:
    out = np.zeros(len(NAMES), dtype=np.uint8)
    for bit, names in _PROPERTIES.items():
        for name in names:
            out[_NUMBER[name]] |= bit
    return out


SLOTS = 1024


def _table() -> np.ndarray:
    """Open addressing: (hash, number) by slot; number 0 is an empty slot."""
    table = np.zeros((SLOTS, 2), dtype=np.int64)
    for name, i in _NUMBER.items():
        if not name:
            continue
        h = fnv(name.encode())
        slot = h % SLOTS
        while table[slot, 1]:
            slot = (slot + 1) % SLOTS
        table[slot] = h, i
    return table


PROPERTIES = _properties()
TABLE = _table()
