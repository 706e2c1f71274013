"""The parser's process over requests of many documents, and over parts; WARC records beside warcio's reading of them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from headrace_governance.text import parser_process, warc_record
from headrace_governance.text.parser_process import ParserProcess, borrow, document, end_idle, hand_back, page
from headrace_governance.text.warc_record import read_body
from headrace_lake.errors import InputError

PROSE = "The canal feeds the mill, and the miller keeps the sluice clean because the wheel must never stop in winter. " * 3
SLOW = b"<p>" + b"<a href=x>word </a>" * 100_000
"""Nothing but links: read a second time, for four times the 0.3 s that it has here."""


@pytest.fixture(autouse=True)
def no_idle_process() -> Iterator[None]:
    end_idle()
    yield
    end_idle()


def good(number: int) -> bytes:
    return f"<title>{number}</title><p>{PROSE}{number}</p>".encode()


def processes() -> set[int]:
    """The parser's processes of this one."""
    return {p.pid for p in psutil.Process().children() if "headrace_governance.text.parser_process" in p.cmdline()}


def test_documents_of_one_request_are_answered_in_order() -> None:
    parser = ParserProcess(10, 3 << 30)
    answers = parser.ask([page(good(1)), document("application/feed+xml", b"<rss", None), page(good(2)), page(b"")])
    parser.close()
    one, broken, two, empty = answers
    assert one is not None and two is not None and empty is not None
    assert [(a["title"], a["text"]) for a in (one, two)] == [(str(n), f"{PROSE}{n}") for n in (1, 2)]
    assert broken is not None and set(broken) == {"malformed"}
    assert empty == {"title": None, "hostile": None, "fields": {}, "text": ""}


def test_a_document_that_kills_the_process_fails_alone() -> None:
    parser = ParserProcess(0.3, 3 << 30)
    answers = parser.ask([page(good(1)), page(SLOW), page(good(2)), page(SLOW), page(good(3))])
    parser.close()
    assert [a and a["title"] for a in answers] == ["1", None, "2", None, "3"]


def test_a_request_larger_than_any_pipe_gets_its_answers() -> None:
    parser = ParserProcess(10, 3 << 30)
    long = f"<p>{PROSE * 3_000}</p>".encode()
    answers = parser.ask([page(long)] * 8)
    parser.close()
    assert [len(a["text"]) for a in answers if a] == [len(PROSE * 3_000) - 1] * 8


def test_the_next_part_gets_the_process_of_the_last() -> None:
    first = borrow(10, 3 << 30, {})
    first.parse("<p>x")
    before = processes()
    hand_back(first)
    second = borrow(10, 3 << 30, {})
    second.parse("<p>x")
    assert second is first and processes() == before and len(before) == 1
    second.close()


def test_other_limits_or_rules_get_a_process_of_their_own() -> None:
    last = borrow(10, 3 << 30, {})
    last.parse("<p>x")
    others: list[tuple[float, int, dict[str, Any] | None]] = [(9, 3 << 30, {}), (9, 2 << 30, {}), (9, 2 << 30, None)]
    for other in others:  # each differs from the one before in one respect
        assert len(processes()) == 1
        hand_back(last)
        own = borrow(*other)
        assert own is not last and processes() == set()
        assert own.parse(good(1).decode()) is not None
        last = own
    last.close()


def test_a_process_that_served_long_is_not_lent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_process, "LIFE", 2)
    parser = borrow(10, 3 << 30)
    parser.ask([page(b"<p>x"), page(b"<p>y")])
    hand_back(parser)
    assert processes() == set()
    again = borrow(10, 3 << 30)
    assert again is not parser
    again.close()


BODY = "<p>Wasser & Mühle</p>\r\n\r\n".encode() * 100
RECORDS = {
    "plain": ("response", [("Content-Type", "text/html")], BODY),
    "original coding named": ("response", [("x-crawl-content-encoding", "gzip")], BODY),
    "coded": ("response", [("Content-Encoding", "gzip")], gzip.compress(BODY)),
    "chunked": ("response", [("Transfer-Encoding", "chunked")], b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "empty": ("response", [], b""),
    "not ASCII": ("response", [("X-Title", "Mühle")], BODY),
    "of other names": ("response", [("Content-Length-Of-Text", "3"), ("X", "")], BODY),
    "resource": ("resource", None, BODY),
    "file": ("resource", None, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody"),
}


def record(kind: str, headers: list[tuple[str, str]] | None, body: bytes, *, zipped: bool = True) -> bytes:
    out = BytesIO()
    writer = WARCWriter(out, gzip=zipped)
    http = StatusAndHeaders("200 OK", headers, protocol="HTTP/1.1") if headers is not None else None
    writer.write_record(writer.create_warc_record("http://example.org/a", kind, payload=BytesIO(body), length=len(body), http_headers=http))
    return out.getvalue()


def by_warcio(data: bytes, limit: int) -> bytes:
    found: bytes = next(iter(ArchiveIterator(BytesIO(data)))).content_stream().read(limit + 1)
    return found


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("limit", [0, 10, 1 << 20])
@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_the_body_that_warcio_reads(tmp_path: Path, name: str, limit: int, zipped: bool) -> None:
    data = record(*RECORDS[name], zipped=zipped)
    (tmp_path / "a.warc").write_bytes(b"before" + data + b"behind")
    assert read_body(str(tmp_path / "a.warc"), 6, len(data), limit) == by_warcio(data, limit)


@pytest.mark.parametrize("name", ["plain", "original coding named", "of other names", "resource", "file"])
def test_usual_records_need_no_warcio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    data = record(*RECORDS[name])
    (tmp_path / "a.warc").write_bytes(data)
    monkeypatch.delattr(warc_record, "_any_body")
    assert read_body(str(tmp_path / "a.warc"), 0, len(data), 1 << 20) == RECORDS[name][2]


def test_a_bomb_is_read_up_to_the_limit(tmp_path: Path) -> None:
    data = record("resource", None, bytes(64 << 20))
    (tmp_path / "a.warc").write_bytes(data)
    before = psutil.Process().memory_info().rss
    assert read_body(str(tmp_path / "a.warc"), 0, len(data), 1000) == bytes(1001)
    assert psutil.Process().memory_info().rss - before < 8 << 20


def test_a_cut_file_says_so(tmp_path: Path) -> None:
    data = record(*RECORDS["plain"])
    (tmp_path / "a.warc").write_bytes(data[:-5])
    with pytest.raises(InputError, match="no WARC record at byte 0"):
        read_body(str(tmp_path / "a.warc"), 0, len(data), 1 << 20)
