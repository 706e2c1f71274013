"""The encoding of a LaTeX file: what `inputenc` and its kin declare, and what a document switches to.

Declared is: an option of `inputenc`, `inputenx` or `luainputenc` (the last one named counts), its own, passed to it or the class's, an
argument of `\\inputencoding` (from there on), of XeTeX's `\\XeTeXinputencoding`, of a `CJK` environment (inside it), of a class that takes
`UTF8` or `GBK` (ctex), or an editor's line (`% !TEX encoding = ...`, `-*- coding: ... -*-`). A file of a paper that declares none is in the
encoding of its main file. Bytes that are UTF-8 beyond doubt are UTF-8 all the same (`text/decode`). Names are inputenc's (its manual),
inputenx's and CJK's.
"""

from __future__ import annotations

import re

from headrace_governance.encoding.charsets import bad_sequences, decoded, encoding_of
from headrace_governance.encoding.decode import CERTAIN, DAMAGE, FEW, Decoded, decode

_NAMES = {
    "latin5": "windows-1254", "latin7": "iso-8859-13", "latin8": "iso-8859-14",
    "latin9": "iso-8859-15", "latin10": "iso-8859-16", "ansinew": "windows-1252", "applemac": "macintosh",
    "macce": "mac_latin2", "maccyr": "x-mac-cyrillic", "macukr": "x-mac-cyrillic", "utf8x": "utf-8", "utf8": "utf-8", "koi8-ru": "koi8-u",
    "next": "nextstep", "cp437de": "cp437", "cp866av": "ibm866", "cp866mav": "ibm866", "cp866nav": "ibm866", "cp1251": "windows-1251",
    "iso88595": "iso-8859-5", "isoir111": "koi8-r", "8859-8": "iso-8859-8", "tis620": "windows-874", "thai-tis620": "windows-874",
    "bg5": "big5", "bg5+": "big5", "gb": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "jis": "euc-jp", "sjis": "shift_jis",
    "ks": "euc-kr", "euc": "euc-jp", "isolatin": "windows-1252", "macosroman": "macintosh",
}  # fmt: skip
"""Names that are not labels of the Encoding Standard, and those that mean something else in LaTeX."""
_DOS = {n: n for n in ("cp437", "cp850", "cp852", "cp855", "cp857", "cp858", "cp862", "cp865", "mac_latin2")}
"""Code pages that no page is written in and the Encoding Standard leaves out: Python's codecs of these names."""
_GAP = rb"(?:[ \t\n]|%[^\n]{0,200}\n){0,20}"
"""What TeX passes over between a command and its arguments."""
_OPTIONS = re.compile(
    rb"^(?:[^%\\\n]|\\.)*?\\(?:usepackage|RequirePackage)" + _GAP + rb"\[([^\[\]{}]{1,200})\]" + _GAP
    + rb"\{[^{}]{0,200}?\b(?:inputenc|inputenx|luainputenc)\b",
    re.MULTILINE,
)  # fmt: skip
_PASSED = re.compile(
    rb"^(?:[^%\\\n]|\\.)*?\\(?:PassOptionsToPackage" + _GAP + rb"\{([^\[\]{}]{1,200})\}" + _GAP + rb"\{(?:inputenc|inputenx|luainputenc)\}"
    + rb"|documentclass" + _GAP + rb"\[([^\[\]{}]{1,400})\])",
    re.MULTILINE,
)  # fmt: skip
"""Options that reach inputenc from elsewhere: passed on before it is loaded, or those of the class, which every package sees."""
_OF_INPUTENC = re.compile(rb"utf8x?|latin\d{1,2}|cp\d{3,4}(?:de)?|koi8-?ru?|ansinew|applemac|macce|maccyr|macukr|iso-?8859-?\d{1,2}")
"""Names that a class's option of another meaning (`greek`, `arabic`: languages) is not taken for."""
_CLASS = re.compile(rb"\\documentclass[ \t]*\[([^\[\]{}]{1,400})\][ \t]*\{ctex|\\usepackage[ \t]*\[([^\[\]{}]{1,200})\][ \t]*\{ctex")
_EDITOR = re.compile(
    rb"^%[^\n]{0,80}?(?:![ \t]*TEX[ \t]+encoding[ \t]*=|-\*-[^\n]{0,80}?coding:)[ \t]*([A-Za-z0-9_.-]{2,30})", re.MULTILINE | re.IGNORECASE
)
_SWITCH = re.compile(
    rb"\\inputencoding[ \t]*\{([^{}]{1,40})\}|\\XeTeX(?:input|default)encoding[ \t]*\"?([A-Za-z0-9_.-]{2,40})"
    rb"|\\begin[ \t]*\{CJK\*?\}[ \t]*(?:\[[^\[\]]{0,40}\])?[ \t]*\{([^{}]{1,20})\}|(\\end[ \t]*\{CJK\*?\})"
)


