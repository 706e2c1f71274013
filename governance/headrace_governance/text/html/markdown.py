"""HTML → Markdown-like text of a page's main content: headings, paragraphs, lists, code, tables, quotes, formulas.

Compiled: tokeniser and tree (`html_tokens`), blocks (`html_blocks`). Then names (`html_rules`) and sums of text and links choose the main
blocks, with a confidence (`main_content`). Below `CONFIDENT`, unless the page is a mere index, trafilatura (Barbaresi 2021) reads it too,
and its answer is taken unless it found much less, or only the page's links beside it. Speed: about 1,100 manual pages of 53 KB a second a
core where sure
(`benchmarks/text/bench_extraction.py`).
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from headrace_governance.text.html import formulas
from headrace_governance.text.html.block_rows import CODE, KIND, LEVEL, LINK, NODE, SIZE, TEXT_FROM, TEXT_TO
from headrace_governance.text.html.blocks import Blocks, write_blocks
from headrace_governance.text.html.main_content import CONFIDENT, choose, is_index
from headrace_governance.text.html.main_edges import Piece, main_pieces
from headrace_governance.text.html.rules import dropped, names
from headrace_governance.text.html.source import as_html
from headrace_governance.text.html.tags import number
from headrace_governance.text.html.tokens import N_FIRST, Tokens, tokenise

_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,2000})", re.IGNORECASE)
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight|brush:|sourcecode|source|prism|hljs)[-\s:]*([a-z0-9+#_.]{1,20})(?=\s|$|;)")
_NO_LANGUAGE = frozenset("default none text notranslate plain plaintext nohighlight source code highlight console-output linenos".split())
_UNREAD = re.compile(rb"<(?:noscript|template|object|svg|datalist|button|applet|xml|noembed|noframes)\b", re.IGNORECASE)
"""Elements whose content is not read here, in which trafilatura may find text."""
_DATA_LANGUAGE = re.compile(rb"\sdata-lang(?:uage)?\s*=\s*[\"']?([A-Za-z0-9+#_.]{1,20})")
_INSTRUCTION = re.compile(rb"<\?[^>]*+>?")
_LONGEST_INSTRUCTION = 4096
"""Bytes of a processing instruction that libxml2 is given: it takes quadratic time over one, 12 s of 128 KB."""
_WHITE_SPACE = re.compile(
    r" ?(?:&(?:#0{0,9}(?:9|10|12|13)(?:;|(?!\d))|#[xX]0{0,9}[9aAcCdD](?:;|(?![\dA-Fa-f]))|Tab;|NewLine;)){1,9} ?", re.ASCII
)
"""Character references to white space, which is no more than a space outside of code; never the begin of another one (`&#97;`)."""
_WORD = re.compile(r"\w+")
_ANCHOR = re.compile(r"<a\b[^>]{1,1000}>(.{1,500}?)</a>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]{0,500}>")
STRAY = 0.25
"""Share of the words a second reading adds that need not be in links: a navigation bar repeats the page's own title."""
_DEFINED = frozenset(number(n) for n in "dt dd td th".split())
_INVISIBLE = "\u00ad\u200b\u2060\ufeff"
_UNSEEN = str.maketrans("", "", _INVISIBLE)
"""Marks of where a word may or must not be broken: soft hyphen, zero width space, word joiner, zero width no-break space."""


@dataclass(frozen=True)
class PageText:
    """What a page gave.

    Attributes:
        confidence: of the fast reading, 0 to 1.
        method: `fast` or `trafilatura`, whose text it is.
        hostile: why the page was not read.
    """

    text: str
    title: str | None
    confidence: float
    method: str
    hostile: str | None = None


def page_text(markup: str) -> tuple[str, str | None]:
    """Text and title of a page; the text is empty if there is none."""
    page = read_page(markup)
    return page.text, page.title


def read_page(markup: str | bytes, *, fallback: bool = True, xml: bool = False) -> PageText:
    """Read a page (bytes: UTF-8); with `fallback`, a second time where the first reading is unsure.

    Args:
        xml: it is XHTML that says so (its media type); one with an XML declaration is so, too.
    """
    data = as_html(markup.encode("utf-8", "replace") if isinstance(markup, str) else markup, xml=xml)
    found = _TITLE.search(data)
    title = " ".join(html.unescape(found[1].decode("utf-8", "replace")).split()) if found else ""
    tokens = tokenise(data)
    if tokens.formulas and tokens.hostile is None:
        tokens = tokenise(formulas.as_text(data))
    if tokens.hostile is not None:
        return PageText("", title or None, 0.0, "fast", tokens.hostile)
    written = write_blocks(tokens, dropped(tokens))
    chosen, confidence = choose(written, tokens.nodes[:, 0], names(tokens, written.spans))
    text = _assemble(tokens, written, chosen)
    if not fallback or confidence >= CONFIDENT or (is_index(written) and not _UNREAD.search(data)):
        return PageText(text, title or None, confidence, "fast")
    other = _trafilatura(_INSTRUCTION.sub(_short, data).decode("utf-8", "replace"))
    if len(other) * 3 < len(text) or _adds_only_links(other, text, data):
        return PageText(text, title or None, confidence, "fast")
    return PageText(other.strip(), title or None, confidence, "trafilatura")


