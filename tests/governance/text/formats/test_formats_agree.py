"""Feeds and posts (HTML), JATS and wikitext write the same thing alike: tables with spans, raised and lowered text, readings, lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import RULES

from headrace_governance.text.formats.html_fragment import fragment_text
from headrace_governance.text.formats.jats.convert import convert_article
from headrace_governance.text.formats.tables import Cell, placed, spans
from headrace_governance.text.formats.wikipedia.convert import wikitext

HEAD = "<th>Region</th><th>Product</th><th>N</th>"
TABLES = {
    "a cell of two rows": (
        f"<tr>{HEAD}</tr><tr><td rowspan='2'>EU</td><td>Hub</td><td>3</td></tr><tr><td>Gate</td><td>7</td></tr>",
        "| Region | Product | N |\n| --- | --- | --- |\n| EU | Hub | 3 |\n|  | Gate | 7 |",
    ),
    "a cell of two columns": (
        f"<tr>{HEAD}</tr><tr><td colspan='2'>EU</td><td>3</td></tr><tr><td>a</td><td>b</td><td>7</td></tr>",
        "| Region | Product | N |\n| --- | --- | --- |\n| EU |  | 3 |\n| a | b | 7 |",
    ),
    "two rows and two columns": (
        f"<tr>{HEAD}</tr><tr><td rowspan='2' colspan='2'>EU</td><td>3</td></tr><tr><td>7</td></tr><tr><td>a</td><td>b</td><td>c</td></tr>",
        "| Region | Product | N |\n| --- | --- | --- |\n| EU |  | 3 |\n|  |  | 7 |\n| a | b | c |",
    ),
    "a span in the last column": (
        f"<tr>{HEAD}</tr><tr><td>EU</td><td>Hub</td><td rowspan='2'>3</td></tr><tr><td>US</td><td>Gate</td></tr>",
        "| Region | Product | N |\n| --- | --- | --- |\n| EU | Hub | 3 |\n| US | Gate |  |",
    ),
    "two spans one after another": (
        f"<tr>{HEAD}</tr><tr><td rowspan='3'>EU</td><td rowspan='2'>Hub</td><td>3</td></tr><tr><td>4</td></tr>"
        "<tr><td>Gate</td><td>5</td></tr>",
        "| Region | Product | N |\n| --- | --- | --- |\n| EU | Hub | 3 |\n|  |  | 4 |\n|  | Gate | 5 |",
    ),
}
INLINE = {
    "100<sup>2</sup> = 10000, 10<sup>-6</sup>": "100² = 10000, 10⁻⁶",
    "H<sub>2</sub>O and x<sub>ij</sub>": "H₂O and x_ij",
    "5<sup>th</sup> of e<sup>ix</sup>": "5^th of e^ix",
    "この<ruby>虐待<rt>ぎゃくたい</rt></ruby>の問題": "この虐待（ぎゃくたい）の問題",
    "この<ruby>虐待<rp>（</rp><rt>ぎゃくたい</rt><rp>）</rp></ruby>の": "この虐待（ぎゃくたい）の",
    "<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>": "漢（かん）字（じ）",
}


def article(body: str) -> str:
    return convert_article(f"<article><body>{body}</body></article>".encode()).text


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_the_same_grid_in_html_jats_and_wikitext(name: str) -> None:
    rows, expected = TABLES[name]
    assert fragment_text(f"<table>{rows}</table>") == expected
    assert article(f"<table-wrap><table>{rows}</table></table-wrap>") == expected
    assert wikitext(f"<table>{rows}</table>", RULES.wikitext) == expected
    marked = rows.replace("<tr>", "|-\n").replace("</tr>", "").replace("</td>", "\n").replace("</th>", "\n").replace("<th>", "! ")
    marked = marked.replace("<td>", "| ").replace("<td ", "| ").replace("'>", "' | ")
    assert wikitext(f'{{| class="wikitable"\n{marked}|}}', RULES.wikitext) == expected


@pytest.mark.parametrize("source", INLINE)
def test_raised_lowered_and_annotated_text_is_the_same_in_html_jats_and_wikitext(source: str) -> None:
    assert fragment_text(f"<p>{source}</p>") == article(f"<p>{source}</p>") == wikitext(source, RULES.wikitext) == INLINE[source]


def test_struck_text_goes_and_inserted_text_stays() -> None:
    assert fragment_text("<p>costs <del>50</del> <s>45</s> <ins>40</ins></p>") == "costs 40"
    assert wikitext("costs <del>50</del> <s>45</s> <ins>40</ins>", RULES.wikitext) == "costs 40"
    assert article("<p>costs <strike>50</strike> 40</p>") == "costs 40"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<ol start=3><li>a<li value=7>b<li>c</ol>", "3. a\n7. b\n8. c"),
        ("<ol type=a><li>x<li>y</ol>", "a. x\nb. y"),
        ("<ol reversed><li>x<li>y</ol>", "2. x\n1. y"),
        ("<ol type=I start=4><li>x<li>y</ol>", "IV. x\nV. y"),
    ],
)
def test_a_list_keeps_its_numbers(source: str, text: str) -> None:
    assert fragment_text(source) == text


def test_a_jats_list_keeps_its_labels() -> None:
    items = "<list-item><label>{}</label><p>x</p></list-item><list-item><label>{}</label><p>y</p></list-item>"
    assert article(f"<list list-type='order'>{items.format('3.', '(b)')}</list>") == "3. x\n(b) y"
    assert article(f"<list list-type='bullet'>{items.format('•', '–')}</list>") == "- x\n- y"
    plain = "<list-item><p>x</p></list-item><list-item><p>y</p></list-item>"
    assert article(f"<list list-type='roman-lower'>{plain}</list>") == "i. x\nii. y"


def test_lines_of_code_formulas_and_buttons_of_a_post_are_kept() -> None:
    assert fragment_text("<pre>one<br>two\rthree\r\nfour</pre>") == "```\none\ntwo\nthree\nfour\n```"
    assert fragment_text("<p>so <math><msup><mi>x</mi><mn>2</mn></msup></math> holds</p>") == "so $x^{2}$ holds"
    assert fragment_text("<p>Press <button>Start</button> now</p>") == "Press Start now"


@given(st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), max_size=5), max_size=6))
def test_no_two_cells_share_a_slot_and_none_is_lost(rows: list[list[tuple[int, int]]]) -> None:
    cells = [[Cell(f"{y}.{x}", wide, tall) for x, (wide, tall) in enumerate(row)] for y, row in enumerate(rows)]
    grid = placed(cells)
    assert [[c for c in row if c] for row in grid] == [[c.text for c in row] for row in cells]
    # The standard's algorithm (4.9.12.1), slot by slot.
    taken: set[tuple[int, int]] = set()
    for y, row in enumerate(cells):
        x = 0
        for cell in row:
            while (y, x) in taken:
                x += 1
            assert grid[y][x] == cell.text
            for down in range(cell.rows or len(rows)):
                taken |= {(y + down, x + across) for across in range(cell.columns)}
            x += cell.columns


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        ("2", "3", (2, 3)),
        (None, None, (1, 1)),
        ("x", "", (1, 1)),
        ("0", "0", (1, 0)),
        ('"4"', "99999999", (4, 65534)),
        ("9999", "1", (60, 1)),
    ],
)
def test_what_is_no_number_is_no_span(columns: str | None, rows: str | None, expected: tuple[int, int]) -> None:
    assert spans(columns, rows) == expected
