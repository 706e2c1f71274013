"""JSON Lines, Parquet and folders: what is read, what is left out and why, what is refused."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from importer_trials import run_import

from headrace_governance.crawl.captures import put_evidence
from headrace_governance.fetching import fetch_slice
from headrace_governance.sources import Source
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import PartSettings, Settings
from headrace_lake.slices import Slice
from headrace_lake.vacuum import vacuum

ROWS = [
    {"text": "The canal feeds the mill.", "url": "https://x.example/1", "lang": "en"},
    {"text": "Ein zweites.", "url": "https://x.example/1", "lang": "de"},
    {"text": "No address."},
    {"text": "x" * 999, "url": "https://x.example/long"},
    {"text": None, "url": "https://x.example/null"},
]


def test_lines_of_json_are_kept_dropped_or_quarantined(settings: Settings, tmp_path: Path) -> None:
    lines = [*(json.dumps(r) for r in ROWS), "", "[1]", '{"text":', "[" * 100_000]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
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


@pytest.mark.parametrize(
    ("name", "data"), [("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 999)[:-20]), ("a.parquet", b"PAR1 cut")], ids=["jsonl", "parquet"]
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
