"""The text stages called by hand, batch by batch, on a WARC file written here."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from headrace_governance.duplicates.exact import ExactDuplicate, TextDigests
from headrace_governance.text.extract import Extract, ExtractParams
from headrace_governance.text.language.stage import Language, LanguageParams
from headrace_governance.text.select import Select
from headrace_lake.errors import InputError
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Stage
from headrace_lake.tables import TABLES

PROSE = "The canal feeds the mill, and the miller keeps the sluice clean because the wheel must never stop in winter. "


class Part:
    """A part writer on a local folder."""

    source, slice, part = "src", "2026-11-01", 0

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_file(self, local_path: str, *, kind: str, suffix: str) -> str:
        shutil.copy(local_path, self.root / f"{kind}{suffix}")
        return f"{kind}{suffix}"

    def local_path(self, relative: str) -> str:
        return str(self.root / relative)


def captures(root: Path, pages: list[tuple[bytes, str | None, str | None]]) -> pa.Table:
    """A WARC file with one response a page (body, media type, charset), and its capture rows."""
    rows = []
    with open(root / "pages.warc.gz", "wb") as f:
        writer = WARCWriter(f, gzip=True)
        for i, (body, media, charset) in enumerate(pages):
            url = f"http://example.org/{i}"
            start = f.tell()
            headers = StatusAndHeaders("200 OK", [("Content-Type", media or "")], protocol="HTTP/1.1")
            writer.write_record(writer.create_warc_record(url, "response", payload=BytesIO(body), http_headers=headers))
            rows.append(
                {
                    "uid": f"{i:032x}", "url": url, "final_url": url, "content_type": media, "charset": charset, "content_digest": "0" * 32,
                    "content_bytes": len(body), "warc_path": "pages.warc.gz", "warc_offset": start, "warc_length": f.tell() - start,
                    "licence": "CC0-1.0", "licence_class": "public", "language_hint": None,
                }
            )  # fmt: skip
    return pa.Table.from_pylist(rows)


def run(stage: Stage, batch: pa.Table, part: Any, shared: dict[str, pa.Table] | None = None) -> list[dict[str, Any]]:
    stage.setup()
    stage.begin(part, shared or {})
    out = stage.process(batch)
    stage.finish(part)
    assert stage.output is not None
    wanted = set(TABLES[stage.output].schema.names) - {"source", "slice", "part"}
    assert wanted | {DROP_REASON, DROP_DETAIL} == set(out.column_names)
    rows: list[dict[str, Any]] = out.to_pylist()
    return rows


def extract(tmp_path: Path, *pages: tuple[bytes, str | None, str | None], **params: Any) -> list[dict[str, Any]]:
    return run(Extract(ExtractParams(**params)), captures(tmp_path, list(pages)), Part(tmp_path))


def html(body: str) -> bytes:
    return f"<html><head><title>A  title</title></head><body>{body}</body></html>".encode()


def test_extract_keeps_headings_lists_code_and_tables_and_leaves_navigation_out(tmp_path: Path) -> None:
    body = f"""<nav><a href=a>Home</a></nav><h1>One</h1><p>{PROSE}<code>x</code> <b>y</b></p><ul><li>a<ul><li>b</ul><li>c</ul>
    <pre>if x:\n    y = 1\n</pre><table><tr><th>k<th>v</tr><tr><td>1<td>2</tr></table><blockquote>said</blockquote><footer>bye</footer>"""
    [row] = extract(tmp_path, (html(body), "text/html", "utf-8"))
    assert row["title"] == "A title"
    assert row["text"] == (
        f"# One\n\n{PROSE}`x` y\n\n- a\n  - b\n- c\n\n```\nif x:\n    y = 1\n```\n\n| k | v |\n| --- | --- |\n| 1 | 2 |\n\n> said"
    )
    assert row["characters"] == len(row["text"]) and row["bytes"] == len(row["text"].encode())


def test_extract_replaces_and_counts_bytes_that_are_no_text(tmp_path: Path) -> None:
    bad = html(f"<p>{PROSE} caf\u00e9 \ufffd</p>").replace("é".encode(), b"\xc3\x28\xff")
    [row] = extract(tmp_path, (bad, "text/html", "utf-8"))
    assert row[DROP_REASON] is None and row["replaced_characters"] == 2
    assert row["text"].count("\ufffd") == 3  # one of them the author wrote


@pytest.mark.parametrize(
    ("charset", "declared"), [("gb18030", "gb2312"), ("shift_jis", None), ("koi8-r", "KOI8-R"), ("utf-16", None), ("cp1252", "latin1")]
)
def test_extract_reads_the_charset_that_is_declared_in_header_mark_or_page(tmp_path: Path, charset: str, declared: str | None) -> None:
    words = {
        "gb18030": "水车的引水渠",
        "shift_jis": "水車の導水路",
        "koi8-r": "Подводящий канал",
        "utf-16": "Обводной 水路",
        "cp1252": "“déjà” €",
    }[charset]
    meta = f'<meta charset="{charset}">' if charset == "shift_jis" else ""
    page = f"<html><head>{meta}</head><body><p>{words}</p></body></html>".encode(charset)
    [row] = extract(tmp_path, (page, "text/html", declared))
    assert (row["text"], row["replaced_characters"]) == (words, 0)


def test_extract_drops_with_a_reason_and_survives_pages_made_to_hang_a_parser(tmp_path: Path) -> None:
    rows = extract(
        tmp_path,
        (html("<div>" * 40_000), "text/html", None),
        (html("<p " + " ".join(f"a{i}=1" for i in range(80_000)) + ">x</p>"), "text/html", None),
        (html("<script>only()</script>"), "text/html", None),
        (b"x" * 200_001, "text/plain", None),
        (b"\x89PNG", "image/png", None),
        (f"# Title\r\n\r\n{PROSE}".encode(), "text/markdown", "utf-8"),
        max_bytes=1_000_000,
    )
    reasons = [r[DROP_REASON] for r in rows]
    assert reasons == ["hostile_html", "hostile_html", "no_text", None, "not_text_media", None]
    assert rows[5]["text"] == f"# Title\n\n{PROSE.strip()}"
    [big] = extract(tmp_path, (b"x" * 2000, "text/plain", None), max_bytes=1000)
    assert (big[DROP_REASON], big[DROP_DETAIL]) == ("too_large", "2000")


def test_a_page_that_uses_up_its_processor_time_kills_the_parser_and_not_the_next_page(tmp_path: Path) -> None:
    slow = html("<p>" + "<b>" * 400 + "word " * 100 + "".join(f"<p id=n{i}>w" for i in range(250_000)))
    stage = Extract(ExtractParams(page_seconds=0.05))
    part = Part(tmp_path)
    stage.setup()
    stage.begin(part, {})
    stage._parser.parse("<p>warm</p>")  # the import counts as no page's time
    rows = stage.process(captures(tmp_path, [(slow, "text/html", None)])).to_pylist()
    assert rows[0][DROP_REASON] == "hostile_html" and "killed" in rows[0][DROP_DETAIL]
    rows = stage.process(captures(tmp_path, [(html(f"<p>{PROSE}"), "text/html", None)])).to_pylist()
    assert rows[0]["text"] == PROSE.strip()
    stage.finish(part)


def test_a_truncated_warc_names_the_file_and_the_byte(tmp_path: Path) -> None:
    table = captures(tmp_path, [(html(PROSE), "text/html", None)])
    file = tmp_path / "pages.warc.gz"
    file.write_bytes(file.read_bytes()[:-20])
    stage = Extract()
    stage.setup()
    stage.begin(Part(tmp_path), {})
    with pytest.raises(InputError, match=r"pages\.warc\.gz: no WARC record at byte 0"):
        stage.process(table)


TEXTS = {
    "en": PROSE,
    "zh": "我们的磨坊是这样工作的：水渠把水引到磨坊，磨坊主人在冬天也要保持水闸清洁，因为水轮不能停。",
    "ja": "水路は水車に水を送り、粉屋は水門をきれいに保つ。",
    "ru": "Канал подаёт воду на мельницу, и мельник держит шлюз в чистоте.",
    "ar": "القناة تغذي الطاحونة والطحان يحافظ على نظافة البوابة",
}


def test_language_gives_the_code_and_drops_what_is_not_wanted_or_not_sure(tmp_path: Path) -> None:
    texts = [*TEXTS.values(), "12345 ---", ""]
    batch = pa.table({"uid": [str(i) for i in range(len(texts))], "text": texts})
    rows = run(Language(LanguageParams(wanted=("en", "zh", "ja", "und"), thresholds={"ja": 1.01})), batch, Part(tmp_path))
    assert [r["language"] for r in rows] == [*TEXTS, "und", "und"]
    assert [r["reason"] for r in rows] == [
        None,
        None,
        "low_confidence",
        "language_not_wanted",
        "language_not_wanted",
        "low_confidence",
        "low_confidence",
    ]
    assert all(r["keep"] == (r["reason"] is None) == (r[DROP_REASON] is None) and 0 <= r["score"] <= 1 for r in rows)


class Reader:
    """Digest rows in memory, for `prepare`; without a slice it gives those that the condition of `prepare` asks for."""

    def __init__(self, rows: list[tuple[str, str, str, str]]) -> None:
        self.rows = rows
        self.own = ("", "")

    def read(self, table: str, slice_: Slice | None = None, *, columns: Any = None, where: str | None = None) -> pa.Table:
        if slice_ is not None:
            self.own = (slice_.interval, slice_.source)
        chosen = [r for r in self.rows if ((r[2], r[1]) == self.own if slice_ is not None else (r[2], r[1]) < self.own)]
        return pa.table({k: pa.array([r[i] for r in chosen], pa.string()) for i, k in enumerate(("uid", "source", "slice", "text_digest"))})


def test_a_duplicate_yields_to_the_smallest_interval_source_and_uid_whatever_ran_first(tmp_path: Path) -> None:
    rows = [
        ("u1", "b", "02", "d1"),
        ("u2", "b", "02", "d1"),
        ("u3", "a", "02", "d1"),
        ("u4", "z", "01", "d1"),
        ("u5", "b", "02", "d2"),
        ("u6", "b", "03", "d2"),
    ]
    verdicts: dict[str, tuple[bool, str, int]] = {}
    for source, interval in (("b", "03"), ("b", "02"), ("z", "01"), ("a", "02")):
        own = [r for r in rows if (r[1], r[2]) == (source, interval)]
        part = Part(tmp_path)
        part.source, part.slice = source, interval  # type: ignore[misc]
        stage = ExactDuplicate()
        shared = stage.prepare(Reader(rows), Slice(source, interval))  # type: ignore[arg-type]
        batch = pa.table({"uid": [r[0] for r in own], "text_digest": [r[3] for r in own]})
        for r in run(stage, batch, part, shared):
            verdicts[r["uid"]] = (r["keep"], r["keeper"], r["copies"])
    assert verdicts == {
        "u1": (False, "z/01/u4", 4), "u2": (False, "z/01/u4", 4), "u3": (False, "z/01/u4", 2), "u4": (True, "z/01/u4", 1),
        "u5": (True, "b/02/u5", 1), "u6": (False, "b/02/u5", 2),
    }  # fmt: skip


def test_what_prepare_hands_over_changes_only_if_a_verdict_could() -> None:
    rows = [("u1", "b", "02", "d1"), ("u2", "b", "02", "d2")]
    before = ExactDuplicate().prepare(Reader(rows), Slice("b", "02"))  # type: ignore[arg-type]
    later = ExactDuplicate().prepare(Reader([*rows, ("u3", "b", "03", "d1"), ("u4", "a", "01", "d9")]), Slice("b", "02"))  # type: ignore[arg-type]
    earlier = ExactDuplicate().prepare(Reader([("u3", "c", "01", "d1"), *rows]), Slice("b", "02"))  # type: ignore[arg-type]
    assert before["duplicates"].equals(later["duplicates"]) and not before["duplicates"].equals(earlier["duplicates"])


def test_text_digest_ignores_white_space_and_unicode_form_and_nothing_else(tmp_path: Path) -> None:
    batch = pa.table({"uid": list("abcd"), "text": ["caf\u00e9  au\nlait ", "cafe\u0301 au lait", "Caf\u00e9 au lait", "cafe au lait"]})
    digests = [r["text_digest"] for r in run(TextDigests(), batch, Part(tmp_path))]
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_select_blames_the_first_verdict_that_drops_and_admits_nothing_without_a_verdict(tmp_path: Path) -> None:
    stage = Select()
    n = 4
    columns: dict[str, Any] = {"uid": list("abcd"), "licence": ["x"] * n, "licence_class": ["public"] * n, "bytes": [1] * n}
    for v in stage.params.verdicts:  # type: ignore[attr-defined]
        columns[f"verdict_{v}.keep"] = pa.array([True] * n)
        columns[f"verdict_{v}.reason"] = pa.nulls(n, pa.string())
    columns["verdict_language.language"] = ["en", "en", "de", "en"]
    columns["verdict_fineweb.keep"] = pa.array([True, False, True, True])
    columns["verdict_fineweb.reason"] = pa.array([None, "list_ratio", None, None])
    columns["verdict_exact_duplicate.keep"] = pa.array([True, False, True, None])
    columns["verdict_exact_duplicate.reason"] = pa.array([None, "exact_duplicate", None, None])
    rows = run(stage, pa.table(columns), Part(tmp_path))
    assert [r[DROP_REASON] for r in rows] == [None, "fineweb:list_ratio", None, "exact_duplicate:missing"]
    assert [r["language"] for r in rows] == ["en", "en", "de", "en"]
    assert set(stage.inputs().sidecars) == {f"verdict_{v}" for v in stage.params.verdicts}  # type: ignore[attr-defined]
