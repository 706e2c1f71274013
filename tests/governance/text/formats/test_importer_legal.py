"""Laws in Akoma Ntoso, USLM and Formex: numbers and headings stay, metadata and notes go."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from importer_trials import run_import

from headrace_governance.text.formats.legal.convert import convert_law
from headrace_lake.settings import Settings

AKN = """<?xml version="1.0" encoding="UTF-8"?>
<akomaNtoso xmlns="http://docs.oasis-open.org/legaldocml/ns/akn/3.0"><act name="act"><meta><identification source="#x">
<FRBRWork><FRBRthis value="/akn/zz/act/2020/5/!main"/><FRBRuri value="/akn/zz/act/2020/5"/><FRBRalias name="title" value="Mills Act, 2020"/>
<FRBRdate date="2020-05-06" name="Generation"/><FRBRcountry value="zz"/></FRBRWork>
<FRBRExpression><FRBRlanguage language="eng"/><FRBRdate date="2021-01-01" name=""/></FRBRExpression></identification></meta>
<preface><longTitle><p>To keep <i>mills</i> in order.</p></longTitle></preface>
<body><chapter eId="chp_1"><num>Chapter 1</num><heading>Water</heading>
<section eId="sec_1"><num>1.</num><heading>Sluices</heading>
<subsection><num>(1)</num><content><p>A sluice is kept closed<authorialNote marker="1"><p>Since 2021.</p></authorialNote>
<remark>[amended]</remark> in winter.</p></content></subsection>
<subsection><num>(2)</num><intro><p>It is opened for</p></intro><paragraph><num>(a)</num><content><p>the miller;</p></content></paragraph>
<paragraph><num>(b)</num><content><p>the fire brigade.</p></content></paragraph></subsection></section></chapter>
<article><num>Article 9</num><content><blockList><listIntroduction>Fees:</listIntroduction><item><num>(i)</num><p>one</p></item></blockList>
<table><tr><th><p>Year</p></th><th><p>Fee</p></th></tr><tr><td><p>1</p></td><td><p>2</p></td></tr></table></content></article></body>
</act></akomaNtoso>"""
AKN_TEXT = """# Mills Act, 2020

To keep *mills* in order.

## Chapter 1 Water

### 1. Sluices

(1) A sluice is kept closed in winter.

(2) It is opened for

(a) the miller;

(b) the fire brigade.

## Article 9

Fees:

(i) one

| Year | Fee |
| --- | --- |
| 1 | 2 |"""
USLM = """<?xml version="1.0"?><uscDoc xmlns="http://xml.house.gov/schemas/uslm/1.0" xmlns:dc="http://purl.org/dc/elements/1.1/"
 identifier="/us/usc/t99"><meta><dc:title>Title 99—Mills</dc:title><dc:date>2020</dc:date></meta><main>
<title identifier="/us/usc/t99"><num value="99">Title 99—</num><heading>MILLS</heading>
<section identifier="/us/usc/t99/s1"><num value="1">§ 1.</num><heading> Wheels</heading><chapeau>A wheel</chapeau>
<paragraph><num>(1)</num><content>turns; and</content></paragraph><paragraph><num>(2)</num><content>stops.</content></paragraph>
<sourceCredit>(Pub. L. 1–1)</sourceCredit><notes><note>History.</note></notes></section></title></main></uscDoc>"""
FORMEX = """<?xml version="1.0" encoding="UTF-8"?><ACT><BIB.INSTANCE><NO.CELEX>32020R0099</NO.CELEX><DATE ISO="20200506">2020</DATE>
<LG.DOC>EN</LG.DOC></BIB.INSTANCE><TITLE><TI><P>REGULATION <HT TYPE="BOLD">99</HT></P></TI></TITLE>
<PREAMBLE><PREAMBLE.INIT><P>THE COUNCIL,</P></PREAMBLE.INIT><GR.CONSID><GR.CONSID.INIT>Whereas:</GR.CONSID.INIT>
<CONSID><NP><NO.P>(1)</NO.P><TXT>Mills turn<NOTE><P>OJ L 1</P></NOTE>.</TXT></NP></CONSID></GR.CONSID></PREAMBLE>
<ENACTING.TERMS><DIVISION><TITLE><TI><P>CHAPTER I</P></TI><STI><P>Water</P></STI></TITLE>
<ARTICLE><TI.ART>Article 1</TI.ART><STI.ART><P>Scope</P></STI.ART><PARAG><NO.PARAG>1.</NO.PARAG><ALINEA>This is about
<QUOT.START/>mills<QUOT.END/>:</ALINEA><ALINEA><LIST TYPE="alpha"><ITEM><NP><NO.P>(a)</NO.P><TXT>small;</TXT></NP></ITEM>
<ITEM><NP><NO.P>(b)</NO.P><TXT>large.</TXT></NP></ITEM></LIST></ALINEA></PARAG></ARTICLE></DIVISION></ENACTING.TERMS></ACT>"""


def licence() -> dict[str, object]:
    return {"id": "CC0-1.0", "class": "public", "basis": "laws are free of copyright", "evidence": {"text": "statute"}}


def test_three_formats_in_files_and_packages(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(AKN, encoding="utf-8")
    (tmp_path / "page.xml").write_text("<html/>")
    with tarfile.open(tmp_path / "laws.tar.gz", "w:gz") as out:
        for name, text in {"usc99.xml": USLM, "f/L_1.xml": FORMEX, "readme.txt": "no law", "bad.xml": "<ACT>"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            out.addfile(info, io.BytesIO(text.encode()))
    paths = [str(tmp_path / "*.xml"), str(tmp_path / "*.tar.gz")]
    got = run_import(settings, {"kind": "legal", "paths": paths, "base_url": "https://laws.example"}, licence())
    assert got.texts["https://laws.example/akn/zz/act/2020/5"] == AKN_TEXT
    assert got.fields["https://laws.example/akn/zz/act/2020/5"] == {
        "uri": "/akn/zz/act/2020/5", "date": "2020-05-06", "country": "zz", "language": "eng", "kind": "act",
    }  # fmt: skip
    assert got.texts["https://laws.example/us/usc/t99"] == (
        "# Title 99—Mills\n\n## Title 99— MILLS\n\n### § 1. Wheels\n\nA wheel\n\n(1) turns; and\n\n(2) stops."
    )
    assert got.texts["https://eur-lex.europa.eu/legal-content/EN/TXT/?uri=CELEX:32020R0099"] == (
        "# REGULATION **99**\n\nTHE COUNCIL,\n\nWhereas:\n\n(1) Mills turn.\n\n## CHAPTER I – Water\n\n### Article 1 – Scope\n\n"
        "1. This is about ‘mills’:\n\n(a) small;\n\n(b) large."
    )
    assert {c["language_hint"] for c in got.captures} == {"en", None}
    assert len(got.quarantined) == 2 and all("bad_document" in q for q in got.quarantined)


NAMES = st.sampled_from("act body section num heading p item list NP NO.P TXT ARTICLE TI.ART TITLE TBL ROW CELL table tr td i".split())
TREES = st.recursive(
    st.text(alphabet="ab (|1水", max_size=5),
    lambda inner: st.builds(lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", NAMES, st.lists(inner, max_size=4)),
    max_leaves=25,
)


@given(st.sampled_from(["akomaNtoso", "uscDoc", "ACT"]), TREES)
def test_no_law_breaks_the_conversion(root: str, tree: str) -> None:
    convert_law(f"<{root}>{tree}</{root}>".encode())
