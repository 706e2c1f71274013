"""Wikipedia dumps: MediaWiki export XML as the dumps have it, its pages as captures, wikitext as Markdown."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import RULES, run_import

from headrace_governance.containers.opening import Records, blocks
from headrace_governance.text.formats.wikipedia.convert import wikitext
from headrace_governance.text.parser_process import ParserProcess
from headrace_governance.text.xml_tree import parse_xml
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.settings import Settings

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <dbname>dewiki</dbname>
    <base>https://de.wikipedia.org/wiki/Wikipedia:Hauptseite</base>
    <namespaces>
      <namespace key="-2" case="first-letter">Medium</namespace>
      <namespace key="0" case="first-letter" />
      <namespace key="6" case="first-letter">Datei</namespace>
      <namespace key="14" case="first-letter">Kategorie</namespace>
    </namespaces>
  </siteinfo>
"""
MILL = """{{Infobox Mühle|name=Alte Mühle|bild=[[Datei:Rad.jpg]]}}
[[Datei:Rad.jpg|mini|Das [[Wasserrad]] im ''Winter'']]
Die '''Alte Mühle''' ({{lang|la|molendinum}}; {{IPA|x}}) ist eine [[Wassermühle|Mühle]] am [[Bach]].<ref name="a">Quelle, S. 3</ref>
Ihr Rad misst {{convert|4|m}}<ref name="a" /> &nbsp;und dreht sich.<!-- prüfen -->

== Technik ==
Die Leistung ist <math>P = \\rho g Q h &lt; 10</math>, also:
<math display="block">\\int_0^1 x\\,dx</math>
* das '''Rad'''
** seine Schaufeln
* die Welle
# zuerst
# danach
; Wehr
: hält das Wasser
{| class="wikitable"
! Jahr !! Ertrag
|-
| 1712 || 3 t
|-
| 1713 || [[Hagel]]
|}
{| class="infobox"
| nichts
|}
<syntaxhighlight lang="python">
def mahlen(korn):
    return [[korn]] * 2
</syntaxhighlight>
Aufruf mit <code>mahlen(3)</code>, H<sub>2</sub>O und x<sup>2</sup>.

=== Leer ===
== Siehe auch ==
* [[Bäckerei]]
=== Noch mehr ===
nichts
== Weblinks ==
* [http://example.org Seite]
[[Kategorie:Mühle]]
[[en:Old mill]]
"""
TEXT = """# Alte Mühle

Die **Alte Mühle** (molendinum) ist eine Mühle am Bach. Ihr Rad misst 4 m und dreht sich.

## Technik

Die Leistung ist $P = \\rho g Q h < 10$, also:

$$
\\int_0^1 x\\,dx
$$

- das **Rad**
  - seine Schaufeln
- die Welle
1. zuerst
2. danach
**Wehr**
hält das Wasser

| Jahr | Ertrag |
| --- | --- |
| 1712 | 3 t |
| 1713 | Hagel |

```python
def mahlen(korn):
    return [[korn]] * 2
```

Aufruf mit `mahlen(3)`, H₂O und x²."""


def page(title: str, text: str, *, ns: int = 0, number: int = 1, more: str = "", model: str = "wikitext") -> str:
    return f"""  <page>
    <title>{escape(title)}</title>
    <ns>{ns}</ns>
    <id>{number}</id>{more}
    <revision>
      <id>{number + 1000}</id>
      <timestamp>2026-02-03T04:05:06Z</timestamp>
      <contributor><username>Somebody</username><id>7</id></contributor>
      <model>{model}</model>
      <format>text/x-wiki</format>
      <text bytes="{len(text)}" xml:space="preserve">{escape(text)}</text>
      <sha1>0</sha1>
    </revision>
  </page>
"""


def dump(*pages: str) -> bytes:
    return (HEAD + "".join(pages) + "</mediawiki>\n").encode()


def fetch(*paths: Path, **more: object) -> dict[str, object]:
    return {"kind": "wikipedia", "paths": [str(p) for p in paths], **more}


