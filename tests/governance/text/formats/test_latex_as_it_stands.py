"""LaTeX: characters read as they stand, numbers with units, declared encodings; arguments that print are not lost."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import run_import

from headrace_governance.text.formats.latex.convert import convert_latex, latex_text
from headrace_governance.text.formats.latex.encoding import declared_encoding, decode_latex
from headrace_governance.text.formats.latex.verbatim import uncommented
from headrace_lake.settings import Settings

PREAMBLE = "\\documentclass{article}\n"
PROSE = "We study the flow of water through a gate, and how the level of the lake changes with time. " * 3


def text_of(body: str) -> str:
    return latex_text(uncommented(f"\\begin{{document}}\n{body}\n\\end{{document}}")).text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"At \url{https://example.org/a%20b.csv} and \verb|printf(\"%d\")| to print.",
         r"At https://example.org/a%20b.csv and `printf(\"%d\")` to print."),
        (r"See \href{http://a.org/x%20y_{z}}{the \emph{page}} now. % gone", "See the *page* now."),
        (r"\lstinline[language=C]|a % b|, \lstinline{x%y} and \mintinline{py}{z % 2} ok", "`a % b`, `x%y` and `z % 2` ok"),
        (r"\path{C:\x%y}, \nolinkurl{a%b@c.org} and \path|p%q|", r"C:\x%y, a%b@c.org and p%q"),
        (r"\verb|{| and \verb*+}%+ keep {\bf x} whole", "`{` and `}%` keep **x** whole"),
        ("\\MakeShortVerb{\\|}\nUse |a%b{| now.", "Use `a%b{` now."),
        ("\\begin{lstlisting}[language=C]\nx = a % b;\n\\end{lstlisting}\ntail % c", "```c\nx = a % b;\n```\n\ntail"),
        ("\\begin{minted}{python}\nprint('%d' % 3)\n\\end{minted}", "```python\nprint('%d' % 3)\n```"),
        ("5\\% of it and\\\\% a comment\n10\\,\\% more", "5% of it and 10 % more"),
        ("one% joined\n two\n% a line of its own\nthree% end\n\nNew.", "one two three\n\nNew."),
        ("% \\begin{verbatim}\nshown\n% \\end{verbatim}", "shown"),
        ("\\begin{comment}\nhidden % x\n\\end{comment}\nshown", "shown"),
        (r"A note\footnote{See \url{http://x.org/%7Ea\_b}.} here", "A note[^1] here\n\n[^1]: See http://x.org/%7Ea_b."),
        (r"\newcommand{\link}[1]{\url{#1}}See \link{http://a.org/b} ok", "See http://a.org/b ok"),
        (r"\verb|a`b| and \url{unclosed", "`` a`b `` and unclosed"),
    ],
)  # fmt: skip
def test_a_percent_sign_or_brace_that_is_a_character_cuts_nothing(source: str, text: str) -> None:
    assert text_of(source) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"10\textperthousand{} of 5\,\textohm{} at 20\,\textcelsius{}, \EUR{5} or 5\,\textyen", "10‰ of 5 Ω at 20 ℃, €5 or 5 ¥"),
        (
            r"\textonehalf{} m\texttwosuperior{}, 3\,\texttimes\,4, 5\,\textpm\,1, \textminus 6, \textnumero{} 7",
            "½ m², 3 × 4, 5 ± 1, −6, № 7",
        ),
        (r"Was \sout{old} new, \deleted{five} six, \st{seven} eight", "Was new, six, eight"),
    ],
)
def test_symbols_of_text_companion_fonts_stay_and_struck_out_text_goes(source: str, text: str) -> None:
    assert text_of(source) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\SI{5.2}{\kilo\gram}, \SI{3e8}{m/s}, \qty{10}{\micro\metre}, \si{\meter}", "5.2 kg, 3e8 m/s, 10 µm, m"),
        (r"\SI{9.81}{\metre\per\second\squared} \si{\kilo\gram\metre\per\square\second}", "9.81 m/s² kg m/s²"),
        (r"\unit{\joule\per\mole\per\kelvin} \si{\per\cubic\centi\metre} \qty{7}{\metre\tothe{4}}", "J/(mol K) cm⁻³ 7 m⁴"),
        (r"\SI[per-mode=symbol]{60}{km.h^{-1}} \qty{3}{\um} \qty{6.5}{\TeV} \SI{10}[\$]{}", "60 km h⁻¹ 3 µm 6.5 TeV $10"),
        (r"\SIrange{1}{5}{\milli\litre} \numrange{10}{20} \numlist{1;2;3} \SIlist{0.1;0.2}{\nano\metre}",
         "1 to 5 mL 10 to 20 1, 2 and 3 0.1 and 0.2 nm"),
        (r"\num{1.5e-3} \num{3 +- 0.2} \num{1.23(4)} \num{2x3}", "1.5e-3 3 ± 0.2 1.23(4) 2 × 3"),
        (r"\ang{12.5} \ang{1;2;3} \SI{30}{\degree} \SI{20}{\degreeCelsius} \SI{5}{\percent}", "12.5° 1°2′3″ 30° 20 °C 5 %"),
        (r"\DeclareSIUnit\year{yr}\DeclareSIUnit{\molar}{M}\SI{5}{\year} \qty{3}{\milli\molar} \qty{2}{\kilo\gram\of{CO2}}",
         "5 yr 3 mM 2 kg_CO2"),
        (r"\unit[5]{kg} \unit{5}{\kilo\gram} \unitfrac[5]{m}{s} \nicefrac{1}{2}", "5 kg 5 kg 5 m/s 1/2"),
        (r"\numprint[km]{12345,6} and \numprint{42}", "12345,6 km and 42"),
        (r"\newcommand{\speed}{\SI{3}{\m\per\s}}It runs at \speed.", "It runs at 3 m/s."),
        (r"\begin{tabular}{SS}\SI{1}{m} & \num{2} \\ 3 & 4\end{tabular}", "| 1 m | 2 |\n| --- | --- |\n| 3 | 4 |"),
        (r"In $\SI{5}{kg}$ it stays a formula", r"In $\SI{5}{kg}$ it stays a formula"),
    ],
)  # fmt: skip
def test_a_number_keeps_its_unit(source: str, text: str) -> None:
    assert text_of(source) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\pair{a}{b} and \foo[x]{c}{d}", "a b and c d"),
        (r"\makebox[1cm][c]{boxed} \parbox[t][2cm]{3cm}{held}", "boxed held"),
        (r"CO\textsubscript{2}, x\textsuperscript{2}, \textsuperscript{th} \enquote{said}", "CO₂, x², ^th “said”"),
    ],
)
def test_commands_of_several_arguments_lose_none_that_prints(source: str, text: str) -> None:
    assert text_of(source) == text


@pytest.mark.parametrize(
    ("options", "codec", "words"),
    [
        ("[latin2]", "iso8859_2", "Zażółć gęślą jaźń. Łódź i Kraków to piękne miasta."),
        ("[latin9]", "iso8859_15", "Le cœur coûte 5 € à Noël."),
        ("[T1,cp1251]", "cp1251", "Подводящий канал несёт воду."),
        ("[koi8-r]", "koi8_r", "Подводящий канал несёт воду."),
        ("[applemac]", "mac_roman", "L’été à la meunerie"),
        ("[latin5]", "cp1254", "Türkiye’nin başkenti"),
        ("[cp850]", "cp850", "Größe und Mühle"),
        ("[ansinew]", "cp1252", "Größe – „Mühle“"),
        ("[utf8x]", "utf-8", "Größe – „Mühle“ 水車"),
    ],
)
def test_the_encoding_that_inputenc_names_is_believed(options: str, codec: str, words: str) -> None:
    source = (
        f"{PREAMBLE}% \\usepackage[latin1]{{inputenc}}\n\\usepackage{options}{{inputenc}}\n\\begin{{document}}\n{words}\n\\end{{document}}"
    )
    got = convert_latex(source.encode(codec), "application/x-tex")
    assert got.text == words and got.fields == {}


@pytest.mark.parametrize(
    "loading",
    [
        "\\usepackage\n[latin2]{inputenc}",
        "\\usepackage[latin2]% as the editor writes\n  {inputenc}",
        "\\usepackage%\n  [\n  latin2\n  ]\n{fontenc,inputenc}",
        "\\usepackage[latin2]{inputenc}[2005/01/01]",
        "\\PassOptionsToPackage{latin2}{inputenc}\n\\usepackage{inputenc}",
        "% \\PassOptionsToPackage{latin1}{inputenc}\n\\PassOptionsToPackage{latin2}%\n{inputenc}\\usepackage{inputenc}",
        "\\documentclass[a4paper,latin2,greek]{article}\\usepackage{inputenc}",
    ],
)
def test_an_option_reaches_inputenc_from_the_next_line_and_from_the_class(loading: str) -> None:
    source = f"{PREAMBLE if 'documentclass' not in loading else ''}{loading}\n\\begin{{document}}\nŁódź i źdźbło\n\\end{{document}}"
    assert decode_latex(source.encode("iso8859_2")).text == source


def test_a_language_of_the_class_is_no_encoding() -> None:
    source = "\\documentclass[greek]{article}\\usepackage{inputenc}\n\\begin{document}\nx\n\\end{document}"
    assert declared_encoding(source.encode()) is None


def test_a_document_that_switches_its_encoding_is_read_piece_by_piece() -> None:
    source = (
        f"{PREAMBLE}\\usepackage[latin2]{{inputenc}}\n\\begin{{document}}\nŁódź\n\\inputencoding{{cp1251}}\n".encode("iso8859_2")
        + "вода\n".encode("cp1251")
        + b"\\begin{CJK}{Bg5}{bsmi}" + "水車".encode("big5") + b"\\end{CJK}\n"
        + "канал % \\inputencoding{latin1}\nмельница\n\\end{document}".encode("cp1251")
    )  # fmt: skip
    got = decode_latex(source)
    assert all(word in got.text for word in ("Łódź", "вода", "水車", "канал", "мельница")) and not got.doubtful


def test_utf8_beyond_doubt_is_utf8_whatever_inputenc_says_and_a_guess_says_so() -> None:
    words = "Größe, Mühle, Übergang, Länge, Höhe, Rüstung"
    assert decode_latex(f"{PREAMBLE}\\usepackage[latin1]{{inputenc}}{words}".encode()).text.endswith(words)
    guessed = convert_latex(f"{PREAMBLE}\\begin{{document}}{PROSE} {words}\\end{{document}}".encode("cp1252"), "application/x-tex")
    assert guessed.fields["charset_source"] == "guess"
    assert declared_encoding(b"% !TEX encoding = MacRoman\n\\documentclass{article}") is None
    assert declared_encoding(b"% !TEX encoding = windows-1250\n\\documentclass{article}") == "windows-1250"
    assert declared_encoding(b"\\documentclass[GBK]{ctexart}") == "gb18030"


def test_papers_are_read_in_the_encoding_of_their_main_file(settings: Settings, tmp_path: Path) -> None:
    main = f"{PREAMBLE}\\usepackage[latin2]{{inputenc}}\n\\begin{{document}}\n{PROSE}\n\\input{{part}}\n\\end{{document}}"
    part = "Zażółć gęślą jaźń. Get \\url{https://example.org/a%20b.csv} at \\SI{5.2}{\\kilo\\gram}.\n\nThe second paragraph stays."
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in (("main.tex", main), ("part.tex", part)):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode("iso8859_2"))
            archive.addfile(info, io.BytesIO(text.encode("iso8859_2")))
    (tmp_path / "0704.0001.gz").write_bytes(gzip.compress(packed.getvalue()))
    (tmp_path / "0704.0002.gz").write_bytes(gzip.compress(main.replace("\\input{part}", part).encode("iso8859_2")))
    got = run_import(settings, {"kind": "latex", "paths": [str(tmp_path / "*.gz")]})
    for text in got.every:
        assert text.endswith("Zażółć gęślą jaźń. Get https://example.org/a%20b.csv at 5.2 kg.\n\nThe second paragraph stays.")
    assert len(got.every) == 2 and got.fields == {}


PIECES = st.sampled_from(
    ["\\verb", "|", "\\url{", "\\href{a%b}{", "}", "{", "%", "\n", "\\SI{", "\\qty[", "]{", "\\kilo", "\\per", "^{", "\\lstinline",
     "\\mintinline", "\\begin{verbatim}", "\\end{verbatim}", "\\begin{comment}", "\\", "$", "a", " ", "\\MakeShortVerb{\\|}",
     "\\num", "\\ang{;", "\\DeclareSIUnit"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=3), max_size=50).map("".join))
def test_no_latex_breaks_the_reading_of_such_commands(source: str) -> None:
    text = text_of(source)
    assert not any("\ue000" <= c <= "\ue0ff" for c in text)


@given(st.binary(max_size=200), st.sampled_from(["latin1", "utf8", "cp437", "koi8-r", "nonsense", "sjis"]))
def test_no_bytes_break_the_decoding_of_a_file(body: bytes, name: str) -> None:
    decode_latex(f"\\usepackage[{name}]{{inputenc}}".encode() + body).text.encode("utf-8")
