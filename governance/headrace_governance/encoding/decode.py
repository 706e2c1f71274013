"""Bytes → text, for captures: declared charset, then the page's own, then a guess; what cannot be decoded is counted.

Order: byte-order mark; UTF-8 where `CERTAIN` sequences of it and no other byte above 127 say so, whatever was declared (a wrong label on
UTF-8 decodes without an error as GBK: "涓枃"); HTTP charset; the page's own (`meta_charset`); UTF-8 if it fits; ISO-2022-JP where its
escape sequences stand. The server's default label, ISO-8859-1, comes after the page's own. A declaration is believed if the bytes decode
under it. If under none they do, a page with a few bad bytes is kept under the first, repaired and counted; one with many (GBK declared as
UTF-8) is read in the charset in which the commonest characters of Chinese, Japanese and Korean turn up, or as `charset-normalizer`
guesses. Labels and decoders are the WHATWG Encoding Standard's (`charsets`).

Beyond the standard: UTF-16 declared for bytes among which there is no NUL, and which are UTF-8, is not believed from a server either.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

from headrace_governance.encoding.charsets import MARK, REPLACEMENT, UTF_16, bad_sequences, decoded, encoding_of
from headrace_governance.encoding.meta_charset import declared_in_page

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16le"), (codecs.BOM_UTF16_BE, "utf-16be"))
DAMAGE = 0.05
"""Share of bad sequences among non-ASCII bytes up to which a page still counts as damaged, not as wrongly labelled."""
FEW = 10
"""Bad sequences up to which a declaration is believed whatever their share."""
CERTAIN = 6
"""UTF-8 sequences from which on a text in another charset explains nothing: two GBK bytes look like one in a tenth of the cases."""
_NO_EVIDENCE = (*UTF_16, "iso-2022-jp")
"""Charsets whose bytes are ASCII, or hold NUL: UTF-8 sequences are not evidence against them."""
_CHINESE = "。、；：“”（）"
_KANA = frozenset("のにはをたがでてとしれさあいるもなこすからまりきっくんでよだうアイスントルリ、。「」・ー")
_COMMON = {
    "gb18030": (
        "gb18030",
        frozenset(
            "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所，"
            + _CHINESE
        ),
    ),
    "big5": (
        "big5",
        frozenset(
            "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而方後多定行學法所，。、；：「」（）"
        ),
    ),
    "shift_jis": ("cp932", _KANA),
    "euc-jp": ("euc_jp", _KANA),
    "euc-kr": ("cp949", frozenset("이다는을의에가하고지를은한로기도사리시어그인나있것수들해서정자아대과일으보주전")),
}
"""Charset → the codec that a guess is tried with (Python's are the faster ones), and its languages' commonest characters."""
COMMON_SHARE = 0.15
"""Of the non-ASCII characters; real texts have 0.25 to 0.6, wrong readings below 0.05."""
_SAMPLE = 1 << 16
_GUESSED = {
    **{f"cp{n}": f"windows-{n}" for n in (1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)},
    **{f"iso8859_{n}": f"iso-8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    "latin_1": "windows-1252", "iso8859_9": "windows-1254", "cp874": "windows-874", "cp866": "ibm866", "koi8_r": "koi8-r",
    "koi8_u": "koi8-u", "mac_roman": "macintosh", "mac_cyrillic": "x-mac-cyrillic", "gb18030": "gb18030", "big5": "big5",
    "cp932": "shift_jis", "euc_jp": "euc-jp", "cp949": "euc-kr", "utf_8": "utf-8",
}  # fmt: skip
"""charset-normalizer's names of the charsets that pages are written in; no other is guessed."""

Source = Literal["mark", "content", "header", "page", "fits", "guess"]


@dataclass(frozen=True)
class Decoded:
    """Text, and how it was come by.

    Attributes:
        charset: the Encoding Standard's name of the charset that gave the text.
        replaced: sequences that were replaced by U+FFFD.
        source: what named the charset: a byte-order mark, UTF-8 sequences that are beyond doubt (`content`), the HTTP header or whatever
            else came with the bytes (`header`), the page itself, nothing but that UTF-8 `fits`, or a `guess`.
    """

    text: str
    charset: str
    replaced: int
    source: Source = "fits"

    @property
    def doubtful(self) -> bool:
        """Whether the charset was guessed, or bytes were lost."""
        return self.source == "guess" or self.replaced > 0

    def doubt(self) -> dict[str, str]:
        """What a row of `document_fields` says of a doubtful text; nothing of another."""
        if not self.doubtful:
            return {}
        lost = {"replaced_characters": str(self.replaced)} if self.replaced else {}
        return {"charset": self.charset, "charset_source": self.source, **lost}


def decode(body: bytes, declared: str | None, *, html: bool) -> Decoded:
    """Decode a body; never fails.

    Args:
        declared: the label that came with the bytes; one that the Encoding Standard does not know counts as none.
        html: the body may declare a charset itself.
    """
    for bom, name in _BOMS:
        if body.startswith(bom):
            return _replacing(body[len(bom) :], name, "mark")
    named = _declared(body, declared, html)
    if not (named and named[0][0] in _NO_EVIDENCE) and _from(0xC0, body[:_SAMPLE]) >= CERTAIN and (text := _utf8(body)) is not None:
        return Decoded(text, "utf-8", 0, "content")
    for name, source in named:
        found = _replacing(body, name, source)
        if found.replaced and name != REPLACEMENT:
            continue
        # Every text decodes as windows-1252: what is said by a server's default is asked of the text.
        guess = _common(body) if name == "windows-1252" and not body.isascii() else None
        return found if guess is None else _replacing(body, guess, "guess")
    if (text := _utf8(body)) is not None:
        if b"\x1b" in body and b"\x1b$" in body and body.isascii() and not (japanese := _replacing(body, "iso-2022-jp", "guess")).replaced:
            return japanese
        return Decoded(text, "utf-8", 0, "fits")
    first = named[0] if named else None
    damaged = _replacing(body, *(first or ("utf-8", "fits")))
    if damaged.replaced <= max(FEW if first else 0, DAMAGE * _from(0x80, body)):
        return damaged
    guess = _common(body) or _guess(body)
    return _replacing(body, guess, "guess") if guess else damaged


def _utf8(body: bytes) -> str | None:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _from(byte: int, body: bytes) -> int:
    """How many bytes are at least this one."""
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(body, dtype=np.uint8) >= byte))


