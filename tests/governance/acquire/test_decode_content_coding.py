"""Content-Encoding: what is coded is decoded to its coder's own end, and what is not is left alone."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_governance.acquire.crawl.decode import BadEncoding, BodyTooLarge, Decoder

TEXT = b"<p>The keeper opens the gates slowly, so that the banks do not break.</p>" * 40
RANDOM = random.Random(1).randbytes(5000)


def bare(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": bare, "br": brotli.compress,
    "zstd": zstandard.compress,
}  # fmt: skip
PIECES = [1, 7, 64, 1 << 20]


def decoded(encoding: str, data: bytes, piece: int = 1 << 20) -> bytes:
    decoder = Decoder(encoding, 10 << 20, 200.0)
    for at in range(0, len(data), piece):
        decoder.feed(data[at : at + piece])
    return decoder.finish()


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize(
    "body", [b"", b"x", b"short", TEXT, RANDOM, "中文页面。".encode() * 300], ids=["none", "x", "short", "html", "random", "zh"]
)
def test_a_coded_body_is_decoded_in_pieces_of_any_size(name: str, body: bytes) -> None:
    for piece in PIECES:
        assert decoded(name, CODERS[name](body), piece) == body


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("tail", [b"\0", b"\0" * 600, b"\r\n", b"<!-- served in 3 ms -->", b"\x1f", b"\x1f\x8b", b"\x28\xb5", RANDOM])
def test_what_follows_the_end_of_a_coding_is_ignored(name: str, tail: bytes) -> None:
    for piece in PIECES:
        assert decoded(name, CODERS[name](TEXT) + tail, piece) == TEXT


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("between", [b"", b"\0", b"\0" * 100])
def test_several_members_are_one_body(name: str, between: bytes) -> None:
    coder = CODERS[name]
    for piece in PIECES:
        assert decoded(name, coder(TEXT) + between + coder(b"") + coder(b"second") + b"\0tail", piece) == TEXT + b"second"
    with pytest.raises(BadEncoding, match="ends early"):
        decoded(name, coder(TEXT) + coder(RANDOM)[:-9])


def test_a_skippable_frame_of_zstd_is_skipped() -> None:
    assert decoded("zstd", b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(TEXT), 5) == TEXT


@pytest.mark.parametrize("name", ["utf-8", "UTF-8", "none", "identity", "", " , ", "text/html", "8bit", "iso-8859-1", "gzipped"])
def test_a_name_that_is_no_coding_codes_nothing(name: str) -> None:
    for body in (TEXT, RANDOM, b""):
        assert decoded(name, body, 7) == body
    assert decoded(f"gzip, {name}", gzip.compress(TEXT)) == TEXT == decoded(f"{name}, gzip", gzip.compress(TEXT))


@pytest.mark.parametrize("name", [*CODERS, "compress", "gzip, gzip", "br, gzip", "deflate, zstd"])
@pytest.mark.parametrize("body", [TEXT, b"short", b"", "中文页面。".encode() * 300, b"\n\n  <html>", b"PK"])
def test_a_body_that_was_stored_decoded_is_taken_as_it_stands(name: str, body: bytes) -> None:
    for piece in PIECES:
        assert decoded(name, body, piece) == body


def test_several_codings_are_undone_from_the_last_and_a_field_sent_twice_once() -> None:
    assert decoded("gzip, gzip", gzip.compress(gzip.compress(TEXT)), 7) == TEXT == decoded("gzip, gzip", gzip.compress(TEXT), 7)
    assert decoded("br, gzip", gzip.compress(brotli.compress(TEXT)), 7) == TEXT
    assert decoded("deflate,zstd", zstandard.compress(zlib.compress(TEXT)), 7) == TEXT
    with pytest.raises(BadEncoding, match="4 codings"):
        Decoder("gzip, gzip, gzip, gzip", 1 << 20, 200.0)


@pytest.mark.parametrize(
    "field", ["gzip;q=1.0", "gzip; charset=utf-8", "gzip utf-8", "gzip gzip", "utf-8; gzip", "deflate", "deflate, gzip"]
)
def test_a_coding_is_found_beside_parameters_and_without_commas(field: str) -> None:
    for piece in PIECES:
        assert decoded(field, gzip.compress(TEXT) + b"\0", piece) == TEXT, piece


@pytest.mark.parametrize("name", CODERS)
def test_a_coding_that_ends_early_or_is_damaged_is_told(name: str) -> None:
    data = CODERS[name](RANDOM)
    for end in (len(data) // 2, len(data) - 1):
        with pytest.raises(BadEncoding, match="ends early"):
            decoded(name, data[:end], 64)
    if name in ("gzip", "deflate", "br"):  # a zstd frame need not have a checksum
        text = bytearray(CODERS[name](TEXT))
        text[len(text) // 2 :] = bytes(b ^ 0x55 for b in text[len(text) // 2 :])
        with pytest.raises(BadEncoding):
            decoded(name, bytes(text))


def test_a_coding_that_nobody_undoes_is_refused_if_the_body_is_coded() -> None:
    with pytest.raises(BadEncoding, match="'compress' is not undone"):
        decoded("compress", b"\x1f\x9d\x90" + RANDOM)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_stopped_at_the_cap(name: str) -> None:
    with pytest.raises(BodyTooLarge):
        decoded(name, CODERS[name](b"\0" * (30 << 20)))


@given(st.binary(max_size=400), st.sampled_from([*CODERS, "compress", "gzip, br", "zstd, gzip"]), st.integers(1, 50))
@settings(max_examples=300, deadline=None)
def test_any_bytes_under_any_coding_are_a_body_or_damaged(body: bytes, name: str, piece: int) -> None:
    try:
        decoded(name, body, piece)
    except BadEncoding:
        return
