"""Licences of sources and of their records, at the doors of the lake: what is refused, what is kept, and how it is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from linear import grows_linearly

from headrace_governance.acquire.crawl.licence import decide
from headrace_governance.acquire.crawl.run import Unkept
from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.acquire.importers import run
from headrace_governance.acquire.importers.readers import read_jsonl
from headrace_governance.acquire.importers.run import _Decisions, _take
from headrace_governance.acquire.importers.spool import Spool
from headrace_governance.sources.import_options import GutenbergFetch
from headrace_governance.sources.licences import load_licence_policy
from headrace_governance.sources.source import JsonlFetch, Source
from headrace_governance.text.formats.gutenberg.read import read_gutenberg
from headrace_governance.text.formats.news.read import _said
from headrace_governance.text.xml_tree import parse_xml
from headrace_lake.errors import InputError, SourceError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

SLICE = Slice("trial", "2026-11-01")
CC0 = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "the test says so"}}
BY_4 = {**CC0, "id": "CC-BY-4.0", "class": "attribution"}
BY_SA = {**CC0, "id": "CC-BY-SA-4.0", "class": "share-alike"}
BODY = "<body><p>We study the flow of water through a gate, and how the level of the lake changes with time.</p></body>"
BY, NC = "https://creativecommons.org/licenses/by/4.0/", "http://creativecommons.org/licenses/by-nc/2.0/uk/"


def bring_in(settings: Settings, fetch: dict[str, Any], licence: dict[str, Any] = CC0) -> tuple[dict[str, str], dict[str, str], Any]:
    """Address → licence of what was kept, address → reason and detail of what was not, and the receipt."""
    lake = Lake.open(settings)
    receipt = fetch_slice(lake, Source.model_validate({"id": SLICE.source, "licence": licence, "fetch": fetch}), SLICE)
    kept = {r["url"]: f"{r['licence']} {r['licence_class']} {r['licence_basis']}" for r in lake.read("captures", SLICE).to_pylist()}
    dropped = {r["detail"].split(" ", 1)[0]: f"{r['reason']} {r['detail']}" for r in lake.read("exclusions", SLICE).to_pylist()}
    counts = receipt.counts
    assert counts.read == counts.kept + counts.dropped + counts.failed
    return kept, dropped, receipt


def article(number: int, permissions: str) -> str:
    front = f'<article-meta><article-id pub-id-type="doi">10.1/{number}</article-id>{permissions}</article-meta>'
    spaces = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:ali="http://www.niso.org/schemas/ali/1.0/"'
    return f'<?xml version="1.0"?><article {spaces}><front>{front}</front>{BODY}</article>'


def licence_element(inner: str, attributes: str = "") -> str:
    return f"<permissions><license {attributes}><license-p>{inner}</license-p></license></permissions>"


def custom_meta(name: str, value: str) -> str:
    return (
        f"<custom-meta-group><custom-meta><meta-name>{name}</meta-name><meta-value>{value}</meta-value></custom-meta></custom-meta-group>"
    )


OPEN_ACCESS = "This is an Open Access article distributed under the terms of the Creative Commons "
ARTICLES = {
    # permissions → licence that is kept, or reason of the exclusion
    licence_element(OPEN_ACCESS + "Attribution Non-Commercial License.", 'license-type="open-access"'): "licence",
    licence_element(f"Creative Commons Attribution Non-Commercial License ({NC}) which permits non-commercial use."): "licence",
    licence_element("See the terms.", 'license-type="cc-by-nc"'): "licence",
    licence_element('Licensed under <ext-link xlink:href="http://creativecommons.org/licenses/by-nd/3.0/de/">CC</ext-link>.'): "licence",
    licence_element("All rights reserved."): "licence",
    "<permissions><copyright-statement>© 2004 A. Publisher. All rights reserved.</copyright-statement></permissions>": "licence",
    f"<permissions><ali:license_ref>{NC}</ali:license_ref></permissions>": "licence",
    f"<copyright-statement>© 2004</copyright-statement>{licence_element('For non-commercial purposes only.')}": "licence",
    f'<license><p>Creative Commons Attribution-NonCommercial 2.5</p></license><license xlink:href="{BY}"/>': "licence",
    licence_element(f"Free, see {BY}; the figures are under {NC}."): "licence",
    licence_element("Creative Commons Attribution N<sc>on</sc>C<sc>ommercial</sc> 4.0"): "licence",
    licence_element(f'CC BY 4.0 <self-uri xlink:href="{NC}"/>'): "licence",
    licence_element("Open access", 'xlink:title="CC BY-NC"'): "licence",
    licence_element("CC BY 4.0", 'xlink:href="https://creativecommons.org/licenses/by\u2010nc/4.0/"'): "licence",
    licence_element("Creative Commons Attribution License, for academic use only."): "licence",
    licence_element("CC BY 4.0") + custom_meta("pmc-license-ref", "CC BY-NC-ND"): "licence",
    licence_element("Made available by the publisher for the duration of the pandemic."): "licence_unknown",
    licence_element("", 'xlink:href="https://publisher.example/terms"'): "licence_unknown",
    licence_element(OPEN_ACCESS + "License."): "licence_unknown",
    "<permissions><copyright-statement>© 2019 The Authors</copyright-statement></permissions>": "licence_unknown",
    "": "licence_unknown",
    licence_element("CC BY 4.0 <italic>for</italic><bold>all</bold>") + custom_meta("pmc-status", "CC BY-NC"): "CC-BY-4.0",
    licence_element(f"Open access under CC BY ({BY}).", f'xlink:href="{BY}"'): "CC-BY-4.0",
    licence_element(OPEN_ACCESS + "Attribution License, which permits unrestricted use."): "LicenseRef-CC-BY",
    licence_element('the <ext-link xlink:href="https://publisher.example">Publisher</ext-link> grants CC BY-SA 3.0'): "CC-BY-SA-3.0",
    f"<copyright-statement>© 2012 X. All rights reserved.</copyright-statement><license xlink:href='{BY}'/>": "CC-BY-4.0",
}


def test_an_article_is_under_its_own_licence_also_where_it_says_so_in_prose(settings: Settings, tmp_path: Path) -> None:
    wanted: dict[str, str] = {}
    for number, (permissions, outcome) in enumerate(ARTICLES.items()):
        (tmp_path / f"{number:02}.xml").write_text(article(number, permissions), encoding="utf-8")
        wanted[f"https://doi.org/10.1/{number}"] = outcome
    kept, dropped, receipt = bring_in(settings, {"kind": "jats", "paths": [str(tmp_path / "*.xml")]})
    got = {url: said.split()[0] for url, said in (kept | dropped).items()}
    assert got == wanted
    assert all("article" in said for said in kept.values())
    assert receipt.counts.reasons == {"licence": 16, "licence_unknown": 5}


def test_every_article_of_a_file_is_one_and_under_its_own_licence(settings: Settings, tmp_path: Path) -> None:
    said = ["CC BY 4.0", "CC BY-NC 4.0", "CC0"]
    articles = [article(n, licence_element(words)).removeprefix('<?xml version="1.0"?>') for n, words in enumerate(said)]
    (tmp_path / "set.xml").write_text(f"<pmc-articleset>{''.join(articles)}</pmc-articleset>", encoding="utf-8")
    kept, dropped, receipt = bring_in(settings, {"kind": "jats", "paths": [str(tmp_path / "set.xml")]})
    assert {url: words.split()[0] for url, words in (kept | dropped).items()} == {
        "https://doi.org/10.1/0": "CC-BY-4.0", "https://doi.org/10.1/1": "licence", "https://doi.org/10.1/2": "CC0-1.0"
    }  # fmt: skip
    assert receipt.counts.read == 3


def test_a_paper_about_a_licence_is_not_judged_by_its_body(settings: Settings, tmp_path: Path) -> None:
    page = article(1, licence_element("CC BY 4.0")).replace("We study the flow", "All rights reserved; CC BY-NC-ND 4.0 forbids. We study")
    (tmp_path / "a.xml").write_text(page.replace("<article-meta>", f"<article-meta><abstract><p>{NC}</p></abstract>"), encoding="utf-8")
    assert list(bring_in(settings, {"kind": "jats", "paths": [str(tmp_path / "a.xml")]})[0].values()) == ["CC-BY-4.0 attribution article"]


def papers(folder: Path, licences: dict[str, Any]) -> dict[str, Any]:
    """A paper for each number and its row of arXiv's metadata; without one where the licence is `...`."""
    rows = []
    for number, licence in licences.items():
        (folder / f"{number}.gz").write_bytes(gzip.compress(b"\\documentclass{article}\\begin{document}Water.\\end{document}"))
        row = {"id": number, "title": "a"} | ({} if licence is ... else {"license": licence})
        rows.append(json.dumps(row))
    (folder / "meta.json").write_text("\n".join(rows), encoding="utf-8")
    return {"kind": "latex", "paths": [str(folder / "*.gz")], "metadata": str(folder / "meta.json")}


