"""What elements of a page mean and plain text has to keep: powers, readings, numbers of items, places of cells, struck text, formulas."""

from __future__ import annotations

import time

import pytest

from headrace_governance.text.formats.html_fragment import fragment_text
from headrace_governance.text.formats.jats.convert import convert_article
from headrace_governance.text.formats.wikipedia.convert import WikitextRules, wikitext
from headrace_governance.text.html.markdown import read_page

PROSE = "The canal feeds the mill, and the miller keeps the sluice clean because the wheel must never stop in winter."


def markdown(body: str, *, xml: bool = False) -> str:
    """The text between two paragraphs that make the page one of text."""
    text = read_page(f"<body><p>{PROSE}</p>{body}<p>{PROSE}</p></body>", fallback=False, xml=xml).text
    assert text.startswith(PROSE) and text.endswith(PROSE)
    return text[len(PROSE) : -len(PROSE)].strip("\n")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "<p>The deepest layer has 100<sup>2</sup>=10000 nodes and 10<sup>-6</sup> parts.</p>",
            "The deepest layer has 100²=10000 nodes and 10⁻⁶ parts.",
        ),
        ("<p>H<sub>2</sub>O, CO<sub>2</sub> and a<sub>ij</sub> in m<sup>3</sup></p>", "H₂O, CO₂ and a_ij in m³"),
        ("<p>x<sup>i+1</sup>, 2<sup>n</sup>, the 1<sup>st</sup> and 10<sup>&minus;9</sup></p>", "x^i+1, 2ⁿ, the 1^st and 10^−9"),
        ("<p>Mill<sup>®</sup> and Wheel<sup>&trade;</sup></p>", "Mill® and Wheel™"),
        ("<p>5<span style='vertical-align: super; font-size: 70%'>2</span> is 25</p>", "5² is 25"),
        ("<p>x<span style='vertical-align:sub'>0</span> and <code>10<sup>3</sup></code></p>", "x₀ and `10³`"),
        ("<p>an area of <a href=/area>7 km<sup>2</sup></a></p>", "an area of 7 km²"),
        ("<p>a <sup></sup>b and <a href='#x'>10<sup>2</sup></a> c</p>", "a b and 10² c"),
        ("<table><tr><th>a<sup>2</sup><th>b<tr><td>1<td>10<sup>-3</sup></table>", "| a² | b |\n| --- | --- |\n| 1 | 10⁻³ |"),
        ("<pre>x<sup>2</sup> + 1</pre>", "```\nx² + 1\n```"),
    ],
)
def test_raised_and_lowered_text_stays_a_power_or_an_index(body: str, expected: str) -> None:
    assert markdown(body) == expected


def test_long_raised_text_is_small_print() -> None:
    assert markdown(f"<p><sup>{PROSE} {PROSE}</sup></p>") == f"{PROSE} {PROSE}"


