"""Code of pages: one fenced block with its lines and indents, whatever makes the lines, and without their numbers."""

from __future__ import annotations

import time

import pytest

from headrace_governance.text.html.markdown import read_page

PROSE = "The canal feeds the mill, and the miller keeps the sluice clean because the wheel must never stop in winter."


def markdown(body: str) -> str:
    """The text between two paragraphs that make the page one of text."""
    text = read_page(f"<body><p>{PROSE}</p>{body}<p>{PROSE}</p></body>", fallback=False).text
    assert text.startswith(PROSE) and text.endswith(PROSE)
    return text[len(PROSE) : -len(PROSE)].strip("\n")


def line(content: str) -> str:
    return f"<div class='ec-line'><div class='code'><span>{content}</span></div></div>"


GITHUB = "<tr><td class='blob-num' data-line-number={}></td><td class='blob-code'>{}</td></tr>\n"
HLJS = "<tr><td class='hljs-ln-numbers'><div class='hljs-ln-n'>{}</div></td><td class='hljs-ln-code'>{}</td></tr>"
BOTH = "if x:\n    y = 1\nz"


@pytest.mark.parametrize(
    "body",
    [
        f"<pre><code>{line('if x:')}{line('    y = 1')}{line('z')}</code></pre>",
        "<pre><div>if x:</div>\n<div>    y = 1</div>\n<div>z</div></pre>",
        "<pre><code><span style='display:block'>if x:</span><span style='display: block'>    y = 1</span>z</code></pre>",
        "<pre><span class='line'>if x:</span><span class='line'>    y = 1</span><span class='line'>z</span></pre>",
        "<pre><span class='line'>if x:</span>\n<span class='line'>    y = 1</span>\n<span class='line'>z</span></pre>",
        "<pre><code>if x:</code><code>    y = 1</code><code>z</code></pre>",
        "<pre><ol><li>if x:</li><li>    y = 1</li><li>z</li></ol></pre>",
        "<pre>if x:<br>    y = 1<br/>z</pre>",
        "<pre>\nif x:\n&nbsp;&nbsp; &#160;y = 1\nz\n</pre>",
        "<code style='white-space: pre'>if x:\n    y = 1\nz</code>",
        "<div class='code' style='white-space:pre-wrap'>if x:\n    y = 1\nz</div>",
        "<p><code>if x:<br>&nbsp;&nbsp;&nbsp;&nbsp;y = 1<br>\n z</code></p>",
        f"<table class='highlight'>{GITHUB.format(1, 'if x:')}{GITHUB.format(2, '    y = 1')}{GITHUB.format(3, 'z')}</table>",
        f"<pre><code>"
        f"<table class='hljs-ln'>{HLJS.format(1, 'if x:')}{HLJS.format(2, '    y = 1')}{HLJS.format(3, 'z')}</table></code></pre>",
        "<div class=syntaxhighlighter><table><tr><td class=gutter><div class='line n1'>1</div>"
        "<div class='line n2'>2</div><div class='line'>3</div>"
        "</td><td class=code><div class=container><div class='line n1'><code>if</code> <code>x:</code></div>"
        "<div class='line n2'><code>&nbsp;&nbsp;"
        "&nbsp;&nbsp;</code><code>y = 1</code></div><div class='line'><code>z</code></div></div></td></tr></table></div>",
        "<pre><code><span class=line><span class=ln>1</span><span class=cl>if x:\n</span></span><span class=line><span class=ln>2</span>"
        "<span class=cl>    y = 1\n</span></span><span class=line><span class=ln>3</span><span class=cl>z\n</span></span></code></pre>",
        "<code><pre>if x:\n    y = 1\nz</pre></code>",
        "<pre>if x:\r    y = 1\rz</pre>",
    ],
    ids="expressive code|divs|display block|spans of lines|and newlines|a code a line|list|"
    "br|no-break spaces|styled code|styled div|br in code|"
    "GitHub|highlight.js|SyntaxHighlighter|Chroma|pre in code|CR".split("|"),
)
def test_code_is_one_block_whatever_makes_its_lines(body: str) -> None:
    assert markdown(body) == f"```\n{BOTH}\n```"


def test_doxygen_keeps_the_indent_and_loses_the_numbers() -> None:
    lines = ["int main() {", "  return 0;", "}"]
    rows = "\n".join(
        f"<div class='line'><a id='l{i}'></a><span class='lineno'>    {i}</span>&#160;{x}</div>" for i, x in enumerate(lines, 1)
    )
    assert markdown(f"<div class='fragment'>{rows}\n</div>") == "```\n int main() {\n   return 0;\n }\n```"


def test_empty_lines_of_code_stay() -> None:
    assert markdown("<pre><div class=line>a</div><div class=line></div><div class=line>b</div></pre>") == "```\na\n\nb\n```"
    assert markdown("<pre><div>a</div><div><br></div><div>b</div></pre>") == "```\na\n\nb\n```"
    assert markdown("<pre><span class=line>a</span>\n<span class=line></span>\n<span class=line>b</span></pre>") == "```\na\n\nb\n```"


def test_the_language_is_that_of_the_element() -> None:
    assert markdown("<pre data-language='js'><code><div>let x;</div></code></pre>") == "```js\nlet x;\n```"
    assert markdown("<pre data-lang=go><code>var x</code></pre>") == "```go\nvar x\n```"


def test_a_number_that_is_no_line_number_stays() -> None:
    assert markdown("<pre><span class=line-number>count</span> = <span>3</span></pre>").startswith("```\n")
    assert markdown("<p class=x>On <span class=ln>3</span> May.</p>") == "On 3 May."
    assert markdown("<table><tr><th class=gutter>No.<th>Mill<tr><td class=gutter>1<td>North</table>") == (
        "| No. | Mill |\n| --- | --- |\n| 1 | North |"
    )


def test_lines_of_a_poem_are_no_code() -> None:
    assert markdown("<div class='line-block'><div class='line'>one,</div><div class='line'>two.</div></div>") == "one,\n\ntwo."


def test_code_in_a_sentence_stays_in_it() -> None:
    assert markdown("<p>Call <code style='white-space:pre'>open( )</code> first.</p>") == "Call `open( )` first."


def test_lines_of_code_by_the_hundred_thousand_take_linear_time() -> None:
    started = time.process_time()
    rows = "<div class=line><code><span style='white-space:pre'>x<br>" * 40_000
    for inside in (
        f"<div class=highlight>{rows}",
        f"<pre>{'<div>x</div><code>y</code>' * 60_000}",
        "<button>x<span aria-hidden=true>y" * 60_000,
    ):
        read_page(f"<p>{PROSE}</p>{inside}", fallback=False)
    assert time.process_time() - started < 10
