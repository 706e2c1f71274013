"""LaTeX sources as arXiv hands them out: single files, archives of a paper, bulk archives; hostile ones; the conversion itself."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import RULES, run_import

from headrace_governance.text.formats.latex.convert import convert_latex, latex_text
from headrace_governance.text.formats.latex.read import SINGLE
from headrace_governance.text.formats.latex.source import uncommented
from headrace_governance.text.parser_process import ParserProcess
from headrace_lake.errors import InputError
from headrace_lake.settings import Settings

MAIN = r"""\documentclass[11pt]{article} % the class
\usepackage{amsmath,listings}
\newcommand{\R}{\mathbb{R}}
\newcommand{\norm}[1]{\lVert #1 \rVert}
\newcommand{\who}[2][miller]{the #1 of \emph{#2}}
\def\be{\begin{equation}}
\def\ee{\end{equation}}
\DeclareMathOperator{\rank}{rank}
\newtheorem{satz}{Theorem}[section]
\title{On \textit{Water} Wheels\thanks{Funded.}}
\author{A. Nobody \and B. Nobody}
\begin{document}
\maketitle
\begin{abstract}
We study wheels~\cite{nobody01} in ``still'' water --- slowly.
\end{abstract}
% a comment with $math$ and \section{Nothing}
\section{Introduction}\label{sec:intro}
Let $x \in \R^n$ with $\norm{x} \leq 1$, 5\% of it.%
 The case of M\"uller (see Section~\ref{sec:m} and \cite{a,b}).
It is \who{Ulm}.

Then \(a^2\) and
\[
  \rank A = 3 % three
\]
\be \label{eq:one}
  E = mc^2
\ee
\input{parts/method}
\begin{thebibliography}{9}
\bibitem{a} A. Nobody, \emph{Mills}.
\end{thebibliography}
\end{document}
Nothing here.
"""
METHOD = r"""\subsection{Method}
\begin{itemize}
  \item the \textbf{wheel}
  \item[axle] turns
    \begin{enumerate}\item one \item two\end{enumerate}
\end{itemize}
\begin{satz}[Euler]
Every $n$ is fine.
\end{satz}
\begin{align*}
  a &= b \\
  c &= d
\end{align*}
\begin{figure}[t]\centering\includegraphics[width=3cm]{wheel.pdf}\caption{The wheel, $r=2$.}\label{f}\end{figure}
\begin{table}\caption{Yields}\begin{tabular}{lr}\hline Year & Tons \\ \hline
1712 & 3 \\ 1713 & \multicolumn{1}{c}{\textbf{4}} \\ \end{tabular}\end{table}
\begin{lstlisting}[language=Python]
def grind(x):  # 100% kept
    return x
\end{lstlisting}
Call \verb|grind(x)| or \texttt{a\_b}\footnote{Or not.}. \unknowncommand{Kept words} \textcolor{red}{red}.
"""
TEXT = r"""# On *Water* Wheels

## Abstract

We study wheels in “still” water — slowly.

## Introduction

Let $x \in \mathbb{R}^n$ with $\lVert x \rVert \leq 1$, 5% of it. The case of Müller (see Section and). It is the miller of *Ulm*.

Then \(a^2\) and

\[
\operatorname{rank} A = 3
\]

\begin{equation}
E = mc^2
\end{equation}

### Method

- the **wheel**
- **axle** turns
  1. one
  2. two

**Theorem (Euler).** Every $n$ is fine.

\begin{align*}
a &= b \\
c &= d
\end{align*}

**Figure.** The wheel, $r=2$.

**Table.** Yields

| Year | Tons |
| --- | --- |
| 1712 | 3 |
| 1713 | **4** |

```python
def grind(x):  # 100% kept
    return x
```

Call `grind(x)` or `a_b`[^1]. Kept words red.

[^1]: Or not."""


def tar(files: dict[str, bytes], *, gz: bool = True, link: str = "", target: str = "/etc/passwd") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz" if gz else "w") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, target
            out.addfile(info)
    return sink.getvalue()


PAPER = {"ms.tex": MAIN.encode(), "parts/method.tex": METHOD.encode(), "wheel.pdf": b"%PDF" + b"x" * 99, "refs.bbl": b"\\bibitem{a}"}


def fetch(*paths: Path, **more: object) -> dict[str, object]:
    return {"kind": "latex", "paths": [str(p) for p in paths], **more}


def test_a_paper_keeps_formulas_and_structure_and_loses_its_references(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "2401.00001v2.tar.gz").write_bytes(tar(PAPER))
    got = run_import(settings, fetch(tmp_path / "*.tar.gz"))
    assert got.texts == {"https://arxiv.org/abs/2401.00001v2": TEXT}
    assert list(got.titles.values()) == ["On *Water* Wheels"]


def test_bulk_archives_with_metadata_and_every_paper_left_out_has_its_reason(settings: Settings, tmp_path: Path) -> None:
    single = MAIN.replace(r"\input{parts/method}", "").encode()
    bomb = tar({"zeros.bin": b" " * (64 << 20)})
    papers = {
        "2401/2401.00001.gz": tar(PAPER),
        "2401/2401.00002.gz": gzip.compress(single),
        "2401/hep-th9901001.gz": gzip.compress(single.replace(b"Wheels", b"Mills")),
        "2401/2401.00003.pdf": b"%PDF-1.5",
        "2401/2401.00004.gz": gzip.compress(b"%PDF-1.5 inside"),
        "2401/2401.00005.gz": tar({"fig.pdf": b"%PDF"}),
        "2401/2401.00006.gz": tar(PAPER, link="evil.tex"),
        "2401/2401.00007.gz": tar({"../../evil.tex": single}),
        "2401/2401.00008.gz": bomb,
        "2401/2401.00009.gz": tar({f"{i}.tex": b"x" for i in range(60)}),
        "2401/2401.00010.gz": tar(PAPER)[:-40],
        "2401/2401.00011.gz": gzip.compress(single),
        "2401/2401.00012.gz": gzip.compress(single),
        "2401/2401.00013.gz": tar({"notes.tex": b"\\section{A}", "other.tex": b"\\section{B}"}),
        "2401/2401.00014.gz": gzip.compress(single + b"%" * 90_000),
    }
    (tmp_path / "arXiv_src_2401_001.tar").write_bytes(tar(papers, gz=False))
    by = "http://creativecommons.org/licenses/by/4.0/"
    rows = [{"id": f"2401.{i:05d}", "license": by} for i in (*range(1, 11), 13, 14)]
    rows += [
        {"id": "hep-th/9901001", "license": None},
        {"id": "2401.00011", "license": "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"},
    ]
    (tmp_path / "metadata.json").write_text("\n".join(json.dumps(r) for r in rows))
    metadata = str(tmp_path / "metadata.json")
    licence = {"id": "CC0-1.0", "class": "public", "basis": "metadata names each paper's licence", "evidence": {"text": "metadata"}}
    got = run_import(settings, fetch(tmp_path / "*.tar", metadata=metadata, max_members=50, max_bytes=80_000), licence)
    assert sorted(got.texts) == [f"https://arxiv.org/abs/{i}" for i in ("2401.00001", "2401.00002")]
    assert got.texts["https://arxiv.org/abs/2401.00001"] == TEXT
    ids = {
        reason: sorted(d.split()[0].rpartition("/abs/")[2] for d in rows)
        for (stage, reason), rows in got.dropped.items()
        if stage == "import"
    }
    assert ids == {
        "no_source": ["2401.00003", "2401.00004", "2401.00005"], "link": ["2401.00006"], "outside": ["2401.00007"],
        "bomb": ["2401.00008"], "too_many_members": ["2401.00009"], "licence": ["2401.00011"], "licence_unknown": ["hep-th/9901001"],
        "no_metadata": ["2401.00012"],
        "too_large": ["2401.00014"],
    }  # fmt: skip
    assert "no main file" in got.dropped["extract", "malformed"][0]
    assert len(got.quarantined) == 1 and "bad_archive" in got.quarantined[0]
    licences = {c["url"].rpartition("/")[2]: c["licence"] for c in got.captures}
    assert licences["2401.00001"] == "CC-BY-4.0"


def test_a_capture_is_the_same_whenever_it_is_imported(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar(PAPER))
    first = run_import(settings, fetch(tmp_path / "a.tar.gz")).captures[0]["content_digest"]
    (tmp_path / "a.tar.gz").write_bytes(tar({**PAPER, "another.png": b"\x89PNG"}))
    assert run_import(settings, fetch(tmp_path / "a.tar.gz")).captures[0]["content_digest"] == first


def test_damaged_bulk_archives_and_metadata_are_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(tar({"a.gz": gzip.compress(MAIN.encode())}, gz=False)[:700])
    with pytest.raises(InputError, match=r"b.tar: damaged"):
        run_import(settings, fetch(tmp_path / "b.tar"))
    (tmp_path / "m.json").write_text('{"no": "id"}')
    with pytest.raises(InputError, match=r"m.json line 1"):
        run_import(settings, fetch(tmp_path / "b.tar", metadata=str(tmp_path / "m.json")))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (r"a\\b \ldots{} \'a\"{o}\c{c}\v s \ss{} \o", "a b … áöçš ß ø"),
        (r"{\bf bold} {\em it} \texttt{x{}y} \textbf{}", "**bold** *it* `xy`"),
        (r"price \$5 and $x<y$ and $open", "price $5 and $x<y$ and $open"),
        (r"$$a\label{e}=b$$ end", "$$\na=b\n$$\n\nend"),
        ("\\begin{verbatim}\n% \\kept $x\n\\end{verbatim}", "```\n% \\kept $x\n```"),
        (r"\begin{quote}said\end{quote}", "> said"),
        (r"\href{http://x.org}{words} \url{http://y.org/a_b%c}", "words http://y.org/a_b%c"),
        (r"\begin{tikzpicture}\draw (0,0);\end{tikzpicture}text", "text"),
        (r"\newcommand{\a}{\b\b}\newcommand{\b}{x}\a y", "xxy"),
        (r"\def\pair#1#2{(#1, #2)}\pair{a}{b}", "(a, b)"),
        (r"\section*{A \& B}text\paragraph{Run in.} on", "## A & B\n\ntext\n\n**Run in.** on"),
        (r"\chapter{One}\section{Two}x", "## One\n\n### Two\n\nx"),
        (r"\begin{description}\item[Term] meaning\end{description}", "- **Term** meaning"),
        (r"unclosed { group \textbf{a", "unclosed group a"),
        (r"\begin{tabular}{l}only\\one\end{tabular}", "only\n\none"),
        (r"\iffalse hidden \fi shown", "shown"),
    ],
)
def test_pieces_of_latex(source: str, expected: str) -> None:
    assert latex_text(source).text == expected


def test_comments_are_cut_as_tex_does() -> None:
    assert uncommented("a % b\nc\\% d%e\n%f\ng\\\\% h\n") == "a \nc\\% dg\\\\\n"


PIECES = st.sampled_from(
    ["{", "}", "$", "$$", "\\", "\\[", "\\]", "\\(", "\\begin{", "\\end{", "equation}", "itemize}", "tabular}{l}", "\\item", "\\textbf",
     "\\newcommand{\\x}", "\\def\\x", "#1", "\\x", "[", "]", "&", "\\\\", "\\cite{a}", "\\verb|", "%", "\n", "\n\n", "~", "a", " ", "水",
     "\\footnote{", "\\caption{", "\\begin{table}", "\\end{table}", "\\section{", "\\'", "\\begin{verbatim}", "\\end{verbatim}", "\ue013"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=4), max_size=70).map("".join))
def test_no_latex_breaks_the_conversion_or_leaves_its_marks_behind(source: str) -> None:
    text = latex_text(uncommented(source)).text
    assert not any("\ue000" <= c <= "\ue0ff" for c in text)


@pytest.fixture(scope="module")
def parser() -> Iterator[ParserProcess]:
    """One process for all cases: the kernel counts each document's time by itself, and one that it ended is replaced."""
    process = ParserProcess(10.0, 3 << 30, RULES.model_dump(mode="json"))
    yield process
    process.close()


@pytest.mark.parametrize(
    "piece",
    ["{", "}", "$", "$$", "\\[", "\\(", "\\begin{a}", "\\begin{itemize}", "\\textbf{", "\\item[", "\\newcommand{\\x}{", "\\cite{",
         "%", "\\",
     "\\begin{verbatim}", "[", "\\footnote{", "&", "\\begin{tabular}{l}", "\\caption{", "\\def\\a{\\a\\a}\\a", "\\x[", "{\\bf ",
         "\\end{a}"],
)  # fmt: skip
def test_repeated_latex_costs_little_processor_time(parser: ParserProcess, piece: str) -> None:
    """The kernel ends the parser after 10 s of processor time: what costs more than linear time ends it."""
    answer = parser.convert(SINGLE, ("\\documentclass{a} " + piece * (200_000 // len(piece)) + " end \\end{document}").encode(), "utf-8")
    assert answer is not None and "text" in answer


def test_macros_that_grow_without_end_are_given_up() -> None:
    bomb = "".join(f"\\newcommand{{\\m{a}}}{{\\m{b}\\m{b}\\m{b}\\m{b}}}" for a, b in zip("abcdefghij", "bcdefghijk", strict=True))
    assert len(latex_text(bomb + r"\newcommand{\mk}{word word word} \ma").text) < 2_000_000


def test_a_file_that_includes_itself_ends() -> None:
    sink = tar({"main.tex": b"\\documentclass{a}\\begin{document}x\\input{a}\\end{document}", "a.tex": b"y\\input{a}\\input{a}"}, gz=False)
    assert convert_latex(sink, "application/x-eprint-tar").text.startswith("xy")
