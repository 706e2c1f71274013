"""What a body is: the media type and charset of a Content-Type field as it is really sent, or of the body's first bytes.

`media_type` extracts as the WHATWG Fetch Standard does ("extract a MIME type"): fields that were sent twice or combined are parted at their
commas and the last one that parses counts. `sniffed` is "identifying a resource with an unknown MIME type" of the WHATWG MIME Sniffing
Standard, as far as text goes.
"""

from __future__ import annotations

import re

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TYPE = re.compile(rf"\s*({_NAME})/({_NAME})\s*(?:;|$)")
_LOOSE = re.compile(rf"\s*({_NAME})/({_NAME})\s+")
"""`text/html charset=utf-8`: a forgotten semicolon, which the standard takes for no type at all."""
_CHARSET = re.compile(r"\s*charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)
_UNKNOWN = frozenset(("*/*", "unknown/unknown", "application/unknown"))
"""Types that say that nothing is known (MIME Sniffing, 7)."""
_MAX_FIELD = 4096
SNIFFED_BYTES = 1445
"""The resource header's length (MIME Sniffing, 5.2)."""
_TAGS = b"!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p".split(b"|")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_XHTML = re.compile(rb"<(?:!doctype\s{1,9})?html[\s>]", re.IGNORECASE)


def media_type(content_type: str) -> tuple[str, str]:
    """Type and charset in lower case: `text/html; charset="utf-8"` → (`text/html`, `utf-8`); two empty strings if none is declared.

    Args:
        content_type: the field's values, joined by commas.
    """
    kind = charset = ""
    field = content_type[:_MAX_FIELD]
    for value in _parted(field, ","):
        found = _TYPE.match(value)
        declared = _charset(_parted(value, ";")[found is not None :])
        if found is None:
            charset = charset or (declared if kind else "")
            continue
        essence = f"{found[1]}/{found[2]}".lower()
        if essence in _UNKNOWN:
            continue
        charset = declared or (charset if essence == kind else "")
        kind = essence
    if not kind and (found := _LOOSE.match(field)) is not None:
        kind, charset = f"{found[1]}/{found[2]}".lower(), _charset(re.split(r"[;\s]", field[found.end() :]))
    return ("", "") if kind in _UNKNOWN else (kind, charset)


def _charset(parameters: list[str]) -> str:
    """The first charset among a type's parameters."""
    found = (_CHARSET.match(p) for p in parameters)
    return next((f[1].lower() for f in found if f is not None), "")


def _parted(text: str, mark: str) -> list[str]:
    """The parts between marks that are in no quotes (Fetch, "get, decode, and split")."""
    if mark not in text:
        return [text]
    if '"' not in text:
        return text.split(mark)
    parts, at, quoted, i = [], 0, False, 0
    while i < len(text):
        if text[i] == '"':
            quoted = not quoted
        elif text[i] == "\\" and quoted:
            i += 1
        elif text[i] == mark and not quoted:
            parts.append(text[at:i])
            at = i + 1
        i += 1
    return [*parts, text[at:]]


def sniffed(body: bytes) -> str:
    """The media type that the first bytes of an undeclared body show: HTML, XHTML, plain text, or none of them (an empty string).

    A byte-order mark is skipped before a tag is looked for: the standard would read such a page as plain text.
    """
    head = body[:SNIFFED_BYTES]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        start, text = head.replace(b"\0", b"")[2:].lstrip(b"\t\n\x0c\r "), True
    else:
        start, text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\t\n\x0c\r "), _BINARY.search(head) is None
    lower = start[:32].lower()
    if lower.startswith(b"<!--") or any(lower.startswith(b"<" + t) and lower[len(t) + 1 : len(t) + 2] in (b" ", b">") for t in _TAGS):
        return "text/html"
    if lower.startswith(b"<?xml"):
        return "application/xhtml+xml" if _XHTML.search(start) is not None else ""
    if lower.startswith((b"%pdf-", b"%!ps-adobe-")):
        return ""
    return "text/plain" if text else ""
