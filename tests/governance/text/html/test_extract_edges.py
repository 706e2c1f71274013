"""What stands around a page's main text: its lead stays, dates, credits, calls to subscribe and lists of other pages go."""

from __future__ import annotations

import time

import pytest

from headrace_governance.text.html.block_rows import HEADING, PROSE
from headrace_governance.text.html.main_edges import Piece, main_pieces
from headrace_governance.text.html.markdown import read_page

MILL = [
    "The canal that feeds the mill was dug by the monks, and it has been kept clean with great care for six hundred years.",
    "In winter the miller breaks the ice before dawn, because a frozen wheel can tear its axle from the wall of the house.",
    "A sluice gate of oak holds back the pond; when it is raised the water falls on the buckets and the great stone turns.",
    "Farmers came from every valley with their grain and waited, talking about prices, weddings and the weather of the year.",
]
LEAD = "The old mill is to be repaired next spring, and the town will pay for half of it."
BODY = "\n\n".join(MILL)


def page(before: str = "", after: str = "") -> str:
    text = "".join(f"<p>{s}</p>" for s in MILL)
    return f"<body><div class=page>{before}<div class='article-body'>{text}{after}</div></div></body>"


def text_of(markup: str) -> str:
    return read_page(markup, fallback=False).text


@pytest.mark.parametrize(
    "before",
    [
        f"<h1>The mill</h1><p class=intro>{LEAD}</p>",
        f"<header><h1>The mill</h1><h2 class=subtitle>{LEAD}</h2></header>",
        f"<div class=head><h1>The mill</h1><p>3 May 2026</p><div class='article-teaser'><p>{LEAD}</p></div></div>",
        f"<h1>The mill</h1><p>By <a href=/jo>Jo</a></p><figure><img src=x></figure><div class=summary>{LEAD}</div>",
    ],
    ids=["paragraph", "subtitle", "teaser", "behind a byline"],
)
def test_a_lead_above_the_text_belongs_to_it(before: str) -> None:
    assert text_of(page(before)).removeprefix("## ") == f"{LEAD}\n\n{BODY}"


def test_what_stands_above_the_title_or_is_more_than_a_lead_is_no_lead() -> None:
    assert text_of(page(f"<p class=intro>{LEAD}</p><h1>The mill</h1>")) == BODY
    other = "".join(f"<p>Another story, number {i}, of the town and what happened in it.</p>" for i in range(6))
    assert text_of(page(f"<h1>The mill</h1><div class=other>{other}</div>")).endswith(BODY)
    assert text_of(page(f"<h1>The mill</h1><nav><p>{LEAD}</p></nav>")) == BODY


@pytest.mark.parametrize(
    "after",
    [
        "<h3>Related articles</h3><p>The ferry</p><p>The bridge, and who built it</p>",
        "<h2>Das könnte Sie auch interessieren</h2><p>Die Fähre</p>",
        "<p>Mehr zum Thema:</p>",
        "<p>À lire aussi</p><p>Le bac</p>",
        "<h4>相关阅读</h4><p>渡口的故事</p>",
        "<p><b>3 comments</b></p>",
        "<h3>About the author</h3><p>Jo has lived beside a mill all her life.</p>",
        "<p>Sign up for our newsletter and never miss a story.</p>",
        "<p>Síguenos en Telegram e Instagram.</p>",
        "<p>Foto: Anna Nowak</p>",
        "<form action=/c><p>Your name and what you want to say about it</p><textarea></textarea></form>",
        "<div class=caption>The mill in May</div>",
    ],
)
def test_what_follows_the_text_and_is_about_something_else_goes(after: str) -> None:
    assert text_of(page(after=after)) == BODY


@pytest.mark.parametrize(
    "after",
    [
        "<h2>6.1. More on sluices</h2><p>A sluice is a gate that is raised.</p>",
        "<h2>Comment puis-je entrer ?</h2><p>Par la porte du moulin.</p>",
        "<p>Weitere Informationen finden Sie im Archiv der Stadt.</p>",
        "<p>Lesen Sie die Anleitung, bevor Sie beginnen.</p>",
        "<p>© 2005-2010 Anna Nowak, who let us print what she wrote.</p>",
        "<h2>Share prices fall again</h2><p>So it is said in the town.</p>",
        "<figure><img src=x><figcaption class='wp-caption-text'>The mill in May, seen from the bridge.</figcaption></figure>",
        "<blockquote class='twitter-tweet'><p>The wheel turns again, says the miller to all who ask.</p></blockquote>",
    ],
)
def test_text_that_only_sounds_like_it_stays(after: str) -> None:
    found = text_of(page(after=after))
    assert found.startswith(BODY) and len(found) > len(BODY) + 15


def test_dates_and_names_between_title_and_text_go() -> None:
    assert text_of(page("", "").replace("article-body'>", "article-body'><h1>The mill</h1><p>Jo Miller, 3 May 2026</p>")) == (
        f"# The mill\n\n{BODY}"
    )
    assert "3.5.2026" not in text_of(page("", "").replace("article-body'>", "article-body'><h1>The mill</h1><p>Stand: 3.5.2026, 10:27</p>"))


def test_a_version_is_no_date_and_a_defined_date_is_text() -> None:
    cases = (
        "<p>Version 2.6.23 of the gate</p>",
        "<dl><dt>Built<dd>3 May 1426</dl>",
        "<table><tr><td>Built<td>1426-05-03<tr><td>a<td>b</table>",
    )
    for case in cases:
        found = text_of(page("", "").replace("article-body'>", f"article-body'><h1>The mill</h1>{case}"))
        assert "2.6.23" in found or "1426" in found


def test_a_section_that_is_most_of_the_page_is_the_page() -> None:
    pieces = [Piece(0, HEADING, 2, 16, 0, "Related articles"), *(Piece(i, PROSE, 0, len(s), 0, s) for i, s in enumerate(MILL, 1))]
    assert main_pieces(pieces) == pieces


def test_the_edges_of_a_page_of_many_labels_take_linear_time() -> None:
    started = time.process_time()
    labels = [Piece(i, PROSE, 0, 40, 0, "Mehr " + "zum " * (i % 9) + "x" * 30) for i in range(60_000)]
    main_pieces([*(Piece(i, PROSE, 0, len(s), 0, s) for i, s in enumerate(MILL)), *labels])
    main_pieces([Piece(i, HEADING, 2, 20, 0, "Related articles") for i in range(20_000)])
    assert time.process_time() - started < 10
