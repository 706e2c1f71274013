"""Bytes to text by the WHATWG Encoding Standard: labels, every index, the error rule, and which declaration counts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import run_import

from headrace_governance.acquire.crawl.pages import read_page
from headrace_governance.encoding.charsets import decoded, encoding_of
from headrace_governance.encoding.decode import decode
from headrace_governance.encoding.meta_charset import declared_in_page
from headrace_lake.settings import Settings

DIGESTS = {
    "ibm866": "686b75efd2b3f33b", "iso-8859-2": "5022a5acfc135548", "iso-8859-3": "eb7b6cafde2e3516", "iso-8859-4": "c7c48533556a78aa",
    "iso-8859-5": "610524d73c3a8dd6", "iso-8859-6": "acc908773ca26146", "iso-8859-7": "272b19d3439dac5c",
    "iso-8859-8": "4e1fa5cd516fc270", "iso-8859-8-i": "4e1fa5cd516fc270", "iso-8859-10": "355f6010e0301d72",
    "iso-8859-13": "fad1948d1e82fdc3", "iso-8859-14": "f504ae7f0963eaaa", "iso-8859-15": "6074e77bed1bfa20",
    "iso-8859-16": "ed0c51115318d70f", "koi8-r": "b48e727c85c19b7f", "koi8-u": "fb858c89a97adf30", "macintosh": "8a54fd551f6e2abf",
    "windows-874": "bb18e07a3ef064fe", "windows-1250": "6403c173e5aecd83", "windows-1251": "8205a42d25f373ea",
    "windows-1252": "db6b3b101a483086", "windows-1253": "3d4f4613434f136e", "windows-1254": "557f8794f20bd7e2",
    "windows-1255": "1a50567127ed530d", "windows-1256": "d358f8e565405b2a", "windows-1257": "c341e869b5932492",
    "windows-1258": "9687371e4eab3a84", "x-mac-cyrillic": "f0cc67c78ee2d6f1", "x-user-defined": "25d7fe6db52314de",
    "utf-8": "af89e50f7aa4c4de", "utf-16le": "c762cb8650a0dd33", "utf-16be": "81e4450fc73e1228", "gbk": "ba24ecee71e0967e",
    "gb18030": "ba24ecee71e0967e", "big5": "a2c3a70474096ee2", "euc-jp": "6105d1a684daace8", "iso-2022-jp": "4d779d9db768bc0b",
    "shift_jis": "e58fc829a37ef3aa", "euc-kr": "12125dda88faac9c",
}  # fmt: skip
"""Encoding → half the SHA-256 of the text of all its two-byte sequences, each with what follows it. `@exodus/bytes` 1.16 for Node,
written from the standard's own indexes, gives the same texts (`benchmarks/text/compare_charsets.py`)."""


def pieces(name: str) -> Iterator[bytes]:
    for first in range(256):
        yield b"".join(bytes([first, second]) + b"\n\n" for second in range(256))
    if name == "euc-jp":
        for first in range(0xA1, 0xFF):
            yield b"".join(bytes([0x8F, first, second]) + b"\n\n" for second in range(256))
    if name == "iso-2022-jp":
        for state in (b"\x1b$B", b"\x1b(I", b"\x1b(J", b"\x1b$@"):
            for first in range(256):
                yield b"".join(state + bytes([first, second]) + b"\x1b(B\n" for second in range(256))
    if name in ("gbk", "gb18030"):
        for first in (0x81, 0x82, 0x84, 0x8F, 0x90, 0xE3, 0xFE):
            for second in range(0x30, 0x3A):
                yield b"".join(bytes([first, second, third, fourth]) for third in range(0x81, 0xFF) for fourth in range(0x30, 0x3A))


