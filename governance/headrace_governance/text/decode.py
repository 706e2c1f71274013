"""Bytes → text, for captures: declared charset, then the page's own, then a guess; what cannot be decoded is counted.

Order: byte-order mark, HTTP charset, `<meta>` in the first 4,096 bytes, UTF-8 if it fits, a guess by
`charset-normalizer`. A declaration is believed if the bytes decode under it; if under no declaration they do, the first
one is used with replacement, so a page with a few bad bytes is kept, repaired and counted.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

MARK = "\ufffd"
_META = re.compile(rb"<meta[^>]{0,512}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_.:-]{1,40})")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_LABELS = {
    "latin1": "cp1252",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
"""Labels that pages use for a wider charset (WHATWG Encoding Standard, "names and labels")."""
DAMAGE = 0.05
"""Share of bad sequences among non-ASCII bytes up to which an undeclared page still counts as damaged UTF-8."""


@dataclass(frozen=True)
class Decoded:
    """Text, the charset that gave it, and how many sequences were replaced by U+FFFD."""

    text: str
    charset: str
    replaced: int


def decode(body: bytes, declared: str | None, *, html: bool) -> Decoded:
    """Decode a body; never fails."""
    for bom, name in _BOMS:
        if body.startswith(bom):
            return _replacing(body, name)
    candidates = [_codec(declared)]
    if html:
        head = body[:4096]
        found = _XML.search(head) or _META.search(head)
        candidates.append(_codec(found[1].decode("ascii")) if found else None)
    names = [c for c in candidates if c is not None]
    for name in [*names, "utf-8"]:
        try:
            return Decoded(body.decode(name), name, 0)
        except (UnicodeDecodeError, LookupError):
            continue
    if names:
        return _replacing(body, names[0])
    damaged = _replacing(body, "utf-8")
    if damaged.replaced <= DAMAGE * max(1, sum(b > 127 for b in body)):
        return damaged
    guess = _guess(body)
    return _replacing(body, guess) if guess else damaged


def _replacing(body: bytes, name: str) -> Decoded:
    text = body.decode(name, errors="replace")
    # U+FFFD that the author wrote is no damage; only Unicode charsets can hold it.
    written = body.count(MARK.encode("utf-8")) if name.startswith("utf-8") else 0
    return Decoded(text, name, max(0, text.count(MARK) - written))


def _codec(label: str | None) -> str | None:
    if not label:
        return None
    try:
        name = codecs.lookup(label.strip().strip("\"'")).name
    except (LookupError, ValueError):
        return None
    # "base64" and friends are codecs of Python's, but no charsets.
    return _LABELS.get(name, name) if codecs.lookup(name)._is_text_encoding else None


def _guess(body: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(body[:65536]).best()
    return best.encoding if best is not None else None
