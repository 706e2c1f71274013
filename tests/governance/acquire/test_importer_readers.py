"""JSON Lines, Parquet and folders: what is read, what is left out and why, what is refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from importer_trials import run_import
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from headrace_governance.acquire.crawl.captures import put_evidence
from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import PartSettings, Settings
from headrace_lake.slices import Slice
from headrace_lake.vacuum import vacuum


def gzipped(data: bytes) -> bytes:
    """A gzip member without a time, which would stand in the names of tests."""
    return gzip.compress(data, mtime=0)


ROWS = [
    {"text": "The canal feeds the mill.", "url": "https://x.example/1", "lang": "en"},
    {"text": "Ein zweites.", "url": "https://x.example/1", "lang": "de"},
    {"text": "No address."},
    {"text": "x" * 999, "url": "https://x.example/long"},
    {"text": None, "url": "https://x.example/null"},
]


def test_lines_of_json_are_kept_dropped_or_quarantined(settings: Settings, tmp_path: Path) -> None:
    lines = [*(json.dumps(r) for r in ROWS), "", "[1]", '{"text":', "[" * 100_000]
    (tmp_path / "a.jsonl.gz").write_bytes(gzipped("\n".join(lines).encode()))
    fetch = {"kind": "jsonl", "paths": [str(tmp_path / "*.gz")], "url": "url", "language": "lang", "max_bytes": 900}
    got = run_import(settings, fetch)
    assert sorted(got.every) == ["Ein zweites.", "No address.", "The canal feeds the mill."]
    assert {c["url"] for c in got.captures} == {"https://x.example/1", "https://x.example/1#2", "file:a.jsonl.gz#2"}
    assert {c["language_hint"] for c in got.captures} == {"en", "de", None}
    assert {reason for _, reason in got.dropped} == {"too_large"}
    assert sorted(q.partition(":")[0] for q in got.quarantined) == ["bad_line", "bad_line", "bad_line", "no_text"]


@pytest.mark.parametrize(
    ("rows", "megabytes", "expected"), [(3, 128, [3, 3, 1]), (100, 128, [7]), (100, 0.0025, [2, 2, 1, 1, 1]), (1, 1, [1] * 7)]
)
def test_a_part_ends_with_the_first_limit_that_is_reached(
    settings: Settings, tmp_path: Path, rows: int, megabytes: float, expected: list[int]
) -> None:
    texts = [f"{i} " + "word " * words for i, words in enumerate([200, 200, 200, 200, 900, 1, 500])]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": t, "url": f"https://x.example/{i}"}) for i, t in enumerate(texts)))
    cut = settings.model_copy(update={"lake": settings.lake.model_copy(update={"parts": PartSettings(rows=rows, megabytes=megabytes)})})
    got = run_import(cut, {"kind": "jsonl", "paths": [str(tmp_path / "a.jsonl")], "url": "url"})
    assert sorted(got.every) == sorted(t.strip() for t in texts)
    sizes = Counter(c["part"] for c in got.captures)
    assert [sizes[p] for p in sorted(sizes)] == expected


def test_vacuum_leaves_the_pages_and_the_evidence_of_their_licence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "The canal feeds the mill.", "url": "https://x.example/1"}))
    run_import(settings, {"kind": "jsonl", "paths": [str(tmp_path / "a.jsonl")], "url": "url"})
    lake = Lake.open(settings)
    objects = {o.path for o in lake.storage.list("objects")}
    assert {path.split("/")[1] for path in objects} == {"evidence", "warc"}
    orphan = put_evidence(lake, b"of a page that was not kept", ".json")
    for file in Path(lake.storage.root).rglob("*"):
        os.utime(file, (0, 0))
    vacuum(lake)
    assert {o.path for o in lake.storage.list("objects")} == objects and orphan not in str(objects)


def test_no_item_takes_the_address_that_another_was_given(settings: Settings, tmp_path: Path) -> None:
    urls = ["https://x.example/1", "https://x.example/1", "https://x.example/1#2", "https://x.example/1"]
    rows = [json.dumps({"text": f"The canal feeds mill number {i}.", "url": url}) for i, url in enumerate(urls)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    got = run_import(settings, {"kind": "jsonl", "paths": [str(tmp_path / "a.jsonl")], "url": "url"})
    assert sorted(got.every) == [f"The canal feeds mill number {i}." for i in range(4)]
    assert {c["url"].removeprefix("https://x.example/1") for c in got.captures} == {"", "#2", "#2#2", "#3"}


def test_parquet_gives_the_same_and_names_a_missing_column(settings: Settings, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    fetch = {"kind": "parquet", "paths": [str(tmp_path / "a.parquet")], "url": "url", "language": "lang", "max_bytes": 900}
    got = run_import(settings, fetch)
    assert sorted(got.every) == ["Ein zweites.", "No address.", "The canal feeds the mill."]
    with pytest.raises(InputError, match=r"a.parquet: no column 'body'"):
        run_import(settings, {**fetch, "text": "body"})


def test_a_folder_is_read_and_what_leads_out_of_it_is_not(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "a.html").write_text("<p>One page with words.</p>")
    (folder / "b.txt").write_text("Plain words.")
    (folder / "c.bin").write_bytes(b"\x00")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "d.txt").symlink_to(tmp_path / "secret.txt")
    got = run_import(settings, {"kind": "folder", "path": str(folder)})
    assert got.texts == {"file:a.html": "One page with words.", "file:b.txt": "Plain words."}
    assert {reason for _, reason in got.dropped} == {"media_type", "outside"}


def test_the_same_files_are_adopted_and_changed_ones_imported_again(settings: Settings, tmp_path: Path) -> None:
    licence = {"id": "MIT", "class": "attribution", "basis": "b", "evidence": {"text": "x"}}
    source = Source.model_validate({"id": "trial", "licence": licence, "fetch": {"kind": "jsonl", "paths": [str(tmp_path / "a.jsonl")]}})
    lake, slice_ = Lake.open(settings), Slice("trial", "2026-11-01")

    def run_id(text: str) -> str:
        (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}))
        return fetch_slice(lake, source, slice_).run_id

    first = run_id("one")
    assert run_id("one") == first and run_id("two") != first


LINES = b"".join(b'{"text": "line %d"}\n' % i for i in range(9999))
FRAME = zstandard.ZstdCompressor().compress(LINES)


def damaged(data: bytes) -> bytes:
    """With a few bytes of its middle changed."""
    middle = len(data) // 2
    return data[:middle] + bytes(b ^ 0x55 for b in data[middle : middle + 40]) + data[middle + 40 :]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzipped(LINES)[:-20]),
        ("a.jsonl.gz", damaged(gzipped(LINES))),
        ("a.jsonl.zst", FRAME[:-20]),
        ("a.jsonl.zst", FRAME + FRAME[:-9]),
        ("a.jsonl.zst", damaged(FRAME)),
        ("a.parquet", b"PAR1 cut"),
    ],
    ids=["gzip cut", "gzip damaged", "zstd cut", "zstd cut in its second frame", "zstd damaged", "parquet"],
)
def test_damaged_files_are_refused_by_name(settings: Settings, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=name):
        run_import(settings, {"kind": "parquet" if name.endswith("parquet") else "jsonl", "paths": [str(tmp_path / name)]})


def test_an_address_or_language_that_is_no_unicode_is_written_as_an_escape(settings: Settings, tmp_path: Path) -> None:
    rows = [
        {"text": "An address.", "url": "https://x.example/\ud800"},
        {"text": "A language.", "url": "https://x.example/2", "lang": "\udfff"},
        {"text": 7, "url": "https://x.example/\ud801"},
        {"text": "x" * 999, "url": "https://x.example/ü\ud802"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    fetch = {"kind": "jsonl", "paths": [str(tmp_path / "a.jsonl")], "url": "url", "language": "lang", "max_bytes": 900}
    got = run_import(settings, fetch)
    assert {(c["url"], c["language_hint"]) for c in got.captures} == {
        ("https://x.example/\\ud800", None),
        ("https://x.example/2", "\\udfff"),
    }
    assert got.receipt.counts.reasons["too_large"] == 1 and len(got.quarantined) == 1
    assert next(d for details in got.dropped.values() for d in details).startswith("https://x.example/ü\\ud802")


def test_a_file_whose_name_is_no_unicode_is_imported(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("A name in Latin-1.", encoding="utf-8")
    got = run_import(settings, {"kind": "folder", "path": str(folder), "glob": "*.txt"})
    assert [c["url"] for c in got.captures] == ["file:caf\\udce9.txt"]


def test_a_parquet_string_that_is_no_utf8_ends_nothing(settings: Settings, tmp_path: Path) -> None:
    def strings(*values: bytes) -> pa.Array:
        return pa.array(values, pa.binary()).view(pa.string())

    table = pa.table({"text": strings(b"caf\xe9", b"fine"), "url": strings(b"https://x.example/\xff", b"https://x.example/2")})
    pq.write_table(table, tmp_path / "a.parquet")
    got = run_import(settings, {"kind": "parquet", "paths": [str(tmp_path / "a.parquet")], "url": "url"})
    assert [c["url"] for c in got.captures] == ["https://x.example/2", "https://x.example/\\xff"] and "fine" in got.every


def test_several_zstd_frames_are_one_file(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(zstandard.compress(b'{"text": "frame %d"}\n' % i) for i in range(3)))
    got = run_import(settings, {"kind": "jsonl", "paths": [str(tmp_path / "a.jsonl.zst")]})
    assert sorted(got.every) == ["frame 0", "frame 1", "frame 2"]


def test_a_licence_address_that_is_none_is_an_unknown_licence(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, head in {"a": '<meta name=license content="http://[x">', "b": '<link rel=license href="http://[x">', "c": ""}.items():
        (folder / f"{name}.html").write_text(f"<html><head>{head}</head><body><p>{'A page about mills. ' * 20}</p></body></html>")
    got = run_import(settings, {"kind": "folder", "path": str(folder), "glob": "*.html"})
    assert [c["url"] for c in got.captures] == ["file:c.html"]
    assert got.receipt.counts.reasons == {"licence_unknown": 2}


def test_headers_of_a_warc_that_are_no_ascii_are_kept_percent_encoded(settings: Settings, tmp_path: Path) -> None:
    headers = [("Content-Type", "text/plain"), ("Link", "<http://x.example/é>; rel=shortlink"), ("X-Ä", "ü")]
    with (tmp_path / "a.warc").open("wb") as f:
        writer = WARCWriter(f, gzip=False)
        http = StatusAndHeaders("200 OK", [("Content-Type", "text/plain"), ("Link", "LINK"), ("X-A", "B")], protocol="HTTP/1.1")
        writer.write_record(
            writer.create_warc_record("http://x.example/", "response", payload=io.BytesIO(b"Some text."), http_headers=http)
        )
    raw = (tmp_path / "a.warc").read_bytes()
    head = "\r\n".join(f"{k}: {v}" for k, v in headers).encode()
    old = b"Content-Type: text/plain\r\nLink: LINK\r\nX-A: B"
    length = int(re.search(rb"Content-Length: (\d+)", raw)[1])  # type: ignore[index]
    raw = raw.replace(old, head).replace(b"Content-Length: %d" % length, b"Content-Length: %d" % (length + len(head) - len(old)))
    (tmp_path / "a.warc").write_bytes(re.sub(rb"WARC-(?:Block|Payload)-Digest: [^\r]*\r\n", b"", raw))
    got = run_import(settings, {"kind": "warc", "paths": [str(tmp_path / "a.warc")], "media_types": ["text/plain"]})
    assert got.every == ["Some text."]