@pytest.mark.parametrize("name", DIGESTS)
def test_every_index_is_the_standards(name: str) -> None:
    state = hashlib.sha256()
    for piece in pieces(name):
        state.update(decoded(piece, name).encode("utf-16-le"))
    assert state.hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ISO-8859-9", "windows-1254"), ("latin5", "windows-1254"), ("l5", "windows-1254"), ("tis-620", "windows-874"),
        ("iso-8859-11", "windows-874"), ("latin1", "windows-1252"), ("us-ascii", "windows-1252"), (" Shift_JIS ", "shift_jis"),
        ("x-sjis", "shift_jis"), ("windows-31j", "shift_jis"), ("ks_c_5601-1987", "euc-kr"), ("gb2312", "gbk"), ("big5-hkscs", "big5"),
        ("x-x-big5", "big5"), ("utf-16", "utf-16le"), ("unicode-1-1-utf-8", "utf-8"), ("iso-2022-kr", "replacement"),
        ("hz-gb-2312", "replacement"), ('"utf8"', "utf-8"), ("utf-7", None), ("utf-32", None), ("hz", None), ("", None), ("none", None),
        ("base64", None), ("cp437", None),
    ],
)  # fmt: skip
def test_a_label_means_what_the_standards_table_says(label: str, name: str | None) -> None:
    assert encoding_of(label) == name


@pytest.mark.parametrize(
    ("declared", "data", "text"),
    [
        ("iso-8859-9", "“Türkiye’nin başkenti”".encode("cp1254"), "“Türkiye’nin başkenti”"),
        ("tis-620", "น้ำ…“ก”".encode("cp874"), "น้ำ…“ก”"),
        ("iso-8859-1", b"\x93quoted\x94 \x85 \x80 \x81", "“quoted” … € \x81"),
        ("euc-jp", b"\xad\xa1\xad\xa2\xad\xea\xc5\xc4\xc3\xe6\xad\xd1\xa4\xc7\xa4\xb9", "①②㈱田中㎝です"),
        ("euc-jp", b"\x8e\xb1\x8e\xb2 \xfc\xfc \xf9\xa1", "ｱｲ \uffe4 纊"),
        ("iso-2022-jp", b"\x1b$B-!-j\x1b(B x \x1b$BEDCf\x1b(B", "①㈱ x 田中"),
        ("iso-2022-jp", b"\x1b(I12\x1b(B ok \x1b$B$\"\x1b(B", "ｱｲ ok あ"),
        ("shift_jis", b"\x87\x40\xfa\x58\xfb\xfc", "①㈱髙"),
        ("big5", b"\xf9\xd8\xab\xed\xf9\xd7\xc7\xf3\x88\x62\x87\x40", "裏恆銹АÊ\u0304䏰"),
        ("gbk", b"\x80 5 \xa2\xe3 \xa8\xbf", "€ 5 € ǹ"),
        ("gb2312", b"\x82\x30\xc2\x37", "㜷"),
        ("euc-kr", b"\xb0\xa1\x8c\x62\xb0\xa2", "가똟각"),
        ("x-user-defined", b"a\x80\xff", "a\uf780\uf7ff"),
        ("koi8-u", b"\xae\xbe", "ўЎ"),
        ("macintosh", b"caf\x8e \xdb", "café €"),
    ],
)  # fmt: skip
def test_what_pages_write_and_pythons_codecs_lack_is_read(declared: str, data: bytes, text: str) -> None:
    got = decode(data, declared, html=False)
    assert got.replaced == 0 and got.source == "header" and got.text == text


