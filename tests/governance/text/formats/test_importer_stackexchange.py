"""Stack Exchange's Posts.xml: threads put together, code kept, licences by date."""

from __future__ import annotations

import bz2
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import run_import

from headrace_governance.text.formats.html_fragment import fragment_text
from headrace_lake.errors import InputError
from headrace_lake.settings import Settings

SITE = "https://mills.stackexchange.com"
QUESTION = """<p>My wheel <strong>stops</strong> &amp; I use <code>List&lt;int&gt;</code>:</p>
<pre class="lang-py prettyprint-override"><code>if x &lt; 3:
    return "|"   # two  blanks
</code></pre>
<ul>
<li>one</li>
<li>two <a href="http://x.org">link</a></li>
</ul>
"""


def row(number: int, kind: int, body: str, **more: object) -> str:
    values = {"Id": number, "PostTypeId": kind, "CreationDate": "2019-03-04T05:06:07.890", "Score": 3, "Body": body, **more}
    return "  <row " + " ".join(f"{k}={quoteattr(str(v), {chr(10): '&#xA;'})}" for k, v in values.items()) + " />\n"


def posts(*rows: str) -> str:
    return '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n' + "".join(rows) + "</posts>"


def fetch(path: Path, **more: object) -> dict[str, object]:
    return {"kind": "stackexchange", "paths": [str(path)], "site": SITE, **more}


def test_a_question_and_its_answers_are_one_document(settings: Settings, tmp_path: Path) -> None:
    rows = [
        row(1, 1, QUESTION, Title="Why does it stop?", Tags="<water><wheel>", AcceptedAnswerId=9, Score=7),
        row(2, 2, "<p>No water.</p>", ParentId=1, Score=12),
        row(3, 5, "<p>about the tag</p>"),
        row(4, 2, "<p>Who knows.</p>", ParentId=1, Score=-4),
        row(5, 1, "<p>Unanswered.</p>", Title="?", Tags="|water|"),
        row(6, 2, "<p>Orphan.</p>", ParentId=77),
        row(7, 1, "<p>Bad question</p>", Title="??", Score=-9),
        row(8, 1, "<p>Old</p>", Title="Old one", CreationDate="2010-01-01T00:00:00.000"),
        row(9, 2, "<h2>Look</h2><p>The <em>sluice</em>.</p>", ParentId=1, Score=-1),
        row(10, 2, "<p>Old answer</p>", ParentId=8, CreationDate="2010-01-02T00:00:00.000"),
        row(11, 1, "<p>Mixed</p>", Title="Mixed", CreationDate="2016-01-01T00:00:00.000", Tags="|a|b|"),
        row(12, 2, "<p>New answer</p>", ParentId=11, ContentLicense="CC BY-SA 4.0"),
        '  <row Id="x13" PostTypeId="1" Body="" />\n',
        '  <row Id="14" PostTypeId="1" Body="&broken" />\n',
        row(15, 2, "x" * 9000, ParentId=1),
        row(16, 1, "<p>No date</p>", CreationDate="none"),
        row(17, 1, "<p>Before time</p>", CreationDate="0001-01-01T00:00:00+10:00", Score=-9),
    ]
    (tmp_path / "Posts.xml.bz2").write_bytes(bz2.compress(posts(*rows).encode()))
    licence = {"id": "CC-BY-SA-2.5", "class": "share-alike", "basis": "the network's terms", "evidence": {"text": "terms"}}
    got = run_import(settings, fetch(tmp_path / "Posts.xml.bz2", min_question_score=-5, max_bytes=8000), licence)
    assert got.texts[f"{SITE}/questions/1"] == (
        "# Why does it stop?\n\nMy wheel **stops** & I use `List<int>`:\n\n"
        '```py\nif x < 3:\n    return "|"   # two  blanks\n```\n\n- one\n- two link\n\n'
        "## Accepted answer (score -1)\n\n#### Look\n\nThe *sluice*.\n\n## Answer (score 12)\n\nNo water."
    )
    assert set(got.texts) == {f"{SITE}/questions/{n}" for n in (1, 8, 11)}
    assert got.fields[f"{SITE}/questions/1"] == {
        "tags": "water; wheel", "score": "7", "answers": "2", "accepted": "yes", "date": "2019-03-04T05:06:07.890",
    }  # fmt: skip
    assert {reason: len(rows) for (_, reason), rows in got.dropped.items()} == {
        "post_type": 1, "answer_score": 1, "no_answer": 1, "low_score": 2, "no_question": 1, "too_large": 1,
    }  # fmt: skip
    assert len(got.quarantined) == 3 and all("bad_row" in q for q in got.quarantined)


def test_the_licence_follows_from_the_newest_posts_date(settings: Settings, tmp_path: Path) -> None:
    days = {1: "2011-04-07", 2: "2011-04-08", 3: "2018-05-01", 4: "2018-05-02"}
    rows = [row(n, 1, "<p>q</p>", Title=f"q{n}", CreationDate=f"{day}T00:00:00.000") for n, day in days.items()]
    rows.append(row(5, 1, "<p>q</p>", Title="before time", CreationDate="0001-01-01T00:00:00+10:00"))
    (tmp_path / "Posts.xml").write_text(posts(*rows), encoding="utf-8")
    licence = {"id": "CC-BY-SA-4.0", "class": "share-alike", "basis": "each post names its own", "evidence": {"text": "terms"}}
    got = run_import(settings, fetch(tmp_path / "Posts.xml", require_answer=False), licence)
    assert [c["licence"] for c in sorted(got.captures, key=lambda c: c["url"])] == [
        "CC-BY-SA-2.5", "CC-BY-SA-3.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-SA-2.5",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), [(posts(row(1, 1, "a"))[:-8], "ends too early"), ("<users></users>", "no posts")])
def test_what_is_cut_off_or_no_posts_is_refused(settings: Settings, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "Posts.xml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        run_import(settings, fetch(tmp_path / "Posts.xml"))


PIECES = st.sampled_from(
    ["<p>", "</p>", "<pre>", "<code>", "</code></pre>", "<ul>", "<li>", "</ul>", "<table>", "<tr>", "<td>", "&lt;", "<b>", "</b>", "<br>",
     "<h1>", "`", "```", "|", "a", " ", "\n", "水", "<!--", "-->", "<blockquote>"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=60).map("".join))
def test_no_post_breaks_the_conversion(markup: str) -> None:
    assert isinstance(fragment_text(markup), str)
