"""XML in other encodings than UTF-8 → UTF-8, by the encoding that its declaration names: what declares itself is not guessed.

libxml2 would ask the C library's converters, which know fewer characters than the files use (EUC-JP without NEC row 13, Big5 without ETEN)
and end at the first bad byte; here `text/charsets` decodes, and a bad sequence costs one U+FFFD. A record that is cut out of a long file
has lost the declaration, so the file is converted as it is read, block by block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5

from headrace_governance.encoding.charsets import UTF_16, decoded
from headrace_governance.encoding.meta_charset import xml_declared

_NAMED = re.compile(rb"^([\t\n\r ]*<\?xml[^<>]{0,200}?encoding[\t\n\r ]*=[\t\n\r ]*[\"'])[A-Za-z0-9_.:-]{1,40}")
_ALREADY = (None, "utf-8", *UTF_16)
"""What needs no conversion: UTF-16 has a mark, by which it is told before."""
_SINGLE_BYTE = ("ibm", "iso-8859-", "koi8-", "macintosh", "windows-", "x-mac-", "x-user-")
_REFERENCE = re.compile(rb"&#(?:[xX]0{0,20}([0-9a-fA-F]{1,20})|0{0,20}([0-9]{1,20}));")
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
_ENTITY = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]{1,31};)")
_HELD = 64 << 20
"""Bytes without a place to cut at after which they are converted all the same."""


def in_utf8(data: bytes) -> bytes:
    """An XML document as UTF-8 with a declaration that says so; unchanged if it is or declares nothing."""
    if not data.startswith(b"<?xml") and not data[:64].lstrip().startswith(b"<?xml"):
        return data
    name = xml_declared(data)
    return data if name in _ALREADY else _converted(data, str(name))


def blocks_in_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks of an XML file, converted as `in_utf8` does; of any other file, as they come."""
    first = next(blocks, b"")
    name = xml_declared(first) if first[:64].lstrip().startswith(b"<?xml") else None
    if name in _ALREADY:
        yield first
        yield from blocks
        return
    rest = first
    for block in blocks:
        end = _cut(rest, str(name))
        if end:
            yield _converted(rest[:end], str(name))
        rest = rest[end:] + block
    yield _converted(rest, str(name))


def _cut(data: bytes, name: str) -> int:
    """Where data can be cut so that both parts decode alike: no character of several bytes goes across."""
    if name.startswith(_SINGLE_BYTE) or len(data) > _HELD:
        return len(data)
    if name == "iso-2022-jp":  # behind the last return to ASCII, or at the end if nothing else came after it
        back, last = data.rfind(b"\x1b(B"), data.rfind(b"\x1b")
        return len(data) if last == back else back + 3 if back >= 0 else 0
    return max(data.rfind(b"\n"), data.rfind(b">")) + 1  # neither is a second byte anywhere


def _converted(data: bytes, name: str) -> bytes:
    return _NAMED.sub(rb"\1UTF-8", decoded(data, name).encode("utf-8"), count=1)


def without_forbidden(data: bytes) -> bytes:
    """An XML document in UTF-8 without characters that XML 1.0 forbids, references to them included; HTML's entities as characters.

    Feeds hold `&nbsp;` and `&eacute;`, which XML does not know without a DTD. The characters are not markup: `&lt;` is left as it is.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data
    data = _FORBIDDEN.sub(b"", _REFERENCE.sub(_allowed, data))
    return data if b"<!ENTITY" in data else _ENTITY.sub(_character, data)


def _character(entity: re.Match[bytes]) -> bytes:
    found = html5.get(entity[1].decode("ascii"), "")
    return found.encode("utf-8") if found and not set(found) & set("<>&\"'") else entity[0]


def _allowed(reference: re.Match[bytes]) -> bytes:
    code = int(reference[1], 16) if reference[1] else int(reference[2])
    good = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
    return reference[0] if good else b""