@pytest.mark.parametrize(
    ("declared", "data", "text"),
    [
        ("euc-jp", "水車".encode("euc_jp") + b"\xa4<b>" + "の".encode("euc_jp"), "水車\ufffd<b>の"),
        ("shift_jis", b"\x81<p>" + "水".encode("cp932"), "\ufffd<p>水"),
        ("big5", b"\xa4/" + "水".encode("big5"), "\ufffd/水"),
        ("gb18030", b"\x81\x30 x" + "水".encode("gbk"), "\ufffd0 x水"),
        ("euc-kr", b"\xc7 " + "물".encode("cp949"), "\ufffd 물"),
        ("utf-8", b"\xe6\xb0 \xf0\x9f\x98 ok \xed\xa0\x80", "\ufffd \ufffd ok \ufffd\ufffd\ufffd"),
    ],
)
def test_a_broken_pair_costs_itself_and_gives_an_ascii_byte_back(declared: str, data: bytes, text: str) -> None:
    got = decode(data, declared, html=False)
    assert (got.text, got.charset) == (text, declared) and got.replaced == text.count("\ufffd") and got.doubtful


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"<meta charset=utf-16>", "utf-8"),
        (b'<META http-equiv="Content-Type" content="text/html; charset=utf-16le">', "utf-8"),
        (b"<meta charset='utf-16be'>", "utf-8"),
        (b'<?xml version="1.0" encoding="UTF-16"?><html>', "utf-8"),
        (b'<?xml version="1.0" encoding="EUC-JP"?><html>', "euc-jp"),
        (b"<meta charset=x-user-defined>", "windows-1252"),
        (b"<!-- <meta charset=koi8-r> --><meta charset=latin5>", "windows-1254"),
        (b'<script>"<meta charset=koi8-r>"</script><meta charset="big5">', "big5"),
        (b'<meta name=description content="charset=koi8-r"><meta charset=gbk>', "gbk"),
        (b'<p title="<meta charset=koi8-r>"><meta charset=gbk>', "gbk"),
        (b"<meta http-equiv=content-type content='text/html;charset = \"shift_jis\"'>", "shift_jis"),
        (b"<meta charset=nonsense><meta charset=iso-8859-2>", "iso-8859-2"),
        (b" " * 5000 + b"<meta charset=iso-8859-2>", "iso-8859-2"),
        (b"<metacharset=koi8-r><meta data-charset=koi8-r>", None),
        (b"<meta charset='koi8-r", None),
        (b"<\x00?\x00x\x00m\x00l\x00", "utf-16le"),
    ],
)
def test_a_page_declares_its_encoding_where_browsers_look_for_it(head: bytes, name: str | None) -> None:
    assert declared_in_page(head) == name