def _short(instruction: re.Match[bytes]) -> bytes:
    return instruction[0] if len(instruction[0]) <= _LONGEST_INSTRUCTION else b""


def _trafilatura(markup: str) -> str:
    """Its own heuristics alone: readability and jusText behind them are slower, and were right less often where we are unsure."""
    import inspect

    from trafilatura import extract

    alone = {"fast": True} if "fast" in inspect.signature(extract).parameters else {"no_fallback": True}
    try:
        return extract(markup, output_format="markdown", include_formatting=True, include_comments=False, **alone) or ""
    except ValueError:  # lxml writes no control characters; the first reading stays
        return ""


def _adds_only_links(other: str, text: str, data: bytes) -> bool:
    """Whether a second reading has all of the first, and hardly anything else than what is in links: the menus of a short page."""
    more, own = Counter(_WORD.findall(other)), Counter(_WORD.findall(text))
    if not own or own - more:
        return False
    more -= own
    anchors = " ".join(_TAG.sub(" ", a) for a in _ANCHOR.findall(data.decode("utf-8", "replace")))
    return (more - Counter(_WORD.findall(html.unescape(anchors)))).total() <= STRAY * more.total()


def _assemble(tokens: Tokens, written: Blocks, chosen: Any) -> str:
    """Markdown of the chosen blocks."""
    source = written.text.tobytes()
    rows = written.blocks[chosen].tolist()
    pieces = []
    for place, row in zip(chosen.tolist(), rows, strict=True):
        text = source[row[TEXT_FROM] : row[TEXT_TO]].decode("utf-8", "replace")
        if "&" in text:
            text = html.unescape(text if row[KIND] == CODE else _WHITE_SPACE.sub(" ", text))
        if row[KIND] != CODE and not text.isascii() and any(c in text for c in _INVISIBLE):
            text = text.translate(_UNSEEN)
        if text:
            pieces.append(Piece(place, row[KIND], row[LEVEL], row[SIZE], row[LINK], text, _defined(tokens, row[NODE])))
    by_number = dict(zip(chosen.tolist(), rows, strict=True))
    parts: list[str] = []
    for piece in main_pieces(pieces):
        _, _, a, b, c, d, _, _, kind, level, tight, node = by_number[piece.number]
        text = piece.text
        if kind == CODE:
            text = _fenced(text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text, _language(tokens, node))
        elif level:
            text = f"{'#' * level} {text}"
        if not text:
            continue
        rest = source[c:d].decode("ascii")
        if parts:
            parts.append("\n" if tight else "\n\n")
        parts.append(source[a:b].decode("ascii") + (text.replace("\n", "\n" + rest) if rest and "\n" in text else text))
    return "".join(parts).strip()


def _defined(tokens: Tokens, node: int) -> bool:
    """Whether a block's element, or the one around it, is a definition or a cell."""
    tag, parent = tokens.nodes[node, :2].tolist()
    return tag in _DEFINED or int(tokens.nodes[parent, 0]) in _DEFINED


def _fenced(code: str, language: str) -> str:
    code = code.strip("\n").rstrip()
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}{language}\n{code}\n{fence}" if code.strip() else ""


def _language(tokens: Tokens, node: int) -> str:
    """The language that a code block's element, its child `code` or the two elements around it name (class, `data-language`)."""
    nodes = tokens.nodes
    behind = int(tokens.events[nodes[node, N_FIRST], 2])
    tag = tokens.source[max(0, behind - 300) : behind]
    named = _DATA_LANGUAGE.search(tag, max(0, tag.rfind(b"<")))
    if named:
        return named[1].decode("ascii").lower()
    near = [node, node + 1] if node + 1 < len(nodes) and nodes[node + 1, 1] == node else [node]
    near += [int(nodes[node, 1]), int(nodes[int(nodes[node, 1]), 1])] if nodes[node, 1] > 0 else []
    for k in near:
        a, b = (int(nodes[k, 2]), int(nodes[k, 3])) if k >= 0 else (0, 0)
        found = _LANGUAGE.search(tokens.data[a : min(b, a + 200)].tobytes().decode("utf-8", "replace").lower()) if b > a else None
        if found and found[1] not in _NO_LANGUAGE:
            return found[1]
    return ""
