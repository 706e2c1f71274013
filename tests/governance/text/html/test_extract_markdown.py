"""What Markdown extraction writes for code, lists, tables, formulas and characters."""

from __future__ import annotations

import pytest

from headrace_governance.text.html.markdown import read_page

PROSE = "The canal feeds the mill, and the miller keeps the sluice clean because the wheel must never stop in winter."


def markdown(body: str) -> str:
    """The text after a paragraph that makes the page one of text."""
    text = read_page(f"<body><p>{PROSE}</p>{body}<p>{PROSE}</p></body>", fallback=False).text
    assert text.startswith(PROSE) and text.endswith(PROSE)
    return text[len(PROSE) : -len(PROSE)].strip("\n")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<pre>if x:\n    y = 1\n</pre>", "```\nif x:\n    y = 1\n```"),
        ("<pre><code class='language-rust'>fn main() {\n  a &lt; b\n}</code></pre>", "```rust\nfn main() {\n  a < b\n}\n```"),
        (
            "<div class='highlight-python3 notranslate'><div class=highlight><pre><span>x</span> = 1</pre></div></div>",
            "```python3\nx = 1\n```",
        ),
        ("<pre class='brush: java; gutter: false'>int x;</pre>", "```java\nint x;\n```"),
        ("<pre><code class='language-basic line-numbers'>Print 1</code></pre>", "```basic\nPrint 1\n```"),
        ("<pre class=line-numbers><code class=language-css>p { }</code></pre>", "```css\np { }\n```"),
        (
            "<table><tr><td class=gutter><pre class=line-numbers><span class=line-number>1</span></pre><td class=code><pre>a</pre></table>",
            "```\na\n```",
        ),
        ("<pre>a ``` b</pre>", "````\na ``` b\n````"),
        ("<pre>a<br>b</pre>", "```\na\nb\n```"),
        ("<p>Call <code> open( )</code>, or <kbd>Enter</kbd>.</p>", "Call `open( )`, or `Enter`."),
        (
            "<table class=highlighttable><tr><td class=linenos><pre>1\n2</pre></td><td class=code><pre>a\nb</pre></td></tr></table>",
            "```\na\nb\n```",
        ),
    ],
)
def test_code_is_fenced_as_it_stands_with_its_language(body: str, expected: str) -> None:
    assert markdown(body) == expected


def test_lists_nest_number_and_hold_other_blocks() -> None:
    assert markdown("<ul><li>a<ul><li>b<ol start=3><li>c<li>d</ol></ul><li>e</ul>") == "- a\n  - b\n    3. c\n    4. d\n- e"
    assert markdown("<ol><li><p>one</p><pre>x\n y</pre></li><li>two</li></ol>") == "1. one\n   ```\n   x\n    y\n   ```\n2. two"
    assert markdown("<blockquote><p>said he</p><ul><li>x</li></ul></blockquote>") == "> said he\n\n> - x"
    assert markdown("<dl><dt>term<dd>meaning</dl>") == "term\n\nmeaning"


def test_tables_become_pipe_tables_whatever_their_cells_hold() -> None:
    table = "<table><thead><tr><th>k<th>v</thead><tbody><tr><td><p>a|b</p><td><code>x</code><br>y<tr><td>c</table>"
    assert markdown(table) == "| k | v |\n| --- | --- |\n| a\\|b | `x` y |\n| c |  |"
    assert markdown("<table><caption>Two</caption><tr><td>1<td>2<tr><td>3<td>4</table>") == "Two\n\n| 1 | 2 |\n| --- | --- |\n| 3 | 4 |"
    names = "".join(f"<tr><td><a href=/{i}>package{i}</a><td>{i}</tr>" for i in range(3))
    assert "| package2 | 2 |" in markdown(f"<table><tr><th>name<th>size</tr>{names}</table>")


def test_a_short_page_keeps_its_headings_and_lists_when_a_second_reading_adds_only_the_menus_around_it() -> None:
    bar = "".join(f'<td><a href="{n}.html">{n}. A chapter about the mill and the canal</a></td>' for n in (1, 2, 3))
    bars = [f'<div class="navheader"><table><tr>{bar}</tr></table></div>', f'<div class="navfooter"><table><tr>{bar}</tr></table></div>']
    page = read_page(f"<body>{bars[0]}<div><h3>2. The wheel</h3><ul><li>It turns the stone.</li></ul></div>{bars[1]}</body>")
    assert (page.method, page.text) == ("fast", "### 2. The wheel\n\n- It turns the stone.")


