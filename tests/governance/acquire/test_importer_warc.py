"""WARC and ARC files: a fault costs the record that has it, and what is missing or left out is said and counted."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from importer_trials import run_import

from headrace_governance.acquire.importers.warc import read_warc, warc_date
from headrace_governance.containers.item import Item, Reading
from headrace_governance.sources.source import WarcFetch
from headrace_lake.errors import InputError
from headrace_lake.settings import Settings


def gzipped(data: bytes) -> bytes:
    """A gzip member without a time, which would stand in the names of tests."""
    return gzip.compress(data, mtime=0)


SENTENCE = b"The old canal carries water from the upper lake to the mill, and every spring the keeper opens the gates. "


def page(name: str) -> bytes:
    return b"<html><head><title>%s</title></head><body><p>Page %s. %s</p></body></html>" % (name.encode(), name.encode(), SENTENCE * 5)


def record(
    name: str,
    body: bytes | None = None,
    *fields: bytes,
    kind: bytes = b"response",
    date: bytes | None = b"2024-05-01T10:00:00Z",
    http: bytes = b"Content-Type: text/html; charset=utf-8\r\n",
    off: int = 0,
    extra: bytes = b"",
    version: bytes = b"1.0",
) -> bytes:
    """A record of a page; `fields` are HTTP header lines, `off` is by how much the record's Content-Length is wrong."""
    lines = http + b"".join(f + b"\r\n" for f in fields)
    block = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n" + (page(name) if body is None else body)
    head = b"WARC/%s\r\nWARC-Type: %s\r\nWARC-Target-URI: http://site.example/%s\r\n" % (version, kind, name.encode())
    head += b"" if date is None else b"WARC-Date: " + date + b"\r\n"
    head += b"Content-Type: application/http; msgtype=response\r\n" + extra
    return head + b"Content-Length: %d\r\n\r\n" % (len(block) + off) + block + b"\r\n\r\n"


PACKED: dict[str, Callable[[list[bytes]], bytes]] = {
    "plain": b"".join,
    "gzip": lambda records: b"".join(map(gzip.compress, records)),
    "one gzip": lambda records: gzipped(b"".join(records)),
    "zstd": lambda records: b"".join(map(zstandard.compress, records)),
    "one zstd": lambda records: zstandard.compress(b"".join(records)),
    "bzip2": lambda records: bz2.compress(b"".join(records)),
    "xz": lambda records: lzma.compress(b"".join(records)),
}


class Read:
    """The items of one file: names of the pages kept, name or address → reason of the others, and what is said beside them."""

    def __init__(self, folder: Path, data: bytes, **fetch: Any) -> None:
        file = folder / "a.warc"  # no suffix says how it is packed
        file.write_bytes(data)
        reading = Reading()
        self.items: list[Item] = list(read_warc(WarcFetch(kind="warc", paths=("a.warc",), **fetch), [file], reading))
        self.kept = [i.url.rpartition("/")[2] for i in self.items if i.problem is None]
        self.lost = {i.url.rpartition("/")[2]: i.problem[0] for i in self.items if i.problem is not None}
        self.details = " ".join(i.problem[1] for i in self.items if i.problem is not None)
        self.failed = sum(i.failed for i in self.items)
        self.notes = reading.notes()
        self.bodies = [i.body for i in self.items if i.problem is None]


# -- files that are cut or damaged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", PACKED)
def test_a_file_is_read_whatever_it_is_packed_in(tmp_path: Path, packed: str) -> None:
    got = Read(tmp_path, PACKED[packed]([record(n) for n in "abc"]))
    assert got.kept == ["a", "b", "c"] and got.bodies == [page(n) for n in "abc"] and not got.notes


@pytest.mark.parametrize("packed", PACKED)
def test_a_file_that_is_cut_anywhere_keeps_its_whole_records_and_says_so(tmp_path: Path, packed: str) -> None:
    records = [record(n, random.Random(n).randbytes(300).hex().encode()) for n in "abcd"]
    data = PACKED[packed](records)
    starts = {sum(len(PACKED[packed]([r])) for r in records[:n]) for n in range(5)} if packed in ("plain", "gzip", "zstd") else set()
    for end in [*range(101, len(data), 37), *(len(data) - n for n in range(1, 14))]:
        try:
            got = Read(tmp_path, data[:end])
        except InputError as exc:  # nothing of it can be read
            assert "a.warc" in str(exc) and packed not in ("plain", "gzip", "zstd")
            continue
        assert got.kept == list("abcd")[: len(got.kept)]
        at_a_boundary = any(
            start <= end <= start + 4 * (packed == "plain") or start - 4 * (packed == "plain") <= end <= start for start in starts
        )
        if not at_a_boundary and not (packed == "zstd" and len(got.kept) == 4):
            assert got.notes, f"cut at byte {end} of {len(data)}: nothing said"
        assert set(got.lost.values()) <= {"cut"} and len(got.lost) == got.failed <= 1