def declared_encoding(data: bytes) -> str | None:
    """The name (the Encoding Standard's, or a codec of Python's for a DOS code page) that a file's preamble declares, or None."""
    if b"encod" not in data and b"inputen" not in data and b"ctex" not in data and b"coding" not in data:
        return None
    head = data[:200_000]
    options = [m[1] for m in _OPTIONS.finditer(head)] if b"inputen" in head else []
    for option in reversed(b",".join(options).split(b",")):
        if (name := _name(option)) is not None:
            return name
    passed = [m[1] or m[2] for m in _PASSED.finditer(head)] if b"inputen" in head else []
    for option in reversed(b",".join(passed).split(b",")):
        if _OF_INPUTENC.fullmatch(option.strip()) and (name := _name(option)) is not None:
            return name
    named = _CLASS.search(head) if b"{ctex" in head else None
    for option in ((named[1] or named[2]) if named else b"").split(b","):
        if option.strip() in (b"UTF8", b"GBK"):
            return _name(option)
    editor = _EDITOR.search(data[:2000]) or _EDITOR.search(data[-3000:])
    return _name(editor[1]) if editor else None


def decode_latex(data: bytes, inherited: str | None = None) -> Decoded:
    """The text of a file.

    Args:
        inherited: encoding of the main file, for one that declares none.
    """
    outer = declared_encoding(data) or inherited
    if data.isascii():
        return decode(data, None, html=False)
    if (b"encoding" in data or b"{CJK" in data) and not _is_utf8(data):
        parts = _parts(data, outer)
        if len(parts) > 1:
            return _joined(parts)
    return _decoded(data, outer)


def _name(written: bytes) -> str | None:
    name = written.decode("latin-1").strip("%{} \t\r\n").lower()
    name = _NAMES.get(name, name)
    return name if name in _DOS else encoding_of(name)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(data: bytes, name: str | None) -> Decoded:
    """A piece of one encoding. Unlike a server's header, what the author declared is asked no questions while it fits."""
    if name is None or data.isascii():
        return decode(data, None, html=False)
    if name != "utf-8" and _is_utf8(data) and sum(byte >= 0xC0 for byte in data) >= CERTAIN:
        return Decoded(data.decode("utf-8"), "utf-8", 0, "content")
    text = data.decode(_DOS[name], "replace") if name in _DOS else decoded(data, name)
    bad = bad_sequences(text, data, name)
    if bad > max(FEW, DAMAGE * sum(byte >= 0x80 for byte in data)):
        return decode(data, None, html=False)
    return Decoded(text, name, bad, "page")


def _parts(data: bytes, name: str | None) -> list[tuple[bytes, str | None]]:
    """The file in pieces of one encoding each."""
    out: list[tuple[bytes, str | None]] = []
    at, before = 0, name
    for found in _SWITCH.finditer(data):
        line = data.rfind(b"\n", 0, found.start()) + 1
        if b"%" in data[line : found.start()].replace(b"\\%", b""):
            continue
        inside = _name(found[1] or found[2] or found[3]) if not found[4] else before
        if found[3]:
            before = name
        if inside is None and not found[4]:
            continue
        out.append((data[at : found.end()], name))
        at, name = found.end(), inside
    out.append((data[at:], name))
    return out


def _joined(parts: list[tuple[bytes, str | None]]) -> Decoded:
    read = [_decoded(piece, name) for piece, name in parts if piece]
    wide = next((r for r in read if not r.text.isascii()), read[0])
    guessed = next((r for r in read if r.source == "guess"), None)
    return Decoded("".join(r.text for r in read), (guessed or wide).charset, sum(r.replaced for r in read), (guessed or wide).source)
