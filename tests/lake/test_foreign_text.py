"""Foreign and typed text stays text: at a terminal, in a log, in Markdown and in HTML."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable

import pytest

from headrace_lake.foreign_text import html, is_unseen, log_line, markdown, markdown_address, one_line, terminal
from headrace_lake.terminal import console

HOSTILE = [  # ../shared/cases-hostile/reasons.txt, and more of each kind
    "fine\n\n## Safety\nAudited.<script>alert(1)</script>",
    "title \x1b]52;c;aGVsbG8=\x07 and \x9b31m and \u202egnp.exe",
    "![x](http://127.0.0.1:9/seen.png)",
    "NUL \x00 and then " + "x" * 2000,
    "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\x1bPq#0\x1b\\ \x90\x9d\x9c \x08\x08\x7f\r",
    "\u2066a\u2069 \u200b\u200f\u061c\ufeff\u2028\u2029\x85 \ue000 \U000e0041",
    "# h", "> q", "- li", "+ li", "1. li", "12) li", "---", "===", "* li", "    code", "~~~", "```sh",
    "| a | b |", "a | b", "**b** __b__ *i* _i_ ~~s~~ `c` $x$", "[a](javascript:x) [a]: http://x <http://x>",
    "<img src=x onerror=y> &lt;b&gt; &#60;",
    "http://127.0.0.1:9/seen www.evil.example me@evil.example", "\\![x](y) \\\\[x](y) \\`", "a\n|---|\n| forged | row |",
]  # fmt: skip


def _unseen(text: str) -> set[str]:
    return {c for c in text if is_unseen(c)}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_gets_no_character_that_drives_it(text: str) -> None:
    for shown in (terminal(text), log_line(text), one_line(text)):
        assert _unseen(shown) == set()
    assert "\n" not in one_line(text) and terminal("plain: naïve 中文 ok\tb\n") == "plain: naïve 中文 ok\tb\n"
    assert terminal("\x1b[31mred") == "[ESC][31mred" and log_line("\x1b[31mred\x1b[0m \x1b[2J") == "red [ESC][2J"


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_markdown_is_read_as_text_by_a_real_parser(text: str) -> None:
    """As a paragraph's end, a cell, a heading and a list's item, by the parser of GitHub's dialect that is nearest at hand."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    shown = markdown(text)
    places = {
        f"said by him: {shown}": ["paragraph_open", "inline", "paragraph_close"],
        shown or "x": ["paragraph_open", "inline", "paragraph_close"],
        f"## {shown}": ["heading_open", "inline", "heading_close"],
    }
    for page, kinds in places.items():
        tokens = parser.parse(page)
        assert [t.type for t in tokens] == kinds, page
        inline = [c.type for t in tokens for c in t.children or ()]
        assert set(inline) <= {"text", "text_special"}, (page, inline)
    cells = parser.parse(f"| a | b |\n|---|---|\n| {shown} | end |")
    assert sum(t.type == "td_open" for t in cells) == 2 and sum(t.type == "tr_open" for t in cells) == 2
    read = "".join(c.content for t in parser.parse(f"x {shown}") for c in t.children or ())
    assert " ".join(read.split()) == " ".join(f"x {one_line(text)}".split()), "what is read is what was typed"


def test_no_bare_address_of_a_text_becomes_a_link() -> None:
    for text in ("see http://x.example", "HTTPS://x.example", "www.x.example", "WWW.x.example", "me@x.example"):
        assert not re.search(r"(?i)https?://|www\.|[a-z0-9]@[a-z0-9]", markdown(text)), text
    assert markdown_address("https://handbook.example/licence_1?a=b") == "https://handbook.example/licence_1?a=b"
    for wrong in ("https://x.example/)![y](z", "javascript:x", "https://x.example/ <b>", "https://x.example/\u202e"):
        assert markdown_address(wrong) == markdown(wrong)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_html_makes_no_element_and_hides_nothing(text: str) -> None:
    shown = html(text)
    assert "<" not in shown and ">" not in shown and '"' not in shown and _unseen(shown) == set()


@pytest.mark.parametrize("make", [terminal, log_line, one_line, markdown, markdown_address, html])
@pytest.mark.parametrize("seed", ["\x1b[", "\x1b[1;", "\u202e", "[", "\\", "_", "a_", "&", "www.", "1", "# ", " \n", "https://a/"])
def test_the_functions_are_linear(make: Callable[[str], str], seed: str) -> None:
    took = []
    for size in (40_000, 160_000):
        text = seed * (size // len(seed))
        began = time.process_time()
        make(text)
        took.append(time.process_time() - began)
    assert took[1] < 12 * took[0] + 0.05


@pytest.mark.parametrize("text", HOSTILE)
def test_what_commands_print_drives_no_terminal_and_means_the_same_to_programs(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.echo(text)
    console.show_table(text, ["a", text], [[text, 1]])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    console.show_table("t", ["a"], [[text]])
    out = capsys.readouterr().out
    assert _unseen(out.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", "")) <= set()
    line = console.result_line({"reason": text, "more": ["😀", text]})
    assert _unseen(line) == set() and json.loads(line.removeprefix(console.RESULT_PREFIX)) == {"reason": text, "more": ["😀", text]}
