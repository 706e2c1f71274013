"""What is incomplete in a dump is said and counted: lines, row groups, archives and feeds that end too early or cannot be read."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from importer_trials import run_import

from headrace_governance.acquire.importers.readers import read_jsonl, read_parquet
from headrace_governance.containers.opening import members
from headrace_governance.sources.import_options import NewsFetch
from headrace_governance.sources.source import JsonlFetch, ParquetFetch
from headrace_governance.text.formats.news.read import read_news
from headrace_lake.errors import InputError
from headrace_lake.settings import Settings


def lines(folder: Path, data: bytes, **fetch: object) -> tuple[list[str], dict[str, str]]:
    """Texts that are kept, and address → reason and detail of the other lines."""
    file = folder / "a.jsonl"
    file.write_bytes(data)
    items = list(read_jsonl(JsonlFetch(kind="jsonl", paths=("a.jsonl",), **fetch), [file]))  # type: ignore[arg-type]
    return [i.body.decode() for i in items if i.problem is None], {i.url: " ".join(i.problem) for i in items if i.problem is not None}


@pytest.mark.parametrize(
    "data",
    [
        b'{"text": "one"}\n{"text": "two"}\n',
        b'{"text": "one"}\n{"text": "two"}',
        b'\xef\xbb\xbf{"text": "one"}\r\n\r\n \n{"text": "two"}\r\n',
        b'{"text": "one"} \n\n\n\t{"text": "two"}',
    ],
)
def test_marks_line_ends_and_blank_lines_are_no_lines(tmp_path: Path, data: bytes) -> None:
    assert lines(tmp_path, data) == (["one", "two"], {})


def test_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1eg"
    assert lines(tmp_path, json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n") == ([text], {})
    assert lines(tmp_path, '{"text": "a\u2028b\u2029c\x85d"}\n'.encode()) == (["a\u2028b\u2029c\x85d"], {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut', "bad_line"),
        (b'{"text": "a"}{"text": "b"}', "bad_line"),
        (b'[{"text": "a"}, {"text": "b"}]', "bad_line"),
        (b'{"text": "caf\xe9"}', "bad_line"),
        (b'{"text": "a", "text": "b"}', "bad_line"),
        (b'{"url": "http://h/1", "url": "http://h/2", "text": "b"}', "bad_line"),
        ('{"text": "x"}'.encode("utf-16"), "bad_line"),
        (b'{"other": "a"}', "no_text"),
        (b'{"text": ["a"]}', "no_text"),
        (b'{"text": "' + b"x" * 200 + b'"}', "too_large"),
    ],
)
def test_a_line_that_cannot_be_read_costs_itself_and_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    kept, lost = lines(tmp_path, b'{"text": "one"}\n' + line + b'\n{"text": "two"}\n', url="url", max_bytes=100)
    assert kept == ["one", "two"] and len(lost) == line.count(b"\n") + 1
    assert next(iter(lost.values())).startswith(reason) and "file:a.jsonl#1" in lost


def test_a_key_that_stands_twice_elsewhere_is_no_fault(tmp_path: Path) -> None:
    data = b'{"text": "a \\"text\\": b", "x": 1, "x": 2, "meta": {"text": "inner"}}\n'
    assert lines(tmp_path, data) == (['a "text": b'], {})


def test_a_huge_line_is_passed_over_without_being_held(tmp_path: Path) -> None:
    data = b'{"text": "one"}\n{"text": "' + b"x" * (40 << 20) + b'"}\n{"text": "two"}\n'
    file = tmp_path / "a.jsonl"
    file.write_bytes(data)
    del data
    tracemalloc.start()
    items = list(read_jsonl(JsonlFetch(kind="jsonl", paths=("a.jsonl",), max_bytes=100), [file]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [i.problem and i.problem[0] for i in items] == [None, "too_large", None] and peak < 8 << 20


def test_a_parquet_file_with_a_damaged_page_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    table = pa.table({"text": [f"line {i} " * 20 for i in range(4000)]})
    pq.write_table(table, file, row_group_size=1000, compression="none", use_dictionary=False, write_page_checksum=True)
    data = bytearray(file.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 5):
        data[at] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.parquet: not a complete Parquet file .* \d+ rows were read"):
        list(read_parquet(ParquetFetch(kind="parquet", paths=("a.parquet",)), [file]))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()])
def test_every_layout_of_strings_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array(["one", None, "two", "one"]).cast(kind)}), file)
    items = list(read_parquet(ParquetFetch(kind="parquet", paths=("a.parquet",)), [file]))
    assert [i.body for i in items if i.problem is None] == [b"one", b"two", b"one"] and sum(i.failed for i in items) == 1


def test_a_column_that_only_one_of_the_files_lacks_is_named_with_the_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"body": ["b"]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: no column 'text'"):
        list(read_parquet(ParquetFetch(kind="parquet", paths=("x",)), [tmp_path / "a.parquet", tmp_path / "b.parquet"]))


def archive(count: int = 3) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as out:
        for i in range(count):
            info = tarfile.TarInfo(f"{i}.xml")
            info.size = 1500
            out.addfile(info, io.BytesIO(b"x" * 1500))
    return sink.getvalue()


def names(data: bytes) -> list[str]:
    return [m.name for m in members("a.tar", io.BytesIO(data), max_members=99, max_bytes=9999)]


def test_an_archive_is_read_to_its_end_mark() -> None:
    assert names(archive()) == ["0.xml", "1.xml", "2.xml"] and names(archive(0)) == []
    assert names(archive()[: 3 * 2048 + 1024]) == names(archive()[: 3 * 2048 + 512]) == ["0.xml", "1.xml", "2.xml"]


@pytest.mark.parametrize("end", [1, 700, 2047, 2048, 2049, 2300, 2559, 2560, 4096, 4200, 6100, 6143, 6144, 6400])
def test_an_archive_that_is_cut_anywhere_is_refused_by_name(end: int) -> None:
    with pytest.raises(InputError, match=r"a\.tar: damaged after member"):
        names(archive()[:end])


def test_so_is_one_with_a_damaged_header_in_its_middle() -> None:
    data = bytearray(archive())
    data[2048 + 10] ^= 1
    with pytest.raises(InputError, match=r"a\.tar: damaged after member 1"):
        names(bytes(data))


ENTRY = "<item><title>T{0}</title><link>https://news.example/{0}</link><description>{1}</description></item>"
FEED = (
    '<rss version="2.0"><channel><title>N</title>'
    + "".join(ENTRY.format(i, "Words of the story. " * 30) for i in range(3))
    + "</channel></rss>"
)
ATOM = '<feed xmlns="http://www.w3.org/2005/Atom">' + "".join(
    f"<entry><link href='https://news.example/{i}'/><content>{'Words of the story. ' * 30}</content></entry>" for i in range(3)
)


@pytest.mark.parametrize(
    ("feed", "kept", "where"),
    [
        (FEED, 3, None),
        (FEED + "\n\n", 3, None),
        (FEED.replace("</rss>", "</rss >"), 3, None),
        (FEED.replace("</channel></rss>", ""), 3, "behind entry 3"),
        (FEED[: FEED.rindex("<item>") + 300], 2, "inside entry 3"),
        (FEED[: FEED.rindex("<item>")], 2, "behind entry 2"),
        (FEED[: FEED.index("<item>")], 0, "behind entry 0"),
        (ATOM, 3, "behind entry 3"),
        (ATOM + "</feed>", 3, None),
    ],
)
def test_a_feed_that_ends_too_early_says_so_and_keeps_its_entries(tmp_path: Path, feed: str, kept: int, where: str | None) -> None:
    file = tmp_path / "a.rss"
    file.write_text(feed, encoding="utf-8")
    items = list(read_news(NewsFetch(kind="news", paths=("a.rss",)), [file]))
    assert sum(i.problem is None for i in items) == kept
    assert [i.problem for i in items if i.problem] == ([("cut", f"a.rss ends {where}, before its end tag")] if where else [])
    assert all(i.failed for i in items if i.problem)


def test_what_failed_is_named_by_reason_in_the_result(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "The canal feeds the mill."}\n{"text": 7}\n{"tex\n{"text": "x"')
    got = run_import(settings, {"kind": "jsonl", "paths": [str(tmp_path / "a.jsonl")]})
    assert (got.receipt.counts.read, got.receipt.counts.kept, got.receipt.counts.failed) == (4, 1, 3)
    assert {"failed: bad_line 2", "failed: no_text 1"} <= set(got.receipt.notes)