def _declared(body: bytes, declared: str | None, html: bool) -> list[tuple[str, Source]]:
    """Declared charsets with who declared them, the one that is tried first before."""
    names: list[tuple[str, Source]] = []
    header = encoding_of(declared)
    if header in UTF_16 and b"\0" not in body and _utf8(body) is not None:
        header = "utf-8"
    if header is not None:
        names.append((header, "header"))
    if html and (page := declared_in_page(body)) is not None:
        names.append((page, "page"))
    return names[::-1] if len(names) == 2 and names[0][0] == "windows-1252" else names


def _common(body: bytes) -> str | None:
    """The charset of Chinese, Japanese or Korean in which a text's commonest characters are common ones."""
    best, share = None, COMMON_SHARE
    for name, (codec, common) in _COMMON.items():
        wide = [c for c in body[:_SAMPLE].decode(codec, "replace") if ord(c) > 127]
        bad = wide.count(MARK)
        found = sum(c in common for c in wide) / max(1, len(wide))
        if bad <= DAMAGE * len(wide) and found > share:
            best, share = name, found
    return best


def _replacing(body: bytes, name: str, source: Source) -> Decoded:
    text = decoded(body, name)
    return Decoded(text, name, bad_sequences(text, body, name), source)


def _guess(body: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(body[:65536], cp_isolation=list(_GUESSED)).best()
    return _GUESSED.get(best.encoding) if best is not None else None