def test_a_paper_without_a_licence_in_the_metadata_is_not_public(settings: Settings, tmp_path: Path) -> None:
    said = {
        "0704.0001": None,
        "0704.0002": ...,
        "0704.0003": BY,
        "0704.0004": "",
        "0704.0005": "http://arxiv.org/licenses/nonexclusive-distrib/1.0/",
        "0704.0006": "http://creativecommons.org/licenses/by-nc-sa/4.0/",
        "0704.0007": "http://creativecommons.org/publicdomain/zero/1.0/",
    }
    kept, dropped, _ = bring_in(settings, papers(tmp_path, said))
    at = "https://arxiv.org/abs/"
    assert kept == {f"{at}0704.0003": "CC-BY-4.0 attribution metadata", f"{at}0704.0007": "CC0-1.0 public metadata"}
    assert {url.removeprefix(at): why.split()[0] for url, why in dropped.items()} == {
        **dict.fromkeys(("0704.0001", "0704.0002", "0704.0004"), "licence_unknown"),
        **dict.fromkeys(("0704.0005", "0704.0006"), "licence"),
    }


def test_a_source_may_state_that_its_licence_covers_silent_records(settings: Settings, tmp_path: Path) -> None:
    fetch = papers(tmp_path, {"0704.0001": None, "0704.0003": BY, "0704.0006": NC})
    kept, dropped, receipt = bring_in(settings, fetch, {**CC0, "covers_silent_records": "the collection was waived as a whole"})
    assert len(kept) == 2 and [why.split()[0] for why in dropped.values()] == ["licence"]
    assert "records that name no licence, covered by the source's 1: the collection was waived as a whole" in receipt.notes
    with pytest.raises(Exception, match="say why the licence covers"):
        Source.model_validate({"id": "x", "licence": {**CC0, "covers_silent_records": " "}, "fetch": fetch})