def test_a_pointer_to_a_note_is_no_power() -> None:
    assert markdown("<p>The mill<sup><a href='#fn1'>1</a></sup> turns.</p>") == "The mill turns."
    assert markdown("<p>The mill<a href='#fn1'><sup>1</sup></a> turns<sup><a href='#d'>*</a></sup>.</p>") == "The mill turns."
    assert markdown("<p>The mill<sup><a href='#cite_note-1'>[1]</a></sup> turns.</p>") == "The mill[1] turns."


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("この<ruby>虐待<rt>ぎゃくたい</rt></ruby>の問題", "この虐待（ぎゃくたい）の問題"),
        ("<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>を", "漢（かん）字（じ）を"),
        ("<ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>を", "漢字(かんじ)を"),
        ("<ruby>漢<rt>kan<rt>han</ruby>", "漢（kan han）"),
        ("<ruby><rb>旧<rb>金<rb>山<rt>jiù<rt>jīn<rt>shān<rtc>San Francisco</ruby>", "旧金山（jiù jīn shān）（San Francisco）"),
        ("<ruby>旧<rtc><rt>jiù</rt></rtc></ruby>と<ruby>東<rt></rt></ruby>", "旧（jiù）と東"),
    ],
)
def test_a_reading_stands_in_brackets_behind_its_base(body: str, expected: str) -> None:
    assert markdown(f"<p>{body}</p>") == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            "<thead><tr><th>Region<th>Product<th>Units</thead><tbody><tr><td rowspan=2>EU<td>Cable<td>12<tr>"
            "<td>Hub<td>7<tr><td>US<td>Cable<td>3",
            "Region Product Units / EU Cable 12 / . Hub 7 / US Cable 3",
        ),
        ("<tr><th rowspan=2>A<th colspan=2>B<tr><th>b1<th>b2<tr><td>1<td>2<td>3", "A B . / . b1 b2 / 1 2 3"),
        ("<tbody><tr><td rowspan=0>x<td>1<tr><td>2<tbody><tr><td>y<td>3", "x 1 / . 2 / y 3"),
        ("<tbody><tr><td rowspan=9>x<td>1<tbody><tr><td>y<td>2", "x 1 / y 2"),
        ("<tr><td colspan=0>a<td colspan=x>b<tr><td colspan=-2>c<td>d", "a b / c d"),
        ("<tr><td>a<td rowspan=2 colspan=2>b<td>c<tr><td>d<td>e<tr><td>f", "a b . c / d . . e / f . . ."),
        ("<tr><td rowspan=2>a<td>b<tr><tr><td>c<td>d", "a b / c d"),
    ],
    ids=["rows", "head of two rows", "to the end of the group", "no further than the group", "bad numbers", "both", "a row without cells"],
)
def test_cells_stand_under_their_heads(rows: str, expected: str) -> None:
    lines = [line.split() for line in expected.replace(" / ", "\n").split("\n")]
    written = ["| " + " | ".join("" if c == "." else c for c in line) + " |" for line in lines]
    written.insert(1, "|" + " --- |" * len(lines[0]))
    assert markdown(f"<table>{rows}</table>") == "\n".join(written)


def test_spans_of_millions_of_cells_cost_neither_memory_nor_time() -> None:
    started = time.process_time()
    row = "<tr><td colspan=1000 rowspan=65534>a<td colspan=1000>b"
    text = read_page(f"<p>{PROSE}</p><table><tr><th>x<th>y{row * 20_000}</table>", fallback=False).text
    assert len(text) < 4_000_000
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<ol><li>a<li value=7>b<li>c</ol>", "1. a\n7. b\n8. c"),
        ("<ol start=-1><li>a<li>b<li>c</ol>", "-1. a\n0. b\n1. c"),
        ("<ol reversed><li>a<li>b<li>c</ol>", "3. a\n2. b\n1. c"),
        ("<ol reversed start=10><li>a<li value=4>b<li>c</ol>", "10. a\n4. b\n3. c"),
        ("<ol type=a start=26><li>a<li>b</ol>", "z. a\naa. b"),
        ("<ol type=I><li>a<li>b<ol type=i start=9><li>c</ol></ol>", "I. a\nII. b\n    ix. c"),
        ("<ol style='list-style-type: lower-alpha'><li>a<li>b</ol>", "a. a\nb. b"),
        ("<ol start=x type=1><li>a</ol>", "1. a"),
    ],
)
def test_items_have_the_numbers_that_the_page_shows(body: str, expected: str) -> None:
    assert markdown(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>Now <del>10</del> <ins>8</ins> crowns.</p>", "Now 8 crowns."),
        ("<p><s>Closed.</s> Open on <strike>Monday</strike> Sunday.</p>", "Open on Sunday."),
        ("<del><p>Old paragraph.</p></del><p>New <span style='text-decoration: line-through red'>words</span> text.</p>", "New text."),
    ],
)
def test_struck_out_text_is_not_read_as_current(body: str, expected: str) -> None:
    assert markdown(body) == expected


