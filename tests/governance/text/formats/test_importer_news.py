"""News: RSS and Atom entries, NITF, NewsML-G2, and pages of a WARC file with schema.org data."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import run_import
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from headrace_governance.text.formats.news.convert import page_facts
from headrace_lake.settings import Settings

STORY = "<p>The canal was <b>drained</b> on Monday &amp; nobody noticed until the wheel stood still in the afternoon.</p>" * 4
PLAIN = "The canal was **drained** on Monday & nobody noticed until the wheel stood still in the afternoon."
ESCAPED = STORY.replace("&", "&amp;").replace("<", "&lt;")
ITALIC = STORY.replace("<b>", "<em>").replace("</b>", "</em>")
RSS = f"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:cc="http://backend.userland.com/creativeCommonsRssModule">
<channel><title>Mill News</title><link>https://news.example/</link><language>en-gb</language>
<item><title>Canal &lt;i&gt;drained&lt;/i&gt;</title><link>https://news.example/1</link><pubDate>Mon, 02 Nov 2026 08:00:00 GMT</pubDate>
<category>Local</category><description>Short.</description><content:encoded><![CDATA[{STORY}<script>x()</script>]]></content:encoded></item>
<item><title>Teaser</title><link>https://news.example/2</link><description>Read more</description></item>
<item><title>Restricted</title><link>https://news.example/3</link><description><![CDATA[{STORY}]]></description>
<cc:license>https://creativecommons.org/licenses/by-nc/4.0/</cc:license></item>
<item><title>Broken</title><link>https://news.example/4<link></item>
<item><title>Plain</title><guid>https://news.example/5</guid><description>{ESCAPED}</description></item>
</channel></rss>"""
ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de"><title>F</title>
<entry><title>Kanal</title><id>tag:news.example,2026:9</id><link rel="alternate" href="https://news.example/9"/><updated>2026-11-02T08:00:00Z</updated>
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"/><category term="Lokales"/>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><h2>Wie</h2>{STORY}</div></content></entry></feed>"""
NITF = f"""<?xml version="1.0"?><nitf><head><title>t</title><docdata><date.issue norm="20261102T080000Z"/></docdata></head>
<body><body.head><hedline><hl1>Canal drained</hl1></hedline><byline>By Nobody</byline></body.head>
<body.content><p>Lead.</p><media><media-caption>pic</media-caption></media><hl2>Why</hl2>{ITALIC}
</body.content><body.end>ends</body.end></body></nitf>"""
NEWSML = f"""<?xml version="1.0"?><newsMessage xmlns="http://iptc.org/std/nar/2006-10-01/"><header/><itemSet>
<newsItem guid="urn:newsml:news.example:1" xml:lang="en"><itemMeta><versionCreated>2026-11-02T08:00:00Z</versionCreated></itemMeta>
<contentMeta><language tag="en"/><headline>Canal drained</headline></contentMeta>
<contentSet><inlineXML contenttype="application/xhtml+xml"><html xmlns="http://www.w3.org/1999/xhtml"><head><title>no</title></head><body>{STORY}</body>
</html></inlineXML></contentSet></newsItem>
<newsItem guid="urn:newsml:news.example:2"><contentMeta><headline>Plain</headline></contentMeta>
<contentSet><inlineData contenttype="text/plain">{"word " * 80}</inlineData></contentSet></newsItem></itemSet></newsMessage>"""


def fetch(*paths: Path) -> dict[str, object]:
    return {"kind": "news", "paths": [str(p) for p in paths]}


LICENCE = {
    "id": "CC0-1.0",
    "class": "public",
    "basis": "written for this test",
    "evidence": {"text": "test"},
    "covers_silent_records": True,
}


