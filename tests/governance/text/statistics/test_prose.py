"""The text that rules measure: Markdown's marks are left out, words are not, and every line knows its place in the stored text."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prose_reference import lines_of, prose

from headrace_governance.text.statistics.prose import Prose, item_lines, prose_of, without_markup

KINDS = ["text", "heading", "item", "row"]


def measured(texts: list[str], markdown: bool = True) -> Prose:
    return without_markup(pa.array(texts, pa.large_string()), np.full(len(texts), markdown), origins=True)


def check(texts: list[str]) -> None:
    found = measured(texts)
    for row, text in enumerate(texts):
        wanted, code = lines_of(text)
        got, origins, lines = found.one(row)
        assert got == "\n".join(line.text for line in wanted), text
        assert [(a, b, KINDS[k]) for a, b, k in lines.tolist()] == [(w.start, w.end, w.kind) for w in wanted], text
        assert found.code[row] == code
        stored, written = text.encode(), got.encode()
        for place, origin in enumerate(origins.tolist()):
            assert stored[origin] == written[place] or written[place] == 0x20, (text, place)
        assert (np.diff(origins) > 0).all()


MADE = {
    "# The mill\n\n## Its *wheel*": "The mill\n\nIts wheel",
    "- one\n- **two**\n  1. three\n  2) four": "one\ntwo\nthree\nfour",
    "> said\n> > again\n>\n> - listed": "said\nagain\n\nlisted",
    "| a | b \\| c |\n| --- | :---: |\n| `d` |  |\n|  |  |": "a b | c\nd",
    "Run `make` or ``a`b`` now: [the *mill*](https://a.b/c_d) ![wheel](w.png).": "Run make or a`b now: the mill wheel.",
    "before\n\n```c\nint main(void) { return 0; }\n```\n\nafter": "before\n\nafter",
    "- step\n  ````\n  ```\n  ````\n- next": "step\nnext",
    "```\nall of it\n```": "",
    "a\n\n* * *\n\nb\n\n===\nc": "a\n\nb\n\nc",
    "水磨**坊**在*河*边\n- 一": "水磨坊在河边\n一",
    r"5 \* 3 \# 2": "5 * 3 # 2",
}
KEPT = [
    "#include <stdio.h>\nC# and F#, issue #12, #hashtag, a # sign",
    "2*3*4 = 24, a * b * c, **kwargs, f(*args), SELECT * FROM t",
    "1984. It was a bright cold day.\n10:30 it ended. 3.14 is pi. 5) is 1234. x",
    "-5 degrees\n–- no item\n-\n- \n--help\n−3",
    "|x| + |y|, a | b, ||",
    "arr[i](j), f[0](x, y), [1] and [a](b c)",
    "it is `open, and ``this too",
    "```\na fence that nothing closes",
    "a_b_c __init__ H_n 10^6 $x^2$",
    ">x and a > b\n=> it",
    "  indented\n\n\n\nthree blank lines, \tand a tab  \n",
    "— Qui est là ? — Moi.",
    "",
    "\n\n",
]


def test_marks_are_left_out_and_words_are_not() -> None:
    for text, wanted in MADE.items():
        assert measured([text]).texts[0].as_py() == wanted == prose(text), text
    check(list(MADE))


def test_what_only_resembles_a_mark_stays() -> None:
    for text in KEPT:
        assert measured([text]).texts[0].as_py() == text == prose(text), text


def test_a_text_that_is_not_markdown_passes_as_it_is_with_a_line_for_each_line() -> None:
    texts = [*MADE, *KEPT]
    found = measured(texts, markdown=False)
    assert found.texts.to_pylist() == texts and not found.code.any()
    for row, text in enumerate(texts):
        _, origins, lines = found.one(row)
        assert [text.encode()[a:b].decode() for a, b, _ in lines.tolist()] == text.split("\n")
        assert origins.tolist() == list(range(len(text.encode()))) and not lines[:, 2].any()


def test_a_document_whose_format_was_not_noted_passes_as_it_is() -> None:
    table = pa.table({"text": ["# a", "# b", "# c"], "format": pa.array(["markdown", "plain", None], pa.string())})
    assert prose_of(table).texts.to_pylist() == ["a", "# b", "# c"]
    assert len(prose_of(table.slice(0, 0)).texts) == 0 and prose_of(table.slice(1, 1)).texts.to_pylist() == ["# b"]


def test_code_and_list_items_are_counted() -> None:
    found = measured(["- a\n- b\n\n1. c\n\n```\nwörd\n\n}\n```\nend", "no marks", "> ```\n> x\n> ```"])
    assert found.code.tolist() == [len("wörd\n\n}\n"), 0, len("> x\n")] and item_lines(found).tolist() == [3, 0, 0]


_PIECES = [
    *(
        "# ",
        "## ",
        "#",
        "- ",
        "* ",
        "+ ",
        "> ",
        ">",
        "1. ",
        "12) ",
        "1984. ",
        "| ",
        " |",
        "|",
        "\\|",
        "| --- | --- |",
        "---",
        "* * *",
        "===",
    ),
    *("```", "````", "```py", "`", "``", "*", "**", "***", "_", "\\*", "\\", "[", "](", "](a.b)", ")", "![", "(", "a/b"),
    *("\n", "\n", "\n", "\n\n", " ", "  ", "\t", "word", "ab c", "水渠", "é", ".", ":"),
]


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.one_of(st.sampled_from(_PIECES), st.text("ab`*|# \n-", max_size=3)), max_size=24).map("".join), max_size=3))
def test_any_text_becomes_what_the_reference_makes_of_it(texts: list[str]) -> None:
    check(texts)


@pytest.mark.parametrize(
    "text",
    [
        "".join("`" * k + " " for k in range(1, 1400)),
        "\n".join("`" * k for k in range(1400, 3, -1)),
        *(piece * (1_000_000 // len(piece)) for piece in ("[a](", "](a", "- ", "> ", "1. ", "*a ", "**a", "| ", "`a", "```\n", "#\n", "[")),
    ],
    ids=lambda t: repr(t[:4]),
)
def test_a_hostile_megabyte_takes_less_than_a_second(text: str) -> None:
    measured(["warm"])
    began = time.process_time()
    measured([text])
    assert time.process_time() - began < 1
