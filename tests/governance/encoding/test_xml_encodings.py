"""XML in the encoding that it declares, in whole files and in records cut out of them; characters that XML forbids."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import run_import

from headrace_governance.encoding.xml_encoding import blocks_in_utf8, in_utf8
from headrace_governance.text.xml_tree import parse_xml
from headrace_lake.settings import Settings

WORDS = {
    "EUC-JP": ("euc_jp", "水車の導水路"), "Shift_JIS": ("cp932", "①水車の導水路ソ"), "ISO-2022-JP": ("iso2022_jp", "水車の導水路"),
    "GB2312": ("gb18030", "水车的引水渠"), "Big5": ("big5", "水車的引水渠功"), "EUC-KR": ("cp949", "물레방아 똠"),
    "windows-1251": ("cp1251", "Подводящий канал"), "ISO-8859-9": ("cp1254", "“Türkiye’nin”"), "ISO-8859-1": ("cp1252", "déjà – vu"),
}  # fmt: skip


@pytest.mark.parametrize("label", WORDS)
def test_a_document_is_read_in_the_encoding_it_declares(label: str) -> None:
    codec, words = WORDS[label]
    document = f'<?xml version="1.0" encoding="{label}"?>\n<a b="{words}">{words}</a>'
    root = parse_xml(document.encode(codec))
    assert root.text == words == root.get("b")


def test_row_13_and_a_bad_byte_end_no_document() -> None:
    assert parse_xml(b'<?xml version="1.0" encoding="euc-jp"?><a>\xad\xa1\xad\xea \xa4</a>').text == "①㈱ \ufffd"
    assert in_utf8(b"<a>\xe9</a>") == b"<a>\xe9</a>"


@given(st.sampled_from(sorted(WORDS)), st.integers(1, 40), st.integers(0, 5))
def test_blocks_are_converted_alike_wherever_the_file_is_cut(label: str, size: int, lines: int) -> None:
    codec, words = WORDS[label]
    document = f'<?xml version="1.0" encoding="{label}"?>\n<a>{words}</a>' + f"<b>{words}\nx{words}</b>\n" * lines
    data = document.encode(codec)
    first = max(size, 60)  # a file's first block holds its declaration
    cut = [data[:first], *(data[i : i + size] for i in range(first, len(data), size))]
    assert b"".join(blocks_in_utf8(iter(cut))).decode() == document.replace(f'"{label}"', '"UTF-8"')


def test_a_dump_and_a_feed_in_other_encodings_are_read(settings: Settings, tmp_path: Path) -> None:
    page = "<page><title>水車</title><ns>0</ns><id>1</id><revision><id>2</id><text>古い運河は①上の湖から水を運ぶ。</text></revision></page>"
    dump = f'<?xml version="1.0" encoding="Shift_JIS"?>\n<mediawiki xml:lang="ja">{page}</mediawiki>'
    (tmp_path / "dump.xml.gz").write_bytes(gzip.compress(dump.encode("cp932")))
    got = run_import(settings, {"kind": "wikipedia", "paths": [str(tmp_path / "dump.xml.gz")]})
    assert got.every == ["# 水車\n\n古い運河は①上の湖から水を運ぶ。"]


def test_a_latin1_feed_is_read(settings: Settings, tmp_path: Path) -> None:
    story = "L’été, le vieux canal amène l’eau du lac supérieur à la meunerie où l’on moud le blé. " * 4
    item = f"<item><title>Été</title><link>http://x.org/1</link><description>{story}</description></item>"
    feed = f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<rss><channel><title>x</title>{item}</channel></rss>'
    (tmp_path / "feed.xml").write_bytes(feed.encode("cp1252"))
    got = run_import(settings, {"kind": "news", "paths": [str(tmp_path / "feed.xml")]})
    assert got.every == [f"# Été\n\n{story.strip()}"]


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("press &#x0E;the", "press the"),
        ("a&#0;b&#31;c&#x1F;", "abc"),
        ("tab&#9;line&#10;", "tab\tline\n"),
        ("&#xFFFE;&#xD800;x&#x110000;", "x"),
        ("far&#99999999;&#x1FFFFFFFF; out", "far out"),
        ("caf&eacute;&nbsp;&mdash; 1 &lt; 2 &amp;nbsp;", "caf\u00e9\u00a0\u2014 1 < 2 &nbsp;"),
        ("raw \x0b\x01 here", "raw  here"),
        ("&amp;#1; &#00014;kept", "&#1; kept"),
    ],
)
def test_a_character_that_xml_forbids_is_left_out(inside: str, text: str) -> None:
    assert parse_xml(f"<a>{inside}</a>".encode()).text == text


def test_a_control_character_costs_no_question_and_no_answer(settings: Settings, tmp_path: Path) -> None:
    row = '<row Id="{}" PostTypeId="{}" {} CreationDate="2015-10-01T21:06:37.420" Score="3" Body="{}" ContentLicense="CC BY-SA 3.0" />'
    question = row.format(1, 1, 'AcceptedAnswerId="2" Title="Keys" Tags="&lt;a&gt;"', "&lt;p&gt;How do I press &#x0E;the key?&lt;/p&gt;")
    answer = row.format(2, 2, 'ParentId="1"', "&lt;p&gt;Press it \x01with your &#11;finger.&lt;/p&gt;")
    other = row.format(3, 2, 'ParentId="1"', "&lt;p&gt;Use &#xFFFF;another.&lt;/p&gt;")
    posts = f'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n{question}\n{answer}\n{other}\n</posts>'
    (tmp_path / "Posts.xml").write_text(posts)
    got = run_import(settings, {"kind": "stackexchange", "paths": [str(tmp_path / "Posts.xml")], "site": "https://x.stackexchange.com"})
    assert got.quarantined == [] and got.dropped == {}
    answers = "## Accepted answer (score 3)\n\nPress it with your finger.\n\n## Answer (score 3)\n\nUse another."
    assert got.every == [f"# Keys\n\nHow do I press the key?\n\n{answers}"]
