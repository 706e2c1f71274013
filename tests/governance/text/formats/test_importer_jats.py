"""JATS articles as PubMed Central hands them out: files and packages, formulas, licences."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import run_import
from lxml import etree

from headrace_governance.text.formats.converted import Malformed
from headrace_governance.text.formats.jats.convert import convert_article
from headrace_governance.text.formats.mathml import latex
from headrace_lake.errors import InputError
from headrace_lake.settings import Settings

DOCTYPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving DTD v1.2//EN" '
    '"JATS-archivearticle1.dtd">\n'
)
ARTICLE = (
    DOCTYPE
    + """<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"
  xmlns:ali="http://www.niso.org/schemas/ali/1.0/" article-type="research-article" xml:lang="en">
<front>
<journal-meta><journal-title-group><journal-title>Journal of Mills</journal-title></journal-title-group></journal-meta>
<article-meta>
<article-id pub-id-type="pmcid">PMC123</article-id>
<article-id pub-id-type="doi">10.1234/mill.5</article-id>
<title-group><article-title>Water wheels at <italic>low</italic> head<xref ref-type="fn" rid="n">*</xref></article-title></title-group>
<contrib-group><contrib><name><surname>Nobody</surname></name></contrib></contrib-group>
<pub-date pub-type="epub"><day>7</day><month>3</month><year>2024</year></pub-date>
<permissions><license LICENCE><license-p>Free to use.</license-p></license></permissions>
<abstract><p>We measure &alpha; wheels.</p></abstract>
<abstract abstract-type="graphical"><p>picture</p></abstract>
<kwd-group><kwd>wheel</kwd><kwd>head</kwd></kwd-group>
</article-meta>
</front>
<body>
<sec><label>1</label><title>Methods</title>
<p>Power is <inline-formula><mml:math><mml:mi>P</mml:mi><mml:mo>=</mml:mo><mml:mi>&#x3C1;</mml:mi><mml:mi>g</mml:mi>
<mml:msup><mml:mi>H</mml:mi><mml:mn>2</mml:mn></mml:msup></mml:math></inline-formula> as shown
[<xref ref-type="bibr" rid="b1">1</xref>, <xref ref-type="bibr" rid="b2">2</xref>] in
<xref ref-type="fig" rid="f1">Figure 1</xref><sup><xref ref-type="bibr" rid="b3">3</xref></sup>.</p>
<disp-formula id="e1"><label>(1)</label><alternatives><tex-math>\\documentclass[12pt]{minimal}\\usepackage{amsmath}
\\begin{document}$$\\eta = \\frac{P}{\\rho g Q H}$$\\end{document}</tex-math><graphic xlink:href="e1.gif"/></alternatives></disp-formula>
<p>Area was 3 m<sup>2</sup> and CO<sub>2</sub>; <monospace>x=1</monospace>.</p>
<fig id="f1"><label>Figure 1</label><caption><p>The wheel.</p></caption><graphic xlink:href="f1.jpg"/></fig>
<sec><title>Sites</title><list list-type="order"><list-item><p>north</p></list-item><list-item><p>south</p></list-item></list></sec>
<table-wrap><label>Table 1.</label><caption><title>Yield</title></caption><table><thead><tr><th>Year</th><th>t</th></tr></thead>
<tbody><tr><td>1712</td><td>3</td></tr><tr><td colspan="2">none|</td></tr></tbody></table></table-wrap>
</sec>
</body>
<back><ack><title>Acknowledgements</title><p>Thanks.</p></ack>
<ref-list><title>References</title><ref id="b1"><mixed-citation>A. Nobody. Mills.</mixed-citation></ref></ref-list></back>
</article>"""
)
CC_BY = 'xlink:href="https://creativecommons.org/licenses/by/4.0/"'
TEXT = r"""# Water wheels at *low* head

## Abstract

We measure α wheels.

## Methods

Power is $P=\rho gH^{2}$ as shown in Figure 1.

$$
\eta = \frac{P}{\rho g Q H}
$$

Area was 3 m² and CO₂; `x=1`.

**Figure 1.** The wheel.