def test_pages_become_captures_and_their_wikitext_markdown(settings: Settings, tmp_path: Path) -> None:
    pages = [
        page("Alte Mühle", MILL),
        page("Mühle (alt)", "#WEITERLEITUNG [[Alte Mühle]]", number=2, more='\n    <redirect title="Alte Mühle" />'),
        page("Diskussion:Alte Mühle", "Hallo", ns=1, number=3),
        page("Daten.json", "{}", number=4, model="json"),
        page("Lang", "x" * 5000, number=5),
        page("Leer", "", number=6),
        page("Kaputt", "y", number=7).replace("<ns>0</ns>", "<ns>0</nss>"),
        page("Verweis", "&xxe; sieht man nicht", number=8).replace("&amp;xxe;", "&xxe;"),
        page("Bach", "Der '''Bach''' fließt.", number=9),
    ]
    # Multistream: several bzip2 streams in one file, as the dumps come.
    whole = dump(*pages)
    (tmp_path / "dewiki-pages-articles-multistream.xml.bz2").write_bytes(bz2.compress(whole[:900]) + bz2.compress(whole[900:]))
    got = run_import(settings, fetch(tmp_path / "*.bz2", max_bytes=4000))
    url = "https://de.wikipedia.org/wiki/Alte_M%C3%BChle"
    assert got.texts[url] == TEXT
    assert got.texts["https://de.wikipedia.org/wiki/Bach"] == "# Bach\n\nDer **Bach** fließt."
    assert got.titles[url] == "Alte Mühle"
    assert got.fields[url] == {"page": "1", "revision": "1001", "date": "2026-02-03T04:05:06Z"}
    dropped = {reason: len(rows) for (stage, reason), rows in got.dropped.items() if stage == "import"}
    assert dropped == {"redirect": 1, "namespace": 1, "content_model": 1, "too_large": 1, "no_text": 1}
    assert got.receipt.counts.failed == 2 and all("bad_page" in error for error in got.quarantined)  # Kaputt, Verweis
    assert any("Entity 'xxe' not defined" in error for error in got.quarantined)
    assert got.receipt.counts.read == len(pages)
    [row] = [c for c in got.captures if c["url"] == url]
    assert (row["language_hint"], row["licence"], row["fetched_at"].year) == ("de", "CC-BY-SA-4.0", 2026)


def test_a_capture_holds_the_pages_own_bytes(settings: Settings, tmp_path: Path) -> None:
    from headrace_governance.acquire.crawl.captures import read_warc_body
    from headrace_lake.lake import Lake

    one = page("Bach", "Der   Bach")
    (tmp_path / "d.xml").write_bytes(dump(one))
    [row] = run_import(settings, fetch(tmp_path / "d.xml")).captures
    body = read_warc_body(Lake.open(settings), row["warc_path"], row["warc_offset"], row["warc_length"])
    assert one.strip().encode() in body


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:-200], "ends too early|damaged"),
        (lambda data: data[:40], "no page"),
        (lambda data: b"<html>" + b"x" * 100, "no page"),
    ],
)
def test_a_file_that_is_cut_off_or_no_dump_is_refused(settings: Settings, tmp_path: Path, spoil: object, says: str) -> None:
    (tmp_path / "d.xml").write_bytes(spoil(dump(page("A", "a"), page("B", "b"))))  # type: ignore[operator]
    with pytest.raises(InputError, match=says):
        run_import(settings, fetch(tmp_path / "d.xml"))


def test_a_bomb_and_a_cut_off_archive_are_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "bomb.xml.gz").write_bytes(gzip.compress(HEAD.encode() + b" " * (80 << 20)))
    with pytest.raises(InputError, match="expands more than 200 times"):
        run_import(settings, fetch(tmp_path / "bomb.xml.gz"))
    (tmp_path / "cut.xml.bz2").write_bytes(bz2.compress(dump(page("A", "a" * 9000)))[:-30])
    with pytest.raises(InputError, match="damaged"):
        run_import(settings, fetch(tmp_path / "cut.xml.bz2"))
    (tmp_path / "d.xml.7z").write_bytes(b"7z")
    with pytest.raises(InputError, match="unpack it first"):
        run_import(settings, fetch(tmp_path / "d.xml.7z"))


def test_utf_16_dumps_are_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "d.xml").write_bytes(dump(page("Bäche", "Der Bach.")).decode().encode("utf-16"))
    declared = '<?xml version="1.0" encoding="UTF-16"?>\n<a/>'.encode("utf-16")
    (tmp_path / "declared.xml").write_bytes(declared)
    assert parse_xml(b"".join(blocks(tmp_path / "declared.xml", 200.0))).tag == "a"
    assert list(run_import(settings, fetch(tmp_path / "d.xml")).texts.values()) == ["# Bäche\n\nDer Bach."]


