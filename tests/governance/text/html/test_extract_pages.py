"""Main text of pages of the usual layouts, written here: what stays, what goes, and when the fast reading says it is unsure."""

from __future__ import annotations

import pytest

from headrace_governance.text.html import markdown
from headrace_governance.text.html.markdown import CONFIDENT, read_page

MILL = [
    "The canal that feeds the mill was dug by the monks, and it has been kept clean with great care for six hundred years.",
    "In winter the miller breaks the ice before dawn, because a frozen wheel can tear its axle from the wall of the house.",
    "A sluice gate of oak holds back the pond; when it is raised the water falls on the buckets and the great stone turns.",
    "Farmers came from every valley with their grain and waited, talking about prices, weddings and the weather of the year.",
]
NAVIGATION = "<nav><ul><li><a href=/>Home</a><li><a href=/news>News</a><li><a href=/about>About us</a></ul></nav>"
COOKIES = (
    "<div class='cookie-banner'><p>We and our 812 partners use cookies to make this page slower. Choose what you allow us to do.</p></div>"
)
RELATED = (
    "<ul>" + "".join(f"<li><a href=/{i}>Another story about mills, number {i}, that you may like</a></li>" for i in range(6)) + "</ul>"
)
FOOTER = "<footer><p>Copyright 2026 The Mill Gazette, all rights reserved, printed on recycled electrons.</p></footer>"


def paragraphs(sentences: list[str]) -> str:
    return "".join(f"<p>{s}</p>" for s in sentences)


BLOG = f"""<html><head><title>Mill blog</title></head><body><div id="header"><h2><a href=/>A blog about mills</a></h2>{NAVIGATION}</div>
<div class="wrapper has-sidebar">
<div class="post-1 post type-post tag-sidebar hentry"><h1>The canal</h1><p class="post-meta">3 May 2026 by Jo</p>
<div class="entry-content">{paragraphs(MILL)}<div class="sharedaddy"><a href=#>Tweet this</a> <a href=#>Share that</a></div></div></div>
<div id="sidebar"><h3>About me</h3><p>I have lived beside a mill all my life and write down what the miller tells me on Sundays.</p>
<h3>Archive</h3>{RELATED}</div></div><div id="comments"><h3>2 comments</h3><p>What a lovely article, I have read it twice and sent it to
my aunt.</p><p>My grandfather was a miller too, and he always said that the ice was the worst of it all.</p></div>{FOOTER}</body></html>"""
NEWS = f"""<html><body>{COOKIES}<div class="ads">
<p>Buy flour now! Our flour is the finest flour that has ever been sold in this town.</p></div>
<header>{NAVIGATION}</header><main><article class="article"><h1>Ice stops the mill</h1>{paragraphs(MILL[:2])}
<div class="advertisement">
<p>Advertisement: a new wheel in only four weeks, with a guarantee of twenty years.</p></div>{paragraphs(MILL[2:])}
<h3>More on this topic</h3>{RELATED}</article><aside><h2>Most read</h2>{RELATED}</aside></main>{FOOTER}</body></html>"""
FORUM = f"""<html><body><div class="topbar">{NAVIGATION}</div><table class="breadcrumbs">
<tr><td><a href=/>Forum</a>
&gt; <a href=/m>Mills</a></td></tr></table>
<div class="thread">""" + "".join(
    f'<div class="postbox"><div class="author"><a href=/u{i}>user{i}</a> Posts: 12</div><div class="postbody">{s}</div></div>'
    for i, s in enumerate(MILL)
) + f"</div>{FOOTER}</body></html>"  # fmt: skip
DOCS = f"""<html><body><div class="related" role="navigation"><ul><li><a href=i>index</a></ul></div><div class="document"><div class="body"
role="main"><section id="related-work"><h1>Sluice<a class="headerlink" href="#s" title="Permalink">¶</a></h1><p>{MILL[0]}</p>
<div class="highlight-python3 notranslate">
<div class="highlight"><pre><span></span><span class="linenos">1</span><span>gate</span>.<span>open</span>()
</pre></div></div><dl><dt><code>gate.open()</code></dt><dd><p>{MILL[1]}</p></dd></dl></section></div></div><div class="sphinxsidebar">
<h3>Table of Contents</h3><ul><li><a href=a>Sluice</a></ul></div></body></html>"""
OLD = f"""<html><body bgcolor=white><table width=100%><tr><td colspan=2><font size=6>The mill page</font></td></tr><tr><td width=20%>
<a href=1>Start</a><br><a href=2>Pictures</a><br><a href=3>Guest book</a><br><a href=4>Links to other mills</a></td>
<td><h2>History</h2>{MILL[0]}<br><br>{MILL[1]}
<p>{MILL[2]}<p>{MILL[3]}</td></tr></table></body></html>"""  # fmt: skip
BODY = "\n\n".join(MILL)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (BLOG, BODY),
        (NEWS, f"# Ice stops the mill\n\n{BODY}"),
        (FORUM, BODY),
        (DOCS, f"# Sluice\n\n{MILL[0]}\n\n```python3\ngate.open()\n```\n\n`gate.open()`\n\n{MILL[1]}"),
        (OLD, f"## History\n\n{BODY}"),
    ],
    ids=["blog", "news", "forum", "documentation", "tables for layout"],
)
def test_pages_of_the_usual_layouts_give_their_text_and_nothing_else(page: str, expected: str) -> None:
    found = read_page(page, fallback=False)
    assert found.text == expected
    assert found.confidence >= CONFIDENT and found.hostile is None