### Sites

1. north
2. south

**Table 1.** Yield

| Year | t |
| --- | --- |
| 1712 | 3 |
| none\| |  |

## Acknowledgements

Thanks."""


def test_an_article_keeps_its_formulas_and_loses_its_references(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.nxml").write_text(ARTICLE.replace("LICENCE", CC_BY), encoding="utf-8")
    licence = {"id": "CC0-1.0", "class": "public", "basis": "the open access subset", "evidence": {"text": "see each article"}}
    got = run_import(settings, {"kind": "jats", "paths": [str(tmp_path / "*.nxml")]}, licence)
    url = "https://doi.org/10.1234/mill.5"
    assert got.texts == {url: TEXT}
    assert got.titles[url] == "Water wheels at *low* head"
    assert got.fields[url] == {
        "article_type": "research-article", "journal": "Journal of Mills", "pmcid": "PMC123", "doi": "10.1234/mill.5", "date": "2024-03-07",
        "keywords": "wheel; head",
    }  # fmt: skip
    [row] = got.captures
    assert (row["licence"], row["licence_class"], row["licence_basis"], row["language_hint"]) == (
        "CC-BY-4.0",
        "attribution",
        "article",
        "en",
    )


def package(folder: Path, name: str, files: dict[str, bytes], link: str = "") -> None:
    with tarfile.open(folder / name, "w:gz") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)


def test_packages_are_read_and_every_record_left_out_has_its_reason(settings: Settings, tmp_path: Path) -> None:
    files = {
        "PMC1/a.nxml": ARTICLE.replace("LICENCE", CC_BY),
        "PMC1/picture.jpg": "no text",
        "PMC2/restricted.nxml": ARTICLE.replace("mill.5", "mill.6").replace("LICENCE", CC_BY.replace("/by/", "/by-nc-nd/")),
        "PMC3/unknown.nxml": ARTICLE.replace("mill.5", "mill.7").replace("LICENCE", 'xlink:href="https://publisher.example/terms"'),
        "PMC4/record.nxml": ARTICLE.replace("mill.5", "mill.8").replace("LICENCE", CC_BY).partition("<body>")[0] + "</article>",
        "PMC5/broken.nxml": ARTICLE.replace("</body>", "</bodi>"),
        "PMC6/page.xml": "<html>no article</html>",
        "../outside.nxml": ARTICLE,
    }
    package(tmp_path, "oa_comm.tar.gz", {k: v.encode() for k, v in files.items()}, link="PMC7/link.nxml")
    got = run_import(settings, {"kind": "jats", "paths": [str(tmp_path / "oa_comm.tar.gz")]})
    assert list(got.texts) == ["https://doi.org/10.1234/mill.5"]
    assert {reason: len(rows) for (_, reason), rows in got.dropped.items()} == {
        "licence": 1,
        "licence_unknown": 1,
        "no_body": 1,
        "outside": 1,
        "link": 1,
    }
    assert len(got.quarantined) == 2 and all("bad_article" in error for error in got.quarantined)


def test_a_damaged_package_is_refused_and_a_bomb_too(settings: Settings, tmp_path: Path) -> None:
    package(tmp_path, "cut.tar.gz", {"a.nxml": ARTICLE.encode() * 50})
    data = (tmp_path / "cut.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut.tar.gz: damaged"):
        run_import(settings, {"kind": "jats", "paths": [str(tmp_path / "cut.tar.gz")]})
    package(tmp_path, "bomb.tar.gz", {"a.xml": b"<a>" + b" " * (60 << 20)})
    with pytest.raises(InputError, match="expands more than"):
        run_import(settings, {"kind": "jats", "paths": [str(tmp_path / "bomb.tar.gz")]})


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac>", r"\frac{a}{b+1}"),
        ("<msqrt><mi>x</mi><mo>&#8722;</mo><mn>1</mn></msqrt>", r"\sqrt{x-1}"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
        ("<munderover><mo>&#8721;</mo><mi>i</mi><mi>n</mi></munderover><msub><mi>x</mi><mi>i</mi></msub>", r"\sum_{i}^{n}x_{i}"),
        ("<mover><mi>x</mi><mo>&#175;</mo></mover>", r"\bar{x}"),
        ("<mi>&#945;</mi><mi>x</mi><mo>&#8712;</mo><mi>&#8477;</mi>", r"\alpha x\in\mathbb{R}"),
        ("<mi>sin</mi><mi>x</mi><mtext>if 5%</mtext><mi>Re</mi>", r"\sin x\text{if 5\%}\mathrm{Re}"),
        ('<mfenced open="[" close="]"><mi>a</mi><mi>b</mi></mfenced>', r"\left[a,b\right]"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd></mtr></mtable>",
         r"\begin{matrix}1 & 2 \\ 3\end{matrix}"),
        ('<semantics><mi>x</mi><annotation encoding="application/x-tex">x_0</annotation></semantics>', "x_0"),
        ("<msup><mrow><mo>(</mo><mi>x</mi><mo>)</mo></mrow><mn>2</mn></msup>", "{(x)}^{2}"),
        ('<mi mathvariant="bold">v</mi>', r"\mathbf{v}"),
        (
            "<mmultiscripts><mi>C</mi><mprescripts/><mn>6</mn><mn>12</mn></mmultiscripts>",
            "{}_{6}^{12}C",
        ),
        (
            "<mmultiscripts><mi>R</mi><mi>i</mi><none/><none/><mi>j</mi><mprescripts/><none/><mn>2</mn></mmultiscripts>",
            "{}^{2}R_{i}^{j}",
        ),
        ("<menclose notation='radical'><mi>x</mi></menclose>", r"\sqrt{x}"),
    ],
)  # fmt: skip
def test_mathml_becomes_latex(markup: str, expected: str) -> None:
    assert latex(etree.fromstring(f'<math xmlns="http://www.w3.org/1998/Math/MathML">{markup}</math>')) == expected


NAMES = st.sampled_from(
    "article body sec p xref fig table tr td list sup math mfrac inline-formula disp-formula alternatives tex-math title abstract front "
    "caption label def-list".split()
)
TREES = st.recursive(
    st.text(alphabet="ab &<水$|*", max_size=6).map(lambda t: t.replace("&", "&amp;").replace("<", "&lt;")),
    lambda inner: st.builds(lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", NAMES, st.lists(inner, max_size=4)),
    max_leaves=25,
)


@given(TREES)
def test_no_tree_breaks_the_conversion(tree: str) -> None:
    convert_article(f"<article>{tree}</article>".encode())


@given(st.binary(max_size=200))
def test_what_is_no_xml_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        convert_article(b"<nothing>" + data + b"</nothing>")


def test_deep_nesting_ends_without_recursion_trouble() -> None:
    inside = "<sec>" * 230 + "deep" + "</sec>" * 230
    assert convert_article(f"<article><body>{inside}</body></article>".encode()).text == "deep"
    with pytest.raises(Malformed):
        convert_article(b"<article>" + b"<sec>" * 5000 + b"</sec>" * 5000 + b"</article>")


def test_statements_nested_80_deep_are_read_once_each() -> None:
    """A permission in a permission: each states its own, and the words of the inmost are not read 80 times."""
    from headrace_governance.text.formats.jats.read import _licences, _words
    from headrace_governance.text.xml_tree import parse_xml

    words = "terms " * 1000
    deep = parse_xml(("<front>" + "<license><p>a</p>" * 80 + f"<p>{words}</p>" + "</license>" * 80 + "</front>").encode())
    assert sum(len(_words(x)) for x in deep.iter("license")) < 2 * len(words)
    both = (
        '<front xmlns:xlink="http://www.w3.org/1999/xlink"><license xlink:href="https://creativecommons.org/licenses/by/4.0/"><p>See '
        '<license xlink:href="https://creativecommons.org/licenses/by-nc/4.0/"><p>this</p></license> too.</p></license></front>'
    )
    assert _licences(parse_xml(both.encode())) == tuple(f"https://creativecommons.org/licenses/{x}/4.0/" for x in ("by", "by-nc"))