def test_a_source_may_leave_the_licence_to_its_records(settings: Settings, tmp_path: Path) -> None:
    nobody = {**CC0, "id": "NOASSERTION", "class": "unknown"}
    kept, dropped, _ = bring_in(settings, papers(tmp_path, {"0704.0001": None, "0704.0003": BY}), nobody)
    assert list(kept.values()) == ["CC-BY-4.0 attribution metadata"] and len(dropped) == 1
    (tmp_path / "t.jsonl").write_text('{"text": "x"}\n', encoding="utf-8")
    with pytest.raises(SourceError, match="no place to name their own"):
        bring_in(settings, {"kind": "jsonl", "paths": [str(tmp_path / "t.jsonl")]}, nobody)


@pytest.mark.parametrize("said", ["cc-by-nc-4.0", NC, "CC BY-NC-ND 3.0 IGO", ["CC-BY-4.0", "CC-BY-NC-4.0"], "for non-commercial use only"])
def test_one_row_among_many_is_kept_out_and_named(settings: Settings, tmp_path: Path, said: Any) -> None:
    rows = [{"text": f"Water {n}.", "url": f"https://x.example/{n}", "license": "CC-BY-4.0"} for n in range(500)]
    rows[77]["license"] = said
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    fetch = {"kind": "jsonl", "paths": [str(tmp_path / "rows.jsonl")], "url": "url", "licence": "license"}
    kept, dropped, receipt = bring_in(settings, fetch, BY_4)
    assert len(kept) == 499 and receipt.counts.reasons == {"licence": 1}
    assert dropped["https://x.example/77"].startswith("licence https://x.example/77 rows.jsonl line 78: ")
    assert Lake.open(settings).read("exclusions", SLICE)["source"].to_pylist() == ["trial"]


