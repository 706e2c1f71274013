"""Character encodings of the web: the WHATWG Encoding Standard's labels, and decoding by its indexes and error rule.

Labels come from `webencodings`, decoders from `turbohtml`'s `whatwg-*` codecs, whose output was compared with a second implementation over
the whole two-byte space of every encoding (`benchmarks/text/compare_charsets.py`). Python's own codecs of the same names are poorer than
what pages use (EUC-JP without NEC row 13, Big5 without ETEN, windows-1252 with holes) and take an ASCII byte into a bad pair, after which
all pairs slip; the standard's error rule gives it back. UTF-8 is Python's: its replacement of bad sequences is the standard's.

Speed: UTF-8 and the single-byte encodings about 1 GB/s, those of Chinese, Japanese and Korean 50 to 270 MB/s.
"""

from __future__ import annotations

from functools import lru_cache

MARK = "\ufffd"
"""What stands for bytes that are not character."""
UTF_16 = ("utf-16le", "utf-16be")
REPLACEMENT = "replacement"
"""The standard's name for encodings that are not decoded because they hide markup: iso-2022-kr, hz-gb-2312, iso-2022-cn."""
_MARK_WITHIN = {
    "utf-8": MARK.encode("utf-8"),
    "utf-16le": MARK.encode("utf-16-le"),
    "utf-16be": MARK.encode("utf-16-be"),
    "gb18030": MARK.encode("gb18030"),
    "gbk": MARK.encode("gb18030"),
}
"""Encodings that can hold U+FFFD, which an author then wrote."""


@lru_cache(maxsize=1024)
def encoding_of(label: str | None) -> str | None:
    """The standard's name (lower case) of the encoding that a label means, or None if it means none.

    `latin1` is windows-1252, `iso-8859-9` windows-1254, `tis-620` windows-874, `gb2312` gbk; UTF-7 and UTF-32 are not encodings.
    """
    if not label:
        return None
    from webencodings import lookup  # type: ignore[import-untyped]

    found = lookup(label.strip().strip("\"'"))
    return None if found is None else str(found.name)


def decoded(body: bytes, name: str) -> str:
    """The text of bytes in an encoding by the standard's name; what is not a character is U+FFFD. A byte-order mark is kept as U+FEFF.

    Raises:
        LookupError: no such encoding.
    """
    if name == "utf-8":
        return body.decode("utf-8", "replace")
    if name == REPLACEMENT:
        return MARK if body else ""
    import turbohtml.detect  # noqa: F401 - registers the codecs

    return body.decode(f"whatwg-{name}")


def bad_sequences(text: str, body: bytes, name: str) -> int:
    """How many U+FFFD of a decoded text stand for bytes that are not character, and not for one that the author wrote."""
    count = text.count(MARK)
    if count and name in _MARK_WITHIN:
        count -= body.count(_MARK_WITHIN[name])
    return max(0, count)