def test_an_element_that_strikes_out_half_a_page_was_not_meant_so() -> None:
    assert PROSE in markdown(f"<div><s>{f'<p>{PROSE}</p>' * 60}</s></div><p>end.</p>")


@pytest.mark.parametrize(
    "word",
    [
        "Donau&shy;dampfer",
        "Donau\u00addampfer",
        "Donau&#173;dampfer",
        "Donau<wbr>dampfer",
        "Donau&#8203;dampfer",
        "Donau\u200bdampfer",
        "Donau\ufeffdampfer",
    ],
)
def test_a_word_that_may_be_broken_is_one_word(word: str) -> None:
    assert markdown(f"<p>Der {word} fährt.</p>") == "Der Donaudampfer fährt."


def test_a_character_reference_is_one_character_wherever_its_number_begins() -> None:
    written = "".join(f"&#{ord(c)};" for c in "abyzшя水あ") + "".join(f"&#x{ord(c):X};" for c in "«×É黒\u00b5") + "&#97b&#xe9x"
    assert markdown(f"<p>{written} 10&#xA0;km</p>") == "abyzшя水あ«×É黒\u00b5abéx 10 km".replace(" km", "\u00a0km")
    assert markdown("<p>a&#10;b &#x0D;&#xA;c&#9d&Tab;e&NewLine;f</p>") == "a b c d e f"


def test_joiners_that_belong_to_the_spelling_stay() -> None:
    assert markdown("<p>می\u200cخواهم</p>") == "می\u200cخواهم"


def test_quotes_inside_of_quotes() -> None:
    assert markdown("<p><q>He said <q>come</q>.</q></p>") == "“He said ‘come’.”"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Costs <span aria-hidden=true>1.50</span><span class=sr-only>1.50</span> now.", "Costs 1.50 now."),
        ("Costs <span class='a-offscreen'>$9</span><span aria-hidden='true'><b>$</b><b>9</b></span> now.", "Costs $9 now."),
        ("Costs <span aria-hidden=true>9</span> <span class=visually-hidden>nine crowns</span> now.", "Costs 9 now."),
        ("Good: <span aria-hidden=true>★★★★☆</span><span class=screen-reader-text>4 of 5 stars</span>.", "Good: 4 of 5 stars."),
        ("Costs <span aria-hidden=true>$5<sup>99</sup></span><span class=sr-only>$5.99</span> now.", "Costs $5.99 now."),
        ("Is <span aria-hidden=true>10<sup>2</sup></span><span class=sr-only>10 squared</span> now.", "Is 10² now."),
        (
            "Costs <span aria-hidden=true>5</span><span class=sr-only>five</span> today; <span aria-hidden=true>★★</span>"
            "<span class=sr-only>2 stars</span>.",
            "Costs 5 today; 2 stars.",
        ),
        ("Save<i class='material-icons' aria-hidden=true>save</i> it<i class='fa fa-x' aria-hidden=true></i>.", "Save it."),
        ("Seen <span style='position:absolute;left:-9999px'>for readers</span>now.", "Seen now."),
    ],
)
def test_what_is_said_once_for_the_eye_and_once_for_the_ear_is_there_once(body: str, expected: str) -> None:
    assert markdown(f"<p>{body}</p>") == expected