def test_one_row_among_a_hundred_thousand_is_found_without_judging_each(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = {"kind": "jsonl", "paths": ["x"], "url": "url", "licence": "license"}
    source = Source.model_validate({"id": "trial", "licence": BY_4, "fetch": fetch})
    policy = load_licence_policy(settings.resolve(settings.policies))
    judged = []
    monkeypatch.setattr(run, "decide", lambda *given, **how: judged.append(given[2]) or decide(*given, **how))

    def import_of(rows: int) -> None:
        """All of an import but the writing of captures, which costs what it always did."""
        judged.clear()
        lines = [f'{{"text": "Water {n}.", "url": "https://x.example/{n}", "license": "CC-BY-4.0"}}' for n in range(rows)]
        lines[7_776] = lines[7_776].replace('"CC-BY-4.0"', '"cc-by-nc-4.0"')
        folder = tmp_path / str(rows)
        folder.mkdir()
        (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
        with Spool(folder) as spool:
            assert isinstance(source.fetch, JsonlFetch)
            _take(spool, _Decisions(source, policy), read_jsonl(source.fetch, [folder / "rows.jsonl"]), None)
            assert [Unkept(*o) for o in spool.outcomes("dropped")] == [
                Unkept("https://x.example/7776", "licence", "rows.jsonl line 7777: CC-BY-NC-4.0 (non-commercial)")
            ]
            assert sum(1 for _ in spool.pages()) == rows - 1
        assert len(judged) == 2  # of each statement once, not of each row

    assert grows_linearly(import_of, 100_000, runs=1)


ROWS: list[tuple[Any, str]] = [
    ("CC-BY-4.0", "CC-BY-4.0"),
    ("cc0-1.0", "CC0-1.0"),
    (BY, "CC-BY-4.0"),
    ("MIT OR CC-BY-NC-4.0", "MIT OR CC-BY-NC-4.0"),
    ("CC BY-NC-ND 4.0", "licence"),
    (NC, "licence"),
    ("MIT AND CC-BY-NC-4.0", "licence"),
    ("All rights reserved", "licence"),
    ("Creative Commons Attribution-NonCommercial", "licence"),
    ("Foo-1.0", "licence_unknown"),
    ("other", "licence_unknown"),
    ("", "licence_unknown"),
    (None, "licence_unknown"),
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_are_under_the_licence_of_their_column(settings: Settings, tmp_path: Path, kind: str) -> None:
    rows = [{"text": f"text {n}", "url": f"https://x.example/{n}", "meta": {"license": said}} for n, (said, _) in enumerate(ROWS)]
    if kind == "jsonl":
        rows += [{"text": "lists", "url": "https://x.example/list", "meta": {"license": ["MIT", "CC-BY-SA-4.0"]}}]
        (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    kept, dropped, _ = bring_in(settings, {"kind": kind, "paths": [str(tmp_path / f"t.{kind}")], "url": "url", "licence": "meta.license"})
    got = {url: said.split(" column")[0].rpartition(" ")[0] for url, said in kept.items()} | {
        u: why.split()[0] for u, why in dropped.items()
    }
    wanted = {f"https://x.example/{n}": outcome for n, (_, outcome) in enumerate(ROWS)}
    assert got == (wanted | {"https://x.example/list": "MIT AND CC-BY-SA-4.0"} if kind == "jsonl" else wanted)
    assert f"t.{kind} {'line 6' if kind == 'jsonl' else 'row 5'}: CC-BY-NC-2.0 (non-commercial)" in dropped["https://x.example/5"]


def test_a_column_that_is_not_there_is_an_error_in_parquet_and_silence_in_json(settings: Settings, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t.parquet: no column 'license'. columns: text"):
        bring_in(settings, {"kind": "parquet", "paths": [str(tmp_path / "t.parquet")], "licence": "license"})
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="kept nothing .*licence_unknown t.jsonl line 1: the record names no licence"):
        bring_in(settings, {"kind": "jsonl", "paths": [str(tmp_path / "t.jsonl")], "licence": "license"})


def test_pages_in_a_column_join_what_the_column_says(settings: Settings, tmp_path: Path) -> None:
    pages = {
        "https://x.example/plain": ("<p>water</p>", "CC-BY-4.0"),
        "https://x.example/link": (f'<p>water</p><a rel="license" href="{NC}">terms</a>', "CC-BY-4.0"),
    }
    lines = [json.dumps({"text": text, "url": url, "license": said}) for url, (text, said) in pages.items()]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    fetch = {"kind": "jsonl", "paths": [str(tmp_path / "t.jsonl")], "url": "url", "licence": "license", "content_type": "text/html"}
    kept, dropped, _ = bring_in(settings, fetch)
    assert list(kept) == ["https://x.example/plain"] and list(dropped) == ["https://x.example/link"]


PAGES = {
    '<a rel="license" href="https://creativecommons.org/licenses/by-nc/3.0/de/">CC</a>': "licence",
    '<link rel="license" href="//creativecommons.org/licenses/by-nc-sa/2.5/it/">': "licence",
    '<meta name="dcterms.rights" content="Creative Commons Attribution-NoDerivatives 4.0">': "licence",
    '<meta name="DC.rights" content="© 2020 Publisher. All rights reserved.">': "licence",
    '<meta name="license" content="CC-BY-NC-4.0">': "licence",
    f'<script type="application/ld+json">{{"@type": "NewsArticle", "license": "{NC}"}}</script>': "licence",
    '<a rel="license" href="https://publisher.example/terms">terms</a>': "licence_unknown",
    '<a rel="license" href="https://creativecommons.org/licenses/by/2.1/jp/">CC</a>': "LicenseRef-CC-BY-2.1-JP",
    f'<meta name="dc.rights" content="All rights reserved"><a rel="license" href="{BY}">CC</a>': "CC-BY-4.0",
    f'<p>This page is about <a href="{NC}">CC BY-NC</a>. All rights reserved.</p>': "CC0-1.0",
    '<meta name="dc.rights" content="© 2020 The Authors">': "CC0-1.0",
    f'<script type="application/ld+json">{{"@type": "ImageObject", "license": "{NC}"}}</script>': "CC0-1.0",
}


def warc(pages: dict[str, str], headers: str = "") -> bytes:
    out = b""
    for number, page in enumerate(pages):
        body = f"<html><body>{page}<p>The water drives the wheel.</p></body></html>".encode()
        http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
        record = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://x.example/{number}\r\nWARC-Date: 2026-11-01T00:00:00Z\r\n"
        record += f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012}>\r\nContent-Type: application/http; msgtype=response\r\n"
        out += f"{record}Content-Length: {len(http)}\r\n\r\n".encode() + http + b"\r\n\r\n"
    return out


def test_a_page_under_a_free_source_is_refused_for_its_own_stricter_licence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(warc(PAGES))
    kept, dropped, _ = bring_in(settings, {"kind": "warc", "paths": [str(tmp_path / "a.warc")]})
    assert {u: s.split()[0] for u, s in (kept | dropped).items()} == {f"https://x.example/{n}": o for n, o in enumerate(PAGES.values())}


def test_a_recorded_header_names_a_licence_too(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(warc({"": ""}, headers=f'Link: <{NC}>; rel="license"\r\n'))
    with pytest.raises(InputError, match=r"licence CC-BY-NC-2.0 \(non-commercial\)"):
        bring_in(settings, {"kind": "warc", "paths": [str(tmp_path / "a.warc")]})


def test_a_page_that_names_nothing_is_unknown_where_the_source_says_so(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(warc({f'<a rel="license" href="{BY}">CC</a>': "", "<p>silent</p>": ""}))
    licence = {**CC0, "covers_silent_records": False}
    kept, dropped, _ = bring_in(settings, {"kind": "warc", "paths": [str(tmp_path / "a.warc")]}, licence)
    assert list(kept) == ["https://x.example/0"] and dropped["https://x.example/1"].startswith("licence_unknown")


ENTRY = "<title>Water</title><link>https://x.example/{n}</link>{said}<description>" + "The water drives the wheel. " * 20 + "</description>"
ATOM = (
    '<title>Water</title><link href="https://x.example/{n}"/>{said}<content type="text">'
    + "The water drives the wheel. " * 20
    + "</content>"
)
ENTRIES = {
    "<creativeCommons:license>http://creativecommons.org/licenses/by-nc/2.5/</creativeCommons:license>": "licence",
    '<cc:license rdf:resource="http://creativecommons.org/licenses/by-nd/2.0/fr/"/>': "licence",
    '<media:license type="text/html" href="http://creativecommons.org/licenses/by-nc-sa/2.0/deed.en">CC</media:license>': "licence",
    "<media:group><media:license>CC BY-NC 4.0</media:license></media:group>": "licence",
    "<dc:rights>Copyright 2020 Publisher. All rights reserved.</dc:rights>": "licence",
    "<dc:rights>Creative Commons Attribution-NonCommercial 4.0</dc:rights>": "licence",
    "<cc:license>Ask us.</cc:license>": "licence_unknown",
    "<dc:rights>© 2020 Publisher</dc:rights>": "licence_unknown",
    "": "licence_unknown",
    "<dc:rights>CC BY-SA 4.0</dc:rights>": "CC-BY-SA-4.0",
    f'<cc:license rdf:resource="{BY}"/>': "CC-BY-4.0",
}
SPACES = (
    'xmlns:cc="http://web.resource.org/cc/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:media="http://search.yahoo.com/mrss/" xmlns:creativeCommons="http://backend.userland.com/creativeCommonsRssModule"'
)


def rss(entries: list[str], head: str = "") -> str:
    items = "".join(f"<item>{ENTRY.format(n=n, said=said)}</item>" for n, said in enumerate(entries))
    return f'<?xml version="1.0"?><rss version="2.0" {SPACES}><channel><title>News</title>{head}{items}</channel></rss>'


def test_an_entry_of_a_feed_is_under_its_own_licence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.rss").write_text(rss(list(ENTRIES)), encoding="utf-8")
    kept, dropped, _ = bring_in(settings, {"kind": "news", "paths": [str(tmp_path / "a.rss")]})
    assert {u: s.split()[0] for u, s in (kept | dropped).items()} == {f"https://x.example/{n}": o for n, o in enumerate(ENTRIES.values())}


@pytest.mark.parametrize(
    ("head", "said", "outcome"),
    [
        (f"<cc:license>{BY}</cc:license>", "", "CC-BY-4.0"),
        ("<copyright>CC BY-NC 4.0</copyright>", "", "licence"),
        ("<copyright><![CDATA[All rights reserved]]></copyright>", "", "licence"),
        ("<copyright>All rights reserved</copyright>", f"<cc:license>{BY}</cc:license>", "CC-BY-4.0"),
        (f"<cc:license>{BY}</cc:license>", "<dc:rights>All rights reserved</dc:rights>", "licence"),
        (f'<cc:license rdf:resource="{NC}" />', f"<cc:license>{BY}</cc:license>", "licence"),
    ],
)
def test_what_a_feed_says_holds_for_its_entries_unless_they_say_more(
    settings: Settings, tmp_path: Path, head: str, said: str, outcome: str
) -> None:
    (tmp_path / "a.rss").write_text(rss([said], head), encoding="utf-8")
    free = rss(["<cc:license>CC0-1.0</cc:license>"]).replace("https://x.example/0", "https://x.example/free")
    (tmp_path / "b.rss").write_text(free, encoding="utf-8")
    kept, dropped, _ = bring_in(settings, {"kind": "news", "paths": [str(tmp_path / "*.rss")]})
    assert (kept | dropped)["https://x.example/0"].split()[0] == outcome


def test_atom_links_and_rights_and_news_items_are_read(settings: Settings, tmp_path: Path) -> None:
    said = [f'<link rel="license" href="{NC}"/>', "<rights>CC BY 4.0</rights>", ""]
    entries = "".join(f"<entry>{ATOM.format(n=n, said=s)}</entry>" for n, s in enumerate(said))
    (tmp_path / "a.atom").write_text(
        f'<feed xmlns="http://www.w3.org/2005/Atom"><rights>CC BY-SA 4.0</rights>{entries}</feed>', encoding="utf-8"
    )
    notice = "<docdata><doc.copyright holder='X. All rights reserved'/></docdata>"
    story = f"<hedline><hl1>W</hl1></hedline></body.head><body.content><p>{'Water. ' * 90}</p></body.content>"
    nitf = f"<nitf><head>{notice}</head><body><body.head>{story}</body></nitf>"
    (tmp_path / "b.atom").write_text(nitf, encoding="utf-8")
    kept, dropped, _ = bring_in(settings, {"kind": "news", "paths": [str(tmp_path / "*.atom")]})
    assert {u: s.split()[0] for u, s in (kept | dropped).items()} == {
        "https://x.example/0": "licence",
        "https://x.example/1": "CC-BY-SA-4.0",
        "https://x.example/2": "CC-BY-SA-4.0",
        "file:b.atom": "licence",
    }


def posts(*rows: tuple[int, str, str]) -> str:
    """A question with answers: (id, date, further attributes)."""
    out = ""
    for n, (number, date, more) in enumerate(rows):
        kind = 'PostTypeId="1" Title="t"' if not n else f'PostTypeId="2" ParentId="{rows[0][0]}"'
        out += f'<row Id="{number}" {kind} Score="3" CreationDate="{date}T00:00:00.000" Body="&lt;p&gt;water&lt;/p&gt;" {more}/>\n'
    return f"<posts>\n{out}</posts>"


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        ([(1, "2010-01-01", ""), (2, "2010-01-02", "")], "CC-BY-SA-2.5"),
        ([(1, "2010-01-01", ""), (2, "2011-04-08", "")], "CC-BY-SA-3.0"),
        ([(1, "2010-01-01", ""), (2, "2018-05-02", "")], "CC-BY-SA-4.0"),
        ([(1, "2018-05-01", ""), (2, "2018-05-01", "")], "CC-BY-SA-3.0"),
        ([(1, "2010-01-01", 'ContentLicense="CC BY-SA 3.0"'), (2, "2010-01-02", 'ContentLicense="CC BY-SA 4.0"')], "CC-BY-SA-4.0"),
        ([(1, "2010-01-01", 'ContentLicense="CC BY-NC-SA 4.0"'), (2, "2020-01-02", 'ContentLicense="CC BY-SA 4.0"')], "licence"),
        ([(1, "2010-01-01", 'ContentLicense="Ask us"'), (2, "2020-01-02", "")], "licence_unknown"),
    ],
)
def test_a_thread_is_under_its_newest_post_or_a_stricter_one(
    settings: Settings, tmp_path: Path, rows: list[tuple[int, str, str]], outcome: str
) -> None:
    free = posts((91, "2020-01-01", ""), (92, "2020-01-01", "")).removeprefix("<posts>").removesuffix("</posts>")
    (tmp_path / "Posts.xml").write_text(posts(*rows).replace("</posts>", free + "</posts>"), encoding="utf-8")
    fetch = {"kind": "stackexchange", "paths": [str(tmp_path / "Posts.xml")], "site": "https://x.example"}
    kept, dropped, _ = bring_in(settings, fetch, BY_SA)
    assert (kept | dropped)["https://x.example/questions/1"].split()[0] == outcome


START = "*** START OF THE PROJECT GUTENBERG EBOOK WATER ***\n\n"
BOOKS = {
    "This is a COPYRIGHTED Project Gutenberg eBook. Details Below": "copyrighted",
    "** This is a COPYRIGHTED Project Gutenberg eBook, Details Below **\n**     Please follow the guidelines.     **": "copyrighted",
    "This is a *copyrighted*\nProject Gutenberg Etext, details below.": "copyrighted",
    "Copyright Status: Copyrighted. Read the copyright notice inside this book for details.": "copyrighted",
    "Rights: Copyrighted. Read the copyright notice inside this book": "copyrighted",
    "This eBook is for the use of anyone anywhere at no cost and with almost no restrictions whatsoever.": "Public-Domain",
}


def test_books_under_copyright_are_dropped_however_their_header_says_so(settings: Settings, tmp_path: Path) -> None:
    for number, notice in enumerate(BOOKS):
        more = "x " * 3000 if number == 1 else ""
        head = f"The Project Gutenberg EBook of Water, by Nobody\n\n{notice}\n\nTitle: Water\n\n{more}\n"
        book = f"{head}{START}This is a copyrighted story. {BODY}\n"
        (tmp_path / f"{number}.txt").write_text(book, encoding="utf-8")
    (tmp_path / "9.txt").write_text("A text without any header.\n\nThe water drives the wheel.\n", encoding="utf-8")
    kept, dropped, _ = bring_in(settings, {"kind": "gutenberg", "paths": [str(tmp_path / "*.txt")]})
    got = {u: s.split()[0] for u, s in (kept | dropped).items()}
    assert got == {f"file:{n}.txt": o for n, o in enumerate(BOOKS.values())} | {"file:9.txt": "licence_unknown"}


def test_an_entry_taken_from_another_feed_keeps_that_feeds_rights() -> None:
    source = "<source><title>Other</title><rights>CC BY-NC-ND 4.0</rights></source>"
    entry = f"<entry xmlns='http://www.w3.org/2005/Atom'><title>a</title>{source}<content>x</content></entry>"
    assert _said(parse_xml(entry.encode())) == ("CC-BY-NC-ND-4.0",)


def test_a_book_whose_front_names_a_creative_commons_licence_is_under_it(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    wanted = {"Title: X": ["Public-Domain"], "Licensed under CC BY-NC 4.0.": ["Public-Domain", "CC-BY-NC-4.0"]}
    for front, said in wanted.items():
        for head, inside in ((front, ""), ("Title: X", front)):
            start, end = (f"*** {word} OF THE PROJECT GUTENBERG EBOOK X ***" for word in ("START", "END"))
            book.write_text(f"The Project Gutenberg EBook of X\n\n{head}\n\n{start}\n\n{inside}\n\n{'The mill stood. ' * 90}\n\n{end}\n")
            (item,) = read_gutenberg(GutenbergFetch(kind="gutenberg", paths=("x",)), [book])
            assert [x for _, x in item.licence_links] == said, (head, inside)