def test_feeds_give_full_entries_and_leave_teasers_out(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.rss").write_text(RSS, encoding="utf-8")
    (tmp_path / "b.atom").write_text(ATOM, encoding="utf-16")
    (tmp_path / "c.xml").write_text("<html/>")
    got = run_import(settings, fetch(tmp_path / "*"), LICENCE)
    assert got.texts["https://news.example/1"] == "# Canal *drained*\n\n" + "\n\n".join([PLAIN] * 4)
    assert got.texts["https://news.example/5"] == "# Plain\n\n" + "\n\n".join([PLAIN] * 4)
    assert got.texts["https://news.example/9"] == "# Kanal\n\n### Wie\n\n" + "\n\n".join([PLAIN] * 4)
    assert len(got.texts) == 3
    assert got.fields["https://news.example/1"] == {"date": "Mon, 02 Nov 2026 08:00:00 GMT", "section": "Local"}
    assert got.fields["https://news.example/9"] == {"modified": "2026-11-02T08:00:00Z", "section": "Lokales"}
    rows = {c["url"]: c for c in got.captures}
    assert rows["https://news.example/9"]["licence"] == "CC-BY-4.0" and rows["https://news.example/9"]["language_hint"] == "de"
    assert rows["https://news.example/1"]["licence"] == "CC0-1.0" and rows["https://news.example/1"]["language_hint"] == "en-gb"
    assert {reason for _, reason in got.dropped} == {"teaser", "licence"}
    assert sorted(q.partition(":")[0] for q in got.quarantined) == ["bad_document", "bad_entry"]


def test_agencies_formats(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.nitf").write_text(NITF, encoding="utf-8")
    (tmp_path / "b.xml").write_text(NEWSML, encoding="utf-8")
    got = run_import(settings, fetch(tmp_path / "*"), LICENCE)
    italic = PLAIN.replace("**", "*")
    assert got.texts["file:a.nitf"] == "# Canal drained\n\nLead.\n\n## Why\n\n" + "\n\n".join([italic] * 4)
    assert got.texts["urn:newsml:news.example:1"] == "# Canal drained\n\n" + "\n\n".join([PLAIN] * 4)
    assert got.texts["urn:newsml:news.example:2"].startswith("# Plain\n\nword word")
    assert got.fields["urn:newsml:news.example:1"] == {"date": "2026-11-02T08:00:00Z", "language": "en"}
    assert got.fields["file:a.nitf"] == {"date": "20261102T080000Z"}


def test_pages_of_a_warc_file_carry_their_headline_and_date(settings: Settings, tmp_path: Path) -> None:
    data = '{"@context": "https://schema.org", "@graph": [{"@type": "WebSite"}, {"@type": ["NewsArticle"], "headline": "Canal", ' \
        '"datePublished": "2026-11-02", "author": {"name": "Nobody"}, "isAccessibleForFree": true}]}'  # fmt: skip
    page = f'<html><head><title>T</title><script type="application/ld+json">{data}</script></head><body>{STORY}</body></html>'
    with (tmp_path / "news.warc.gz").open("wb") as f:
        writer = WARCWriter(f, gzip=True)
        headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1")
        url = "https://news.example/w"
        writer.write_record(writer.create_warc_record(url, "response", payload=BytesIO(page.encode()), http_headers=headers))
    got = run_import(settings, {"kind": "warc", "paths": [str(tmp_path / "news.warc.gz")]}, LICENCE)
    assert got.fields == {"https://news.example/w": {"type": "NewsArticle", "headline": "Canal", "date": "2026-11-02", "free": "True"}}


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[",
        "[[[]]]",
        '{"@type": {}}',
        '{"@type": [1]}',
        '{"@type": "NewsArticle", "headline": ["x"]}',
        '{"@graph": [1, null]}',
        "[" * 99999,
    ],
)
def test_odd_schema_org_data_says_nothing(data: str) -> None:
    found = page_facts(f'<script type="application/ld+json">{data}</script>')
    assert found in ({}, {"type": "NewsArticle"})


@given(st.text(alphabet="<script type='application/ld+json'>{}[]\":@,x/ ", max_size=300))
def test_no_page_breaks_the_facts(markup: str) -> None:
    assert isinstance(page_facts(markup), dict)