def test_admonitions_that_a_table_draws_are_paragraphs_and_lists_and_a_table_of_data_stays_one() -> None:
    def admonition(label: str, body: str) -> str:
        icon = '<td rowspan="2" align="center" width="25"><img alt="[x]" src="x.png"></td>'
        return f'<div class="note"><table border="0"><tr>{icon}<th align="left">{label}</th></tr><tr><td>{body}</td></tr></table></div>'

    one = admonition("Note", "<p>Keep the sluice open.</p><p>Even in winter.</p>")
    two = admonition("Warning", "<p>Never do this:</p><ul><li><p>stop the wheel</p></li><li><p>sleep</p></li></ul>")
    data = "<table><tr><th>Part</th><th>Use</th></tr><tr><td><p>wheel</p></td><td>turns</td></tr></table>"
    long = "<table><tr><th>Parts of the mill</th><td></td></tr>" + "<tr><td><p>wheel</p></td><td>turns</td></tr>" * 2 + "</table>"
    text = markdown(f"<p>{PROSE}</p>{one}<ol><li><p>First.</p>{two}</li></ol>{data}<p>{PROSE}</p>{long}")
    assert "\n\nNote\n\nKeep the sluice open.\n\nEven in winter.\n\n" in text
    assert "- stop the wheel" in text and "- sleep" in text and "Warning" in text
    assert text.count("| --- |") == 2 and "| Part | Use |" in text and "| Parts of the mill |  |" in text


def test_headings_breaks_links_and_images() -> None:
    assert markdown("<h2>A <a href=#>b</a></h2><p>x</p>") == "## A b\n\nx"
    assert markdown("<p>first line,<br>second line<br><br><br>third line.</p>") == "first line,\nsecond line\n\nthird line."
    assert markdown("<p>See <a href=/x>the mill</a><img src=x alt=picture> there.</p>") == "See the mill there."
    assert markdown("<p>He said <q>come</q>&nbsp;&nbsp;in &amp;amp; x &#8212; y.</p>") == "He said “come” in &amp; x — y."


MATHML = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow>'
    '<annotation encoding="application/x-tex">x^2</annotation></semantics></math></span>'
    '<span class="katex-html" aria-hidden="true">x2</span></span>'
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"<p>Let {MATHML} be.</p>", "Let $x^2$ be."),
        (f'<p>Let <span class="katex-display">{MATHML}</span> be.</p>', "Let $$x^2$$ be."),
        ('<p>Let <math alttext="\\frac{a}{b}"><mfrac><mi>a</mi><mi>b</mi></mfrac></math> be.</p>', "Let $\\frac{a}{b}$ be."),
        ("<p>Let <math><mi>a</mi><mo>+</mo><mi>b</mi></math> be.</p>", "Let $a+b$ be."),
        (
            '<p>Let <span class="MathJax_Preview"></span><span class="MathJax">E=mc2</span><script type="math/tex">E=mc^2</script> be.</p>',
            "Let $E=mc^2$ be.",
        ),
        ('<div><script type="math/tex; mode=display">a < b</script></div>', "$$a < b$$"),
        (
            '<p>Let <span class="mwe-math-element"><span style="display: none;"><math alttext="{\\displaystyle x}"><mi>x</mi></math></span>'
            '<img src="x.svg" class="mwe-math-fallback-image-inline" alt="{\\displaystyle x}"></span> be.</p>',
            "Let $x$ be.",
        ),
        ('<p>Let <img src="l.png" class="latex" alt="\\sqrt{2}"> be.</p>', "Let $\\sqrt{2}$ be."),
        ("<p>Let \\(x_1\\) and $$y$$ be.</p>", "Let \\(x_1\\) and $$y$$ be."),
    ],
    ids=["KaTeX", "KaTeX display", "alttext", "bare MathML", "MathJax 2", "MathJax 2 display", "MediaWiki", "image", "source"],
)
def test_formulas_become_latex(body: str, expected: str) -> None:
    assert markdown(body) == expected


def test_hidden_and_screen_reader_texts_go() -> None:
    body = "<p>Seen<span class=sr-only> for readers</span><span style='color:red; DISPLAY : none'> not</span>.</p>"
    body += "<div hidden><p>Never shown to anybody.</p></div>"
    assert markdown(body) == "Seen."


def test_tags_that_are_not_closed_or_closed_twice_lose_no_text() -> None:
    assert markdown("<p>one<p>two</b></p></p><div>three</section>") == "one\n\ntwo\n\nthree"
    assert markdown("<p>a <b>b <i>c</b> d</i> e</p>") == "a b c d e"
    assert markdown("<p>1 < 2 and <3 & so on</p>") == "1 < 2 and <3 & so on"
    assert markdown("<!-- <p>not</p> --><p>yes</p><!-->x<![CDATA[y]]>") == "yes\n\nx"
    assert markdown("<p title='a>b'>quoted</p><style>p{}</style><script>if (a</b) {'</p>'}</script>") == "quoted"
