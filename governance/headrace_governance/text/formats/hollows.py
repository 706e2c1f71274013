"""What removed references and templates leave behind: empty brackets, blanks before marks. Linear expressions only."""

from __future__ import annotations

import re

_HOLLOW = re.compile(r" [(\[（][ ,;:.、；，–-]{0,20}[)\]）]|[(\[（][ ,;:.、；，–-]{1,20}[)\]）]|（）|\[\]")
"""Brackets that held only what was removed; not the `()` of a function's name."""
_LEADING = re.compile(r"([(（])[ ,;、；，]{1,20}")
_TRAILING = re.compile(r"(?<![ ,;、；，])[ ,;、；，]{1,20}([)）])")
_BEFORE_MARK = re.compile(r" ([,.;:)])(?=\s|$)")


def without_hollows(text: str) -> str:
    """The text (single blanks) without hollow brackets and blanks before marks."""
    text = _HOLLOW.sub("", text)
    return _BEFORE_MARK.sub(r"\1", _TRAILING.sub(r"\1", _LEADING.sub(r"\1", text)))