@pytest.mark.parametrize(
    "piece", [b"<meta ", b"<meta a='", b"<!--", b"<script ", b"<meta content=charset= ", b'<a b="', b"charset=", b"< / = "]
)
def test_a_head_of_repeated_markup_costs_milliseconds(piece: bytes) -> None:
    start = time.process_time()
    for _ in range(10):
        declared_in_page(b"charset" + piece * (20_000 // len(piece)))
    assert time.process_time() - start < 2


@pytest.mark.parametrize("label", ["utf-16", "utf-16le", "UTF-16BE"])
def test_bytes_without_nul_are_not_utf16_whoever_says_so(label: str) -> None:
    page = f"<meta charset={label}><p>Plain ASCII words, a 水車 and an é.".encode()
    assert decode(page, None, html=True).text == page.decode()
    assert decode(page, label, html=True).text == page.decode()
    assert decode("Wörter".encode("utf-16-be"), "utf-16be", html=False).text == "Wörter"
    assert decode("Wörter".encode("utf-16-le"), "utf-16", html=False).text == "Wörter"


def test_a_mark_beats_the_header_and_the_header_the_page() -> None:
    page = "<meta charset=koi8-r>Ä"
    assert decode(page.encode("utf-8-sig"), "latin1", html=True).charset == "utf-8"
    assert decode(page.encode("cp1250"), "windows-1250", html=True).charset == "windows-1250"
    # What servers say of everything comes after what the page says.
    assert decode("<meta charset=koi8-r>Канал".encode("koi8-r"), "iso-8859-1", html=True).text.endswith("Канал")


def test_a_guessed_text_says_so_and_a_declared_one_does_not() -> None:
    japanese = "古い運河は上の湖から水車まで水を運ぶ。".encode("euc-jp")
    assert decode(japanese, None, html=False).doubt() == {"charset": "euc-jp", "charset_source": "guess"}
    assert decode(japanese, "euc-jp", html=False).doubt() == {}
    assert decode(b"\x1b$B?e<V\x1b(B", None, html=False).text == "水車"
    bad = decode(b"good \xff text", "utf-8", html=False)
    assert bad.doubt() == {"charset": "utf-8", "charset_source": "header", "replaced_characters": "1"}
    assert decode("ein \ufffd im Text".encode(), "utf-8", html=False).doubt() == {}


def test_an_encoding_that_hides_markup_is_not_decoded() -> None:
    for label in ("iso-2022-kr", "hz-gb-2312"):
        got = decode(b"~{VPND~} \x1b$)C text", label, html=False)
        assert (got.text, got.charset, got.replaced) == ("\ufffd", "replacement", 1)


@given(st.binary(max_size=300), st.sampled_from([*DIGESTS, "replacement"]), st.booleans())
def test_no_bytes_break_a_decoder(body: bytes, name: str, html: bool) -> None:
    got = decode(body, name, html=html)
    got.text.encode("utf-8")
    assert got.replaced >= 0


PROSE = (
    "<p>" + "The old canal carries water from the upper lake to the mill, and every spring the keeper opens the gates slowly. " * 3 + "</p>"
)
PAGES = {
    "turkish": ("iso-8859-9", "cp1254", "“Türkiye’nin başkenti Ankara’dır” dedi öğretmen."),
    "japanese": ("euc-jp", None, "手順は次の通りです。①電源を入れる。②㈱田中商店へ行く。寸法は約５０㎝です。"),
    "chinese": ("big5", None, "這裏的牆上掛著一幅畫，恒春半島的銹色海岸線很美。"),
    "ascii": ("", "ascii", "Plain ASCII words of a page that calls itself UTF-16."),
}
_ROW_13 = {"①": b"\xad\xa1", "②": b"\xad\xa2", "㈱": b"\xad\xea", "㎝": b"\xad\xd1"}
_ETEN = {"裏": b"\xf9\xd8", "恒": b"\xf9\xda", "銹": b"\xf9\xd7"}


def _bytes(words: str, label: str, codec: str | None) -> bytes:
    """Encoded as such pages are, with the characters that Python's codecs refuse."""
    if codec is not None:
        return words.encode(codec)
    more, base = (_ROW_13, "euc_jp") if label == "euc-jp" else (_ETEN, "big5")
    return b"".join(more[c] if c in more else c.encode(base) for c in words)


def test_pages_of_a_warc_file_are_read_in_the_encoding_that_browsers_use(settings: Settings, tmp_path: Path) -> None:
    meta = "<meta http-equiv='Content-Type' content='text/html; charset=utf-16'>"
    with (tmp_path / "pages.warc").open("wb") as out:
        for name, (label, codec, words) in PAGES.items():
            head = (
                f"<!DOCTYPE html><html><head><title>A page</title>{meta if name == 'ascii' else ''}</head><body><main><article>{PROSE}<p>"
            )
            body = head.encode() + _bytes(words, label, codec) + f"</p>{PROSE}</article></main></body></html>".encode()
            out.write(_record(name, f"text/html{'; charset=' + label if label else ''}", body))
        out.write(_record("utf-16", "text/plain; charset=utf-16", "Ein Text ohne Marke, den nur die Kopfzeile nennt.".encode("utf-16-le")))
        out.write(_record("damaged", "text/plain; charset=utf-8", b"One bad byte \xff in a line of text."))
    got = run_import(settings, {"kind": "warc", "paths": [str(tmp_path / "pages.warc")]})
    for name, (_, _, words) in PAGES.items():
        assert words in got.texts[f"http://site.example/{name}"], name
    assert got.texts["http://site.example/utf-16"] == "Ein Text ohne Marke, den nur die Kopfzeile nennt."
    assert got.fields == {
        "http://site.example/damaged": {"charset": "utf-8", "charset_source": "header", "replaced_characters": "1"}
    }  # of the others, none is doubtful


def _record(name: str, kind: str, body: bytes) -> bytes:
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode() + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{len(answer):012d}>\r\n"
        f"WARC-Date: 2024-05-01T10:00:00Z\r\nWARC-Target-URI: http://site.example/{name}\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(answer)}\r\n\r\n"
    )
    return head.encode() + answer + b"\r\n\r\n"


@pytest.mark.parametrize("declared", ["", "utf-16", "euc-jp", "iso-8859-9", "nonsense"])
def test_a_page_that_calls_itself_utf16_keeps_its_licence_and_links(declared: str) -> None:
    head = "<meta http-equiv=Content-Type content='text/html; charset=utf-16'><link rel=license href='https://x.org/licence'>"
    page = f"<html lang=tr><head>{head}</head><body><a href='/next'>next</a></body></html>".encode()
    found = read_page("https://x.org/", page, declared)
    assert found.links == ["https://x.org/next"] and found.language == "tr"
    assert found.facts.licence_links == [("rel-license", "https://x.org/licence")]