def test_the_record_that_is_cut_is_quarantined_by_its_address_and_the_result_names_the_file(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "cut.warc").write_bytes((record("a") + record("b") + record("c"))[:-400])
    got = run_import(settings, {"kind": "warc", "paths": [str(tmp_path / "cut.warc")]})
    assert sorted(c["url"] for c in got.captures) == ["http://site.example/a", "http://site.example/b"]
    assert len(got.quarantined) == 1 and got.quarantined[0].startswith("cut: cut.warc record 2: ")
    assert any(note.startswith("incomplete: cut.warc: record 2 is cut") for note in got.receipt.notes)
    assert "failed: cut 1" in got.receipt.notes and got.receipt.counts.failed == 1


@pytest.mark.parametrize("off", [-300, -7, -2, 5, 60, 700, 5000, 10**6, 10**8, 10**12])
@pytest.mark.parametrize("packed", ["plain", "gzip", "one gzip", "zstd"])
def test_a_wrong_length_costs_its_record_alone(tmp_path: Path, off: int, packed: str) -> None:
    got = Read(tmp_path, PACKED[packed]([record("a"), record("b", off=off), record("c"), record("d")]))
    assert got.kept == ["a", "c", "d"] and got.lost == {"b": "bad_length"} and "record 1" in got.notes[0]


@pytest.mark.parametrize("length", [b"", b"Content-Length: many\r\n", b"Content-Length: -5\r\n"])
def test_so_does_one_that_is_missing_or_no_number(tmp_path: Path, length: bytes) -> None:
    whole = record("b")
    start = whole.index(b"Content-Length")
    got = Read(tmp_path, record("a") + whole[:start] + length + whole[whole.index(b"\r\n", start) + 2 :] + record("c"))
    assert got.kept == ["a", "c"] and got.lost == {"b": "bad_length"}


def test_a_page_that_shows_a_warc_record_is_one_page(tmp_path: Path) -> None:
    body = b"<pre>" + SENTENCE + b"\r\n\r\n" + record("inner")[:200] + b"</pre>"
    got = Read(tmp_path, record("a", body) + record("b"))
    assert got.kept == ["a", "b"] and got.bodies[0] == body


@pytest.mark.parametrize("packed", ["gzip", "one gzip", "zstd"])
def test_damage_costs_what_it_hits(tmp_path: Path, packed: str) -> None:
    rng = random.Random(1)
    records = [record(n, rng.randbytes(3000).hex().encode()) for n in "abcde"]
    checked = zstandard.ZstdCompressor(write_checksum=True)
    data = PACKED[packed](records) if packed != "zstd" else b"".join(map(checked.compress, records))
    middle = len(data) // 2
    got = Read(tmp_path, data[:middle] + bytes(b ^ 0x55 for b in data[middle : middle + 30]) + data[middle + 30 :])
    if packed == "one gzip":
        assert got.kept == ["a", "b"] and list(got.lost.values()) == ["damaged"]
    else:
        assert len(got.kept) == 4 and set(got.lost.values()) <= {"damaged", "bad_length"} and len(got.lost) == 1
    assert "incomplete: a.warc" in got.notes[0]


def test_damage_of_the_first_member_costs_no_other(tmp_path: Path) -> None:
    data = bytearray(PACKED["gzip"]([record(n) for n in "abc"]))
    data[40] ^= 0x55
    got = Read(tmp_path, bytes(data))
    assert got.kept == ["b", "c"] and list(got.lost.values()) == ["damaged"]


def test_zero_padding_is_nothing_and_other_bytes_behind_the_last_member_are_said(tmp_path: Path) -> None:
    data = PACKED["gzip"]([record("a"), record("b")])
    assert Read(tmp_path, data + b"\0" * 700).notes == []
    got = Read(tmp_path, data + b"tail")
    assert got.kept == ["a", "b"] and list(got.lost.values()) == ["damaged"]


def test_a_zstd_file_with_a_dictionary_is_read(tmp_path: Path) -> None:
    samples = [record(str(n), page(str(n)) + random.Random(n).randbytes(40).hex().encode()) for n in range(200)]
    dictionary = zstandard.train_dictionary(4096, samples)
    coder = zstandard.ZstdCompressor(dict_data=dictionary)
    raw = dictionary.as_bytes()
    for stored in (raw, zstandard.compress(raw)):
        data = b"\x5d\x2a\x4d\x18" + len(stored).to_bytes(4, "little") + stored + b"".join(coder.compress(record(n)) for n in "ab")
        assert Read(tmp_path, data).kept == ["a", "b"]


