"""Bytes → text, for captures: declared charset, then the page's own, then a guess; what cannot be decoded is counted.

Order: byte-order mark; UTF-8 where `CERTAIN` sequences of it and no other byte above 127 say so, whatever was declared (a wrong label on
UTF-8 decodes without an error as GBK: "涓枃"); HTTP charset; `<meta>` in the first 4,096 bytes; UTF-8 if it fits. The server's default
label, ISO-8859-1, comes after the page's own. A declaration is believed if the bytes decode under it. If under none they do, a page with
a few bad bytes is kept under the first, repaired and counted; one with many (GBK declared as UTF-8) is read in the charset in which the
commonest characters of Chinese, Japanese and Korean turn up, or as `charset-normalizer` guesses.
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
"""Share of bad sequences among non-ASCII bytes up to which a page still counts as damaged, not as wrongly labelled."""
FEW = 10
"""Bad sequences up to which a declaration is believed whatever their share."""
CERTAIN = 6
"""UTF-8 sequences from which on a text in another charset is no explanation: two GBK bytes look like one in about a tenth of the cases."""
_OWN_SHIFTS = ("utf-16", "utf-32", "iso2022", "hz")
"""Charsets whose bytes are ASCII, or hold NUL: UTF-8 is no evidence against them."""
_NO_CHARSETS = frozenset("undefined idna punycode unicode-escape raw-unicode-escape utf-7 mbcs oem".split())
"""Codecs of Python's for other ends, and UTF-7, which the Encoding Standard forbids: a label says no more than none (a page's script wrote
"undefined")."""
_COMMON = {
    "gb18030": frozenset(
        "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所，。、；：“”（）"
    ),
    "big5": frozenset(
        "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而方後多定行學法所，。、；：「」（）"
    ),
    "cp932": frozenset("のにはをたがでてとしれさあいるもなこすからまりきっくんでよだうアイスントルリ、。「」・ー"),
    "euc_jp": frozenset("のにはをたがでてとしれさあいるもなこすからまりきっくんでよだうアイスントルリ、。「」・ー"),
    "cp949": frozenset("이다는을의에가하고지를은한로기도사리시어그인나있것수들해서정자아대과일으보주전"),
}
COMMON_SHARE = 0.15
"""Of the non-ASCII characters; real texts have 0.25 to 0.6, wrong readings below 0.05."""


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
    names = _declared(body, declared, html)
    certain = not (names and names[0].startswith(_OWN_SHIFTS)) and _from(0xC0, body[:_SAMPLE]) >= CERTAIN
    if certain:
        names.insert(0, "utf-8")
    for name in [*names, "utf-8"]:
        try:
            text = body.decode(name)
        except (UnicodeError, LookupError):
            continue
        # Every text decodes as Windows-1252, nearly: what is said by a server's default is asked of the text.
        guess = _common(body) if name == "cp1252" and not body.isascii() else None
        return Decoded(text, name, 0) if guess is None else _replacing(body, guess)
    first = next((n for n in names[certain:]), None)
    damaged = _replacing(body, first or "utf-8")
    if damaged.replaced <= max(FEW if first else 0, DAMAGE * _from(0x80, body)):
        return damaged
    guess = _common(body) or _guess(body)
    return _replacing(body, guess) if guess else damaged


def _from(byte: int, body: bytes) -> int:
    """How many bytes are at least this one."""
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(body, dtype=np.uint8) >= byte))


def _declared(body: bytes, declared: str | None, html: bool) -> list[str]:
    candidates = [_codec(declared)]
    if html:
        head = body[:4096]
        found = _XML.search(head) or _META.search(head)
        candidates.append(_codec(found[1].decode("ascii")) if found else None)
    names = [c for c in candidates if c is not None]
    return names[::-1] if len(names) == 2 and names[0] == "cp1252" else names


_SAMPLE = 1 << 16


def _common(body: bytes) -> str | None:
    """The charset of Chinese, Japanese or Korean in which a text's commonest characters are common ones."""
    best, share = None, COMMON_SHARE
    for name, common in _COMMON.items():
        wide = [c for c in body[:_SAMPLE].decode(name, "replace") if ord(c) > 127]
        bad = wide.count(MARK)
        found = sum(c in common for c in wide) / max(1, len(wide))
        if bad <= DAMAGE * len(wide) and found > share:
            best, share = name, found
    return best


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
    if not codecs.lookup(name)._is_text_encoding or name.replace("_", "-") in _NO_CHARSETS:
        return None
    return _LABELS.get(name, name)


def _guess(body: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(body[:65536]).best()
    return best.encoding if best is not None else None
