"""Bytes to text where the label is none: every body has its text, and no lone surrogate comes out."""

from __future__ import annotations

import encodings.aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_governance.encoding.decode import decode

CODECS = sorted(set(encodings.aliases.aliases.values()) | {"undefined", "idna", "punycode", "unicode_escape", "raw_unicode_escape"})


@pytest.mark.parametrize("label", ["undefined", "idna", "punycode", "unicode-escape", "raw_unicode_escape", "UTF-7", "base64", "no such"])
def test_a_label_that_is_no_charset_says_no_more_than_none(label: str) -> None:
    body = "Das Mühlrad, die Schleuse: 水車 +AGE-b".encode()
    assert decode(body, label, html=False) == decode(body, None, html=False)
    assert decode(body, label, html=False).text == body.decode()


@given(st.binary(max_size=200), st.sampled_from(CODECS))
def test_every_body_has_a_text_that_utf8_can_hold(body: bytes, label: str) -> None:
    decode(body, label, html=False).text.encode("utf-8")