@pytest.mark.parametrize("data", [b"", b"<html>no archive</html>", gzipped(b"words"), b"PK\x03\x04" + b"x" * 500])
def test_a_file_of_another_format_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"a\.warc: no WARC record in it"):
        Read(tmp_path, data)


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2016", (2016,)),
        ("2016-05", (2016, 5)),
        ("2016-05-03", (2016, 5, 3)),
        ("2016-05-03T10Z", (2016, 5, 3, 10)),
        ("2016-05-03T10:20Z", (2016, 5, 3, 10, 20)),
        ("2016-05-03T10:20:30Z", (2016, 5, 3, 10, 20, 30)),
        ("2016-05-03T10:20:30", (2016, 5, 3, 10, 20, 30)),
        ("2016-05-03t10:20:30z", (2016, 5, 3, 10, 20, 30)),
        ("2016-05-03 10:20:30", (2016, 5, 3, 10, 20, 30)),
        ("2016-05-03T10:20:30.5Z", (2016, 5, 3, 10, 20, 30, 500000)),
        ("2016-05-03T10:20:30,123456789Z", (2016, 5, 3, 10, 20, 30, 123456)),
        ("2016-05-03T10:20:30+02:00", (2016, 5, 3, 8, 20, 30)),
        ("2016-05-03T10:20:30-0530", (2016, 5, 3, 15, 50, 30)),
        ("20160503102030", (2016, 5, 3, 10, 20, 30)),
        ("20160503T102030Z", (2016, 5, 3, 10, 20, 30)),
        ("2016-12-31T23:59:60Z", (2016, 12, 31, 23, 59, 59)),
        ("2016-05-03T24:00:00Z", (2016, 5, 4)),
        ("Tue, 03 May 2016 10:20:30 GMT", (2016, 5, 3, 10, 20, 30)),
    ],
)  # fmt: skip
def test_a_date_is_read_at_any_granularity(text: str, at: tuple[int, ...]) -> None:
    parts = (*at, 1, 1)[: max(3, len(at))] if len(at) < 3 else at
    assert warc_date(text) == datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2016-13", "2016-02-30", "0000", "99999", "2016-05-03T25:00Z", "16-05-03", "2016-05-03T10:20:61Z"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert warc_date(text) is None


def test_a_date_that_cannot_be_read_costs_its_record_alone(settings: Settings, tmp_path: Path) -> None:
    dates = {
        "a": b"2024-05-01T10:00:00Z",
        "x": b"2016",
        "y": b"soon",
        "z": None,
        "s": b"20160503102030",
        "b": b"2024-05-01T10:00:00.25+02:00",
    }
    (tmp_path / "a.warc").write_bytes(b"".join(record(n, date=d, version=b"1.1") for n, d in dates.items()))
    got = run_import(settings, {"kind": "warc", "paths": [str(tmp_path / "a.warc")]})
    at = {c["url"][-1]: c["fetched_at"] for c in got.captures}
    assert set(at) == {"a", "b", "s", "x"} and at["x"].year == 2016 and at["b"].hour == 8
    assert sorted(q.partition(":")[0] for q in got.quarantined) == ["bad_date", "bad_date"] and got.receipt.counts.read == 6
    assert any("WARC-Date 'soon' is not a date" in q for q in got.quarantined)


def chunks(body: bytes, size: int = 300) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i : i + size] for i in range(0, len(body), size))) + b"0\r\n\r\n"