def test_an_unknown_kind_names_the_nearest(tmp_path: Path) -> None:
    import yaml

    from headrace_governance.sources.source import load_source

    licence = {"id": "MIT", "class": "attribution", "basis": "b", "evidence": {"text": "x"}}
    (tmp_path / "wiki.yaml").write_text(yaml.safe_dump({"id": "wiki", "licence": licence, "fetch": {"kind": "wikpedia", "paths": ["x"]}}))
    with pytest.raises(ConfigError, match="did you mean 'wikipedia'") as caught:
        load_source(tmp_path / "wiki.yaml")
    assert "wiki.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "language", "expected"),
    [
        ("[[File:A.jpg|thumb|a [[b]] c]]x [[:File:B.jpg]]", "en", "x File:B.jpg"),
        ("[[文件:A.jpg|缩略图|说明]]水车[[Category:水]][[en:Mill]]", "zh", "水车"),
        ("-{zh-hans:计算机;zh-hant:電腦}-很-{好}-", "zh", "计算机很好"),
        ("水車\n== 脚注 ==\n一\n== 構造 ==\n輪", "ja", "水車\n\n## 構造\n\n輪"),
        ("a <nowiki>'''b''' [[c]]</nowiki>", "en", "a '''b''' [[c]]"),
        ("{{Quote|Bread is life.|Baker}} end {{unknown|x}}", "en", "> Bread is life.\n\nend x"),
        ("one<br />two", "en", "one\ntwo"),
        ("<poem>\nfirst\nsecond\n</poem>", "en", "first\nsecond"),
        ("the function foo() and (<ref>x</ref>) gone", "en", "the function foo() and gone"),
        ("{{nihongo|Mill|水車|suisha}} [http://x.org word] [http://x.org]", "en", "Mill (水車, suisha) word"),
        ("== A ==\n=== B ===\n== C ==\ntext", "en", "## C\n\ntext"),
        ("<pre>a\n b</pre>", "en", "```\na\n b\n```"),
        ("[[a|b]]s '''''both''''' &amp; &lt;", "en", "bs ***both*** & <"),
        ('{| class="wikitable"\n|+ Years\n! a !! b\n|-\n| colspan="2" | x\n|}', "en", "Years\n\n| a | b |\n| --- | --- |\n| x |  |"),
        ("{{PAGENAME}} {{formatnum:1234}} __NOTOC__", "en", "T 1234"),
    ],
)
def test_wikitext_of_several_languages(source: str, language: str, expected: str) -> None:
    assert wikitext(source, RULES.wikitext, language=language, title="T") == expected


PIECES = st.sampled_from(
    ["[[", "]]", "{{", "}}", "{|", "|}", "|-", "|", "!", "'''", "''", "==", "\n", "*", "#", ":", "<ref>", "</ref>", "<math>", "</math>",
     "<table>", "<br/>", "-{", "}-", "<nowiki>", "File:", "a", " ", "水", "\ue013", "&lt;", "<!--", "-->", "{{{", "<poem>", "</poem>"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=4), max_size=60).map("".join))
def test_no_wikitext_breaks_the_conversion_or_leaves_its_marks_behind(source: str) -> None:
    text = wikitext(source, RULES.wikitext)
    assert not any("\ue000" <= c <= "\ue0ff" for c in text)


@pytest.fixture(scope="module")
def parser() -> Iterator[ParserProcess]:
    """One process for all cases: the kernel counts each document's time by itself, and one that it ended is replaced."""
    process = ParserProcess(10.0, 3 << 30, RULES.model_dump(mode="json"))
    yield process
    process.close()


@pytest.mark.parametrize(
    ("piece", "size"),
    [(p, 200_000) for p in ("[[", "{{", "<ref>", "<math>", "<div>", "<b>", "</div>", "<div></", "-{", "( ,", "<!--")]
    + [(p, 40_000) for p in ("{|", "'''", "\n*", "==", "{{{", "[[File:", "<br>")]
    + [("\n{|\n|", 10_000)],
)
def test_repeated_markup_costs_little_processor_time(parser: ParserProcess, piece: str, size: int) -> None:
    """The kernel ends the parser after 10 s of processor time: what costs more than linear time ends it."""
    from headrace_governance.text.formats.wikipedia.read import MEDIA_TYPE

    answer = parser.convert(MEDIA_TYPE, dump(page("A", piece * (size // len(piece)) + " end")), "utf-8")
    assert answer is not None and "text" in answer


@given(st.lists(st.sampled_from([b"<p>", b"</p>", b"<p x='1'>", b"<pp>", b"t", b" "]), max_size=30), st.integers(1, 7), st.integers(4, 40))
def test_records_are_cut_alike_however_the_file_is_blocked(pieces: list[bytes], size: int, cap: int) -> None:
    data = b"".join(pieces)

    def cuts(step: int) -> tuple[list[tuple[bytes, int]], bool]:
        records = Records(iter([data[i : i + step] for i in range(0, len(data), step)]), "p", cap)
        return [(c.data, c.too_long) for c in records], records.open

    assert cuts(size) == cuts(len(data) or 1)