def test_chinese_pages_are_read_like_others() -> None:
    sentences = [
        "我们的磨坊是这样工作的：水渠把水引到磨坊，磨坊主人在冬天也要保持水闸清洁。",
        "农民从各个山谷带着粮食来，一边等一边谈论价格、婚礼和天气。",
    ] * 3
    links = "".join(f"<li><a href=/{i}>相关新闻：第{i}座磨坊的故事</a></li>" for i in range(8))
    page = (
        f"<div class=menu><ul>{links}</ul></div>"
        + f"<div class=content><h1>磨坊</h1>{paragraphs(sentences)}</div><div class=footer>版权所有</div>"
    )
    assert read_page(page, fallback=False).text == "# 磨坊\n\n" + "\n\n".join(sentences)


def test_a_theme_that_calls_its_wrappers_widgets_loses_no_text() -> None:
    page = f"<div class='elementor-widget-wrap embed'><div class='elementor-widget modal'>{paragraphs(MILL)}</div></div>{FOOTER}"
    assert read_page(page, fallback=False).text == BODY


def help_page(content: str, links: int = 2) -> str:
    """A page of a help system, with navigation above and below its content."""
    above = "".join(f"<a href=/{i}>Chapter {i}</a> " for i in range(links))
    return f"<body><header>{above}</header><div id=area>{content}</div><footer><p>Topic 17</p></footer></body>"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<h1>Clear</h1><p>Clears the marked cells.</p>", "# Clear\n\nClears the marked cells."),
        (
            f"<h1>Print</h1><p>Prints it.</p><p>{MILL[0][:70]}.</p><h2>Steps</h2><ol><li>Open it.<li>Choose Print.</ol>",
            f"# Print\n\nPrints it.\n\n{MILL[0][:70]}.\n\n## Steps\n\n1. Open it.\n2. Choose Print.",
        ),
        ("<h1>Wave</h1><p>To open it:</p><div class=embedded><p>Choose Wave.</p></div>", "# Wave\n\nTo open it:\n\nChoose Wave."),
        ("<h1>磨坊</h1><p>水闸在冬天关闭。</p><p>春天打开。</p>", "# 磨坊\n\n水闸在冬天关闭。\n\n春天打开。"),
    ],
    ids=["one line", "steps", "a doubtful name", "Chinese"],
)
def test_a_short_page_is_all_there(content: str, expected: str) -> None:
    found = read_page(help_page(content))
    assert (found.text, found.method) == (expected, "fast")
    assert found.confidence >= CONFIDENT  # or trafilatura was asked and had nothing


@pytest.mark.parametrize(
    "page",
    [
        help_page("<h1>Chapters</h1><p>All of them.</p>", links=40),
        help_page(f"<h1>Clear</h1><p>Clears it.</p><span hidden><p>{MILL[0]}</p></span>"),
        help_page("<h1>Only a heading, and nothing said below it</h1>"),
    ],
    ids=["more links than text", "more hidden than shown", "no text"],
)
def test_a_short_page_that_may_hold_more_stays_unsure(page: str) -> None:
    assert read_page(page, fallback=False).confidence < CONFIDENT


def test_an_unsure_page_is_read_again_by_trafilatura() -> None:
    page = "<body><div>" + "".join(f"<p><a href=/{i}>{s}</a></p>" for i, s in enumerate(MILL)) + "</div></body>"
    alone, both = read_page(page, fallback=False), read_page(page)
    assert (alone.text, alone.method) == ("", "fast") and alone.confidence < CONFIDENT
    assert both.text == BODY and both.method == "trafilatura"


def test_a_list_of_links_is_not_read_again() -> None:
    """trafilatura gives such a list whole, where it is long enough; that is not text."""
    entries = "".join(f"<p><a href=/{i}>Sluice number {i} of the canal</a></p>" for i in range(100))
    found = read_page(f"<body><h1>Register</h1><div>{entries}</div></body>")
    assert found.method == "fast" and len(found.text) < 100


@pytest.mark.parametrize(
    "around", ["<noscript>{}</noscript>", "<template>{}</template>", "<object>{}</object>", "<p><span class=sr-only>{}</span>"]
)
def test_a_list_of_links_beside_what_is_not_read_here_is_read_again(around: str) -> None:
    entries = "".join(f"<li><a href=/{i}>Sluice number {i} of the canal</a></li>" for i in range(60))
    page = f"<body><ul>{entries}</ul>{around.format(' '.join(MILL * 4))}</body>"
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "_trafilatura", lambda markup: seen.append(markup) or "")
        read_page(page)
    assert seen


def test_sentences_that_are_links_are_read_again() -> None:
    sentences = [f"{s[:-1]}, says entry {i}." for i in range(5) for s in MILL]
    page = "<body><div>" + "".join(f"<p><a href=/{i}>{s}</a></p>" for i, s in enumerate(sentences)) + "</div></body>"
    assert read_page(page).method == "trafilatura"


def test_what_is_called_comments_but_is_the_page_stays() -> None:
    page = (
        f"<body><div class=comments>{paragraphs(MILL)}</div>"
        + "<p>A short notice that stands alone, with the visitors' talk above it.</p></body>"
    )
    assert read_page(page, fallback=False).text.startswith(BODY)


def test_the_same_page_gives_the_same_text_every_time() -> None:
    assert len({read_page(p).text for p in (BLOG, BLOG, BLOG)}) == 1