P = page("p")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (P, [b"Content-Encoding: utf-8"]),
        (P, [b"Content-Encoding: none"]),
        (P, [b"Content-Encoding: "]),
        (P, [b"Content-Encoding: gzip"]),
        (P, [b"Content-Encoding: gzip", b"Content-Encoding: gzip"]),
        (P, [b"Content-Encoding: br"]),
        (P, [b"Content-Encoding: deflate", b"Transfer-Encoding: chunked"]),
        (gzipped(P) + b"\0", [b"Content-Encoding: gzip"]),
        (gzipped(P) + b"\r\ntail", [b"Content-Encoding: x-gzip"]),
        (gzipped(P[:99]) + gzipped(P[99:]), [b"Content-Encoding: gzip"]),
        (brotli.compress(P) + b"\0\0", [b"Content-Encoding: br"]),
        (zstandard.compress(P), [b"Content-Encoding: zstd", b"Content-Encoding: identity"]),
        (chunks(P), [b"Transfer-Encoding: chunked"]),
        (chunks(P), [b"Transfer-Encoding: Chunked, chunked"]),
        (chunks(P)[:-2] + b"X-Trailer: 1\r\n\r\n", [b"Transfer-Encoding: chunked"]),
        (P, [b"Transfer-Encoding: chunked"]),
        (chunks(P), []),
        (chunks(gzipped(P)), [b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"]),
        (gzipped(P), [b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"]),
        (chunks(gzipped(P)), [b"Content-Encoding: gzip"]),
        (chunks(gzipped(P)), [b"Transfer-Encoding: gzip, chunked"]),
        (P, [b"Content-Type: text/html"]),
        (P, [b"X-Fold: a", b" b: c", b"no colon", b": no name", b"X-\xe4: \xfc\x00\r"]),
    ],
)  # fmt: skip
def test_a_body_is_read_however_it_is_stored_and_whatever_its_fields_say(tmp_path: Path, body: bytes, fields: list[bytes]) -> None:
    got = Read(tmp_path, record("p", body, *fields) + record("q"))
    assert got.bodies == [P, page("q")]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (gzipped(P)[:-30], [b"Content-Encoding: gzip"]),
        (chunks(P)[:-300], [b"Transfer-Encoding: chunked"]),
        (chunks(P)[:-5], [b"Transfer-Encoding: chunked"]),
        (b"\x1f\x9d\x90" + bytes(range(200)), [b"Content-Encoding: compress"]),
    ],
)
def test_a_body_that_ends_early_is_quarantined_alone(tmp_path: Path, body: bytes, fields: list[bytes]) -> None:
    got = Read(tmp_path, record("p", body, *fields) + record("q"))
    assert got.kept == ["q"] and got.lost == {"p": "encoding"} and got.failed == 1


@pytest.mark.parametrize(
    ("http", "kind"),
    [
        (b"Content-Type: text/html\r\nContent-Type: text/html\r\n", "text/html"),
        (b"Content-Type: text/html, text/html; charset=utf-8\r\n", "text/html"),
        (b"Content-Type: text/html charset=utf-8\r\n", "text/html"),
        (b"", "text/html"),
        (b"Content-Type: */*\r\n", "text/html"),
    ],
)
def test_a_page_is_known_under_every_odd_content_type(tmp_path: Path, http: bytes, kind: str) -> None:
    got = Read(tmp_path, record("p", http=http) + record("png", b"\x89PNG\0\0", http=http if not http else b""))
    assert [i.content_type for i in got.items if i.problem is None] == [kind] and got.lost == {"png": "media_type"}


def test_headers_that_end_in_bare_line_feeds_are_read(tmp_path: Path) -> None:
    body = page("p").replace(b"\n", b" ")
    block = b"HTTP/1.0 200\nContent-Type: text/html\n\n" + body
    head = b"WARC/0.18\nwarc-type: RESPONSE\nwarc-date: 2009\nWARC-TARGET-URI: <http://site.example/p>\nContent-Type: application/http\n"
    got = Read(tmp_path, (head + b"content-length: %d\n\n" % len(block) + block + b"\n\n") * 2)
    assert got.kept == ["p", "p"] and got.bodies == [body, body]


def test_a_record_without_its_address_or_its_status_line_is_quarantined(tmp_path: Path) -> None:
    nameless = record("x").replace(b"WARC-Target-URI: http://site.example/x\r\n", b"")
    headless = record("y").replace(b"HTTP/1.1 200 OK\r\n", b"XTTP, 200 is OK\r\n"[:17])
    got = Read(tmp_path, nameless + headless + record("z"))
    assert got.kept == ["z"] and set(got.lost.values()) == {"bad_record"} and got.failed == 2


# -- records that are no pages -----------------------------------------------------------------------------------------


def test_other_records_are_counted_by_type(settings: Settings, tmp_path: Path) -> None:
    kinds = [b"warcinfo", b"request", b"metadata", b"revisit", b"request", b"Conversion", b"continuation"]
    dns = record("d").replace(b"http://site.example/d", b"dns:site.example")
    truncated = record("t", extra=b"WARC-Truncated: length\r\n")
    (tmp_path / "a.warc").write_bytes(b"".join(record("o", kind=k) for k in kinds) + dns + record("a") + truncated)
    got = run_import(settings, {"kind": "warc", "paths": [str(tmp_path / "a.warc")]})
    assert {c["url"][-1] for c in got.captures} == {"a", "t"} and got.receipt.counts.read == 2
    said = [
        "continuation records 1",
        "conversion records 1",
        "dns records 1",
        "metadata records 1",
        "request records 2",
        "revisit records 1",
    ]
    assert {f"skipped: {s}" for s in [*said, "truncated by the crawler (length), kept 1", "warcinfo records 1"]} < set(got.receipt.notes)


