"""What comes before the tokeniser: newlines as HTML has them, and XHTML as HTML.

- Newlines: CR and CRLF become LF (HTML standard 13.2.3.5).
- A page that is XML (by its media type, or by its XML declaration) may hold CDATA sections (XML 1.0, 2.7), which HTML takes for comments
  up to the first `>`; elements that are empty by `/>` although HTML wants an end tag; and names with a prefix for XHTML's namespace.
- Formulas whose names have a prefix for MathML's namespace (`<m:math>`) lose it, in HTML too, where many were pasted from XML.
"""

from __future__ import annotations

import re

_DECLARATION = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,100}<\?xml\s")
_PREFIXES = 3
"""Of MathML's namespace in one page, at most."""
_BEGIN, _END = b"<![CDATA[", b"]]>"
_EMPTY = re.compile(rb"<(script|style|title|textarea|iframe|noscript|object|video|audio|select|svg)\b([^<>]{0,2000})/>", re.IGNORECASE)
_MATHML = b"http://www.w3.org/1998/Math/MathML"
_MATH_PREFIX = re.compile(rb"xmlns:([A-Za-z][A-Za-z0-9]{0,20})\s{0,5}=\s{0,5}[\"']" + re.escape(_MATHML) + rb"[\"']")
_PREFIX = re.compile(rb"xmlns:([A-Za-z][A-Za-z0-9]{0,20})\s{0,5}=\s{0,5}[\"']http://www\.w3\.org/1999/xhtml[\"']")


def as_html(data: bytes, *, xml: bool) -> bytes:
    """A page's UTF-8 as the tokeniser wants it."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if _MATHML in data:
        for prefix in sorted({found[1] for found in _MATH_PREFIX.finditer(data)})[:_PREFIXES]:
            data = data.replace(b"<" + prefix + b":", b"<").replace(b"</" + prefix + b":", b"</")
    if not xml and not _DECLARATION.match(data):
        return data
    if _BEGIN in data:
        data = _sections_as_text(data)
    found = _PREFIX.search(data, 0, 20_000)
    if found:
        data = data.replace(b"<" + found[1] + b":", b"<").replace(b"</" + found[1] + b":", b"</")
    return _EMPTY.sub(rb"<\1\2></\1>", data)


def _sections_as_text(data: bytes) -> bytes:
    """CDATA sections as text whose `<`, `>` and `&` are escaped; one that has no end goes up to the end."""
    parts = data.split(_BEGIN)
    out = [parts[0]]
    for part in parts[1:]:
        section, _, rest = part.partition(_END)
        out += [section.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;"), rest]
    return b"".join(out)
