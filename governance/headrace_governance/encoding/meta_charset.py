"""The encoding that an HTML page declares in itself: the prescan of the HTML standard (13.2.3.2), and the XML declaration.

The standard looks at the first 1,024 bytes and lets its parser start again at a `meta` that comes later; here the
second look is at the first `LOOKED_AT` bytes. Comments, scripts and attribute values are not declarations. Linear in those bytes.
"""

from __future__ import annotations

import re

from headrace_governance.encoding.charsets import UTF_16, encoding_of

FIRST_LOOK, LOOKED_AT = 1 << 10, 1 << 14
_TAG = re.compile(rb"<(?:(!--)|(meta)(?=[\t\n\f\r />])|(script|style|title)(?=[\t\n\f\r />])|(/?[A-Za-z])|[!/?])", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*+(?:>|(=?[^\t\n\f\r />=]*+)[\t\n\f\r ]*+(?:(=)[\t\n\f\r ]*+"
    rb"(?:\"([^\"]*+)\"|'([^']*+)'|([^\t\n\f\r >\"'][^\t\n\f\r >]*+))?)?)"
)
_WITHIN_CONTENT = re.compile(
    rb"charset[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\t\n\f\r ;\"'][^\t\n\f\r ;]*+))", re.IGNORECASE
)
_XML = re.compile(rb"<\?xml[^>]{0,200}?encoding[\t\n\r ]*=[\t\n\r ]*[\"']([A-Za-z0-9_.:-]{1,40})[\"']")


def declared_in_page(body: bytes) -> str | None:
    """The encoding's name, or None if the page declares none that is known.

    A page that could be read so far is not UTF-16, whatever it says: that means UTF-8. `x-user-defined` means windows-1252.
    """
    head = body[:FIRST_LOOK]
    if head.startswith(b"<\x00?\x00x\x00"):
        return "utf-16le"
    if head.startswith(b"\x00<\x00?\x00x"):
        return "utf-16be"
    name = _in_meta(head)
    if name is None and len(body) > FIRST_LOOK:
        name = _in_meta(body[:LOOKED_AT])
    name = name or xml_declared(head)
    if name in UTF_16:
        return "utf-8"
    return "windows-1252" if name == "x-user-defined" else name


def xml_declared(data: bytes) -> str | None:
    """The encoding's name in an XML declaration at the very start of a document, blanks before it allowed."""
    found = _XML.match(data[:400].lstrip(b"\t\n\f\r "))
    return encoding_of(found[1].decode("ascii")) if found else None


def _in_meta(head: bytes) -> str | None:
    folded = head.lower()
    if b"charset" not in folded:
        return None
    at = 0
    while (tag := _TAG.search(head, at)) is not None:
        at = tag.end()
        if tag[1]:  # `<!-->` is a whole comment: its dashes count twice
            end = head.find(b"-->", tag.start() + 2)
            at = end + 3 if end >= 0 else len(head)
        elif tag[2]:
            given, at = _attributes(head, at)
            name = _meta(given)
            if name is not None:
                return name
        elif tag[3]:
            end = folded.find(b"</" + tag[3].lower(), at)
            at = end if end >= 0 else len(head)
        elif tag[4]:
            at = _attributes(head, at)[1]
        else:
            end = head.find(b">", at)
            at = end + 1 if end >= 0 else len(head)
    return None


def _attributes(head: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """Attributes of the tag whose name ends (or, for tags of no interest, goes on) here; the first of a name counts."""
    given: dict[bytes, bytes] = {}
    while (found := _ATTRIBUTE.match(head, at)) is not None and found.end() > at:
        at = found.end()
        if found[1] is None:
            return given, at
        value = next((v for v in found.group(3, 4, 5) if v is not None), None)
        if found[2] and value is None and head[at : at + 1] in (b'"', b"'"):
            break  # a quote that is never closed
        given.setdefault(found[1].lower(), value or b"")
    return {}, len(head)  # it is not whole


def _meta(given: dict[bytes, bytes]) -> str | None:
    if b"charset" in given:
        return encoding_of(given[b"charset"].decode("latin-1"))
    if given.get(b"http-equiv", b"").lower() != b"content-type":
        return None
    found = _WITHIN_CONTENT.search(given.get(b"content", b""))
    return encoding_of((found[1] or found[2] or found[3] or b"").decode("latin-1")) if found else None