def test_a_cell_that_shows_a_picture_says_in_words_what_it_means() -> None:
    table = "<table><tr><th>Mill<th>Open<tr><td>North<td><i aria-hidden=true></i><span class=sr-only>yes</span></table>"
    assert markdown(table) == "| Mill | Open |\n| --- | --- |\n| North | yes |"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "<h2><button aria-expanded=true type=button>How long does delivery take?</button></h2><div><p>Three days.</p></div>",
            "## How long does delivery take?\n\nThree days.",
        ),
        ("<h3><button>Why?<span aria-hidden=true>+</span></button></h3><p>So.</p>", "### Why?\n\nSo."),
        ("<details><summary><button>What is it?</button></summary><p>A mill.</p></details>", "What is it?\n\nA mill."),
        ("<div><button class='accordion-button'>Why water?</button><div><p>It is cheap.</p></div></div>", "Why water?\n\nIt is cheap."),
        (
            "<button aria-expanded=false aria-controls=x>Who pays for the repair?</button><div id=x hidden=until-found><p>We do.</p></div>",
            "Who pays for the repair?\n\nWe do.",
        ),
        ("<div role=heading><button>Opening hours</button></div><p>All day.</p>", "Opening hours\n\nAll day."),
        ("<button><h3>Is it old?</h3></button><p>Very.</p>", "### Is it old?\n\nVery."),
        ("<dl><dt><button>Sluice</button><dd>A gate of oak.</dl>", "Sluice\n\nA gate of oak."),
        ("<p>Press the <button>Save</button> button to keep it.</p>", "Press the Save button to keep it."),
        ("<h2>Install <button class=copy>Copy link</button></h2><p>So.</p>", "## Install\n\nSo."),
        ("<h2><button>Why?</button><button>Copy link</button></h2><p>So.</p>", "## Why?\n\nSo."),
        ("<div><button>Share</button><button aria-expanded=false>Menu</button></div><p>So.</p>", "So."),
        ("<p>So it is.<button>Copy</button></p>", "So it is."),
        ("<div><button>open <p>So it is.</div><p>Then.</p>", "open\n\nSo it is.\n\nThen."),
    ],
)
def test_a_button_is_text_where_it_is_a_title_and_else_a_control(body: str, expected: str) -> None:
    assert markdown(body) == expected


def mjx(inner: str, output: str = "CHTML", attributes: str = "") -> str:
    return f'<mjx-container class="MathJax" jax="{output}"{attributes}>{inner}</mjx-container>'


def mi(code: str, name: str = "mi") -> str:
    return f'<mjx-{name} class="mjx-i"><mjx-c class="mjx-c{code} TEX-I"></mjx-c></mjx-{name}>'


def path(code: str, name: str = "mi", place: str = "") -> str:
    return f'<g data-mml-node="{name}"{place}><path data-c="{code}" d="M0 0"></path></g>'


RAISED = ' transform="translate(605,363)"'
FRACTION = (
    f"<mjx-mfrac><mjx-frac><mjx-num><mjx-nstrut></mjx-nstrut>{mi('1D465')}</mjx-num><mjx-dbox><mjx-dtable><mjx-line></mjx-line><mjx-row>"
    f"<mjx-den><mjx-dstrut></mjx-dstrut>{mi('32', 'mn')}</mjx-den></mjx-row></mjx-dtable></mjx-dbox></mjx-frac></mjx-mfrac>"
)
BOTH = f"<mjx-msubsup>{mi('1D465')}<mjx-script>{mi('32', 'mn')}<mjx-spacer></mjx-spacer>{mi('1D456')}</mjx-script></mjx-msubsup>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>", r"$\frac{1}{2}$"),
        ("<math display=block><msup><mi>x</mi><mn>2</mn></msup></math>", "$$x^{2}$$"),
        (
            "<m:math xmlns:m='http://www.w3.org/1998/Math/MathML'><m:mfrac><m:mn>1</m:mn><m:mn>2</m:mn></m:mfrac></m:math>",
            r"$\frac{1}{2}$",
        ),
        ("<mml:math><mml:msub><mml:mi>x</mml:mi><mml:mn>2</mml:mn></mml:msub></mml:math>", "$x_{2}$"),
        ("<math><mtext><![CDATA[a<b]]></mtext></math>", r"$\text{a<b}$"),
        (
            mjx(
                f"<mjx-math aria-hidden='true'>{mi('1D465')}</mjx-math><mjx-assistive-mml><math><msqrt><mi>x</mi>"
                f"</msqrt></math></mjx-assistive-mml>"
            ),
            r"$\sqrt{x}$",
        ),
        (mjx(f"<mjx-math>{FRACTION}</mjx-math>"), r"$\frac{x}{2}$"),
        (mjx(f"<mjx-math>{BOTH}</mjx-math>", attributes=' display="true"'), "$$x_{i}^{2}$$"),
        (mjx(f"<mjx-math data-latex='\\frac{{x}}{{2}}'>{FRACTION}</mjx-math>"), r"$\frac{x}{2}$"),
        (
            mjx(
                f"<svg><g data-mml-node=math><g data-mml-node=msup>{path('1D465')}{path('32', 'mn', RAISED)}</g></g></svg>",
                "SVG",
            ),
            "$x^{2}$",
        ),
        (
            '<span class="MathJax_Preview">E</span><span class="MathJax"><nobr>E</nobr><span class="MJX_Assistive_MathML"><math><mi>E</mi>'
            '</math></span></span><script type="math/tex">E=mc^2</script>',
            "$E=mc^2$",
        ),
        ("<script type='math/mml'><math><msup><mi>x</mi><mn>3</mn></msup></math></script>", "$x^{3}$"),
    ],
    ids="MathML|display|another prefix|prefix|CDATA|MathJax 3|drawn|display drawn|LaTeX|SVG|MathJax 2|MathML in a script".split("|"),
)
def test_a_formula_is_there_once_and_as_latex(body: str, expected: str) -> None:
    assert markdown(f"<p>Let {body} be.</p>") == f"Let {expected} be."


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n", "&#13;", "&#xD;&#10;", "&#10;"])
def test_lines_of_code_end_as_the_page_ends_them(end: str) -> None:
    assert markdown(f"<pre>line one{end}  line two{end}line three</pre>") == "```\nline one\n  line two\nline three\n```"
    assert markdown(f"<p>one{end}two</p>") == "one two"