@pytest.mark.parametrize("kind", [b"conversion", b"metadata", b"request"])
def test_a_file_without_pages_is_named_beside_one_with_pages(settings: Settings, tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "a.warc.gz").write_bytes(PACKED["gzip"]([record("a")]))
    (tmp_path / "b.warc.wet.gz").write_bytes(PACKED["gzip"]([record("i", kind=b"warcinfo"), *[record("c", kind=kind)] * 3]))
    got = run_import(settings, {"kind": "warc", "paths": [str(tmp_path / "*.gz")]})
    assert len(got.captures) == 1 and len(got.quarantined) == 1
    assert got.quarantined[0].startswith(f"no_pages: b.warc.wet.gz: no response in it, but 3 {kind.decode()}, 1 warcinfo")
    assert ("WET files" in got.quarantined[0]) is (kind != b"request")


def test_an_import_of_such_files_alone_ends_with_their_name(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "only.wet").write_bytes(record("c", kind=b"conversion"))
    with pytest.raises(InputError, match=r"only\.wet: no response in it, but 1 conversion"):
        run_import(settings, {"kind": "warc", "paths": [str(tmp_path / "only.wet")]})


def arc(name: str, body: bytes | None = None, *, url: str = "", kind: str = "text/html", version: int = 1, status: str = "200 OK") -> bytes:
    block = f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\n\r\n".encode() + (page(name) if body is None else body)
    beyond = "200 - - 0 x.arc " if version == 2 else ""
    return f"{url or 'http://site.example/' + name} 192.0.2.1 20040510000001 {kind} {beyond}{len(block)}\n".encode() + block + b"\n"


_VERSION = b"1 0 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n\n"
FILEDESC = b"filedesc://x.arc 0.0.0.0 20040510000000 text/plain %d\n%s\n" % (len(_VERSION), _VERSION)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("packed", ["plain", "gzip", "one gzip"])
def test_arc_files_are_read(tmp_path: Path, version: int, packed: str) -> None:
    dns = b"dns:site.example 192.0.2.1 20040510000001 text/dns 5\nabcde\n"
    records = [FILEDESC, arc("a", version=version), dns, arc("b c", version=version), arc("d", version=version, status="404 No")]
    got = Read(tmp_path, PACKED[packed](records))
    assert got.kept == ["a", "b%20c"] and got.bodies == [page("a"), page("b c")] and got.lost == {"d": "http_status"}
    assert got.items[0].fetched_at == datetime(2004, 5, 10, 0, 0, 1, tzinfo=UTC)
    assert got.notes == ["skipped: dns records 1", "skipped: filedesc records 1"]


def test_an_arc_file_that_is_cut_says_so(tmp_path: Path) -> None:
    data = FILEDESC + arc("a") + arc("b")
    got = Read(tmp_path, data[:-50])
    assert got.kept == ["a"] and got.lost == {"b": "cut"} and "a.warc: record 2 is cut" in got.notes[0]


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_record_that_is_too_long_is_dropped_without_being_held(tmp_path: Path) -> None:
    long = record("long", b"x" * (3 << 20))
    bomb = record("bomb", gzipped(b"\0" * (30 << 20)), b"Content-Encoding: gzip")
    missing = record("gone", b"x" * (3 << 20)).replace(b"200 OK", b"404 No")
    got = Read(tmp_path, PACKED["gzip"]([record("a"), long, bomb, missing, record("b")]), max_bytes=100_000)
    assert got.kept == ["a", "b"] and got.lost == {"long": "too_large", "bomb": "too_large", "gone": "http_status"} and got.failed == 0


def test_addresses_are_in_the_normal_form_of_the_crawler(tmp_path: Path) -> None:
    written = {
        b"HTTP://Site.Example:80/x/../a": "http://site.example/a",
        b"http://site.example/caf\xc3\xa9#x": "http://site.example/caf%C3%A9",
    }
    written |= {b"http://me@site.example/c": "http://me@site.example/c", b"urn:uuid:1": None}  # type: ignore[dict-item]
    got = Read(tmp_path, b"".join(record("z").replace(b"http://site.example/z", w) for w in written))
    assert [i.url for i in got.items] == [u for u in written.values() if u] and got.notes == ["skipped: urn records 1"]