SECTION = "<pre><![CDATA[if (a > b && c < d) return;]]></pre>"


def test_a_cdata_section_is_text_in_xhtml_alone() -> None:
    code = "```\nif (a > b && c < d) return;\n```"
    assert markdown(SECTION, xml=True) == code
    declared = read_page(f"<?xml version='1.0'?><html><body><p>{PROSE}</p>{SECTION}<p>{PROSE}</p></body></html>", fallback=False)
    assert code in declared.text
    assert markdown("<p><![CDATA[a &amp; b]]> c</p>", xml=True) == "a &amp; b c"
    assert markdown("<script src='x'/><p>shown</p><title/>", xml=True) == "shown"
    assert "if (a" not in markdown(SECTION)


def test_xhtml_under_a_prefix_is_read() -> None:
    page = f'<?xml version="1.0"?><h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:body><h:p>{PROSE}</h:p></h:body></h:html>'
    assert read_page(page, fallback=False).text == PROSE


def page_of(html: str) -> str:
    return markdown(html)


def post(html: str) -> str:
    return fragment_text(html)


def article(html: str) -> str:
    body = html.replace("<table>", "<table-wrap><table>").replace("</table>", "</table></table-wrap>")
    return convert_article(f"<article><body>{body}</body></article>".encode()).text


def wiki(html: str) -> str:
    return wikitext(html.replace("<p>", "").replace("</p>", ""), WikitextRules())


SAME = {
    "power": "<p>10<sup>-6</sup> and x<sup>i+1</sup></p>",
    "index": "<p>H<sub>2</sub>O and a<sub>ij</sub></p>",
    "spans": "<table><tr><td>a</td><td rowspan='2'>b</td></tr><tr><td>c</td></tr><tr><td colspan='2'>d</td></tr></table>",
    "reading": "<p>この<ruby>虐待<rt>ぎゃくたい</rt></ruby>の問題</p>",
}


@pytest.mark.parametrize("kind", SAME)
def test_pages_posts_articles_and_wikitext_have_one_notation(kind: str) -> None:
    texts = {convert.__name__: convert(SAME[kind]) for convert in (page_of, post, article, wiki)}
    assert len(set(texts.values())) == 1, texts
