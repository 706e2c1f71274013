"""Books as plain text with Project Gutenberg's header and markers → Markdown: paragraphs unwrapped, chapters as headings, verse kept.

The books are hard-wrapped at about 70 columns. A paragraph is verse, and keeps its lines, if its lines are indented, or short and all
begin with a capital; everything else is joined to one line, words that a hyphen parts at the line's end with it (`well-` + `known` stays
`well-known` where the book writes it so elsewhere). `_italic_` becomes `*italic*`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from headrace_governance.encoding.decode import decode
from headrace_governance.text.formats.converted import Converted

_START = re.compile(
    r"^[ \t]{0,9}(?:\*{3}[ \t]{0,3}START OF (?:THE|THIS) PROJECT GUTENBERG.{0,300}|\*END[* ]THE SMALL PRINT!.{0,200})$", re.M
)
_END = re.compile(
    r"^[ \t]{0,9}(?:\*{3}[ \t]{0,3}END OF (?:THE|THIS) PROJECT GUTENBERG.{0,300}"
    r"|End of (?:the |this )?Project Gutenberg(?:'s|’s)?.{0,300})$",
    re.M | re.I,
)
_FIELD = re.compile(
    r"^(Title|Author|Editor|Translator|Illustrator|Language|Release [Dd]ate|Posting [Dd]ate|Character set encoding): (.{1,500})$", re.M
)
_NUMBER = re.compile(r"(?:\[(?:eBook|EBook|Etext|E-text) ?#?(\d{1,6})\]|(?:EBook|eBook|Etext) #(\d{1,6}))")
_CREDITS = re.compile(
    r"^(?:Produced by|E-text prepared by|This e-?text was|Transcribed (?:by|from)|Credits:|\[?Transcriber['’]s note)", re.I
)
_ROMAN = r"[IVXLCDM]{1,8}"
_CHAPTER = re.compile(
    rf"(?:(?:CHAPTER|Chapter|BOOK|Book|PART|Part|VOLUME|Volume|CANTO|Canto|ACT|Act|LETTER|Letter|STAVE|KAPITEL|Kapitel|CHAPITRE|Chapitre|"
    rf"CAPÍTULO|Capítulo|CAPITOLO|Capitolo|ГЛАВА|Глава|ЧАСТЬ|Часть)\.?[ \t](?:THE[ \t])?[\w-]{{1,20}}\b.{{0,100}}"
    rf"|{_ROMAN}\.?(?:[ \t].{{1,60}})?|第[一二三四五六七八九十百零〇0-9]{{1,6}}[章回卷節节部篇].{{0,60}}"
    rf"|(?:PREFACE|INTRODUCTION|PROLOGUE|EPILOGUE|FOREWORD|CONCLUSION|APPENDIX|AFTERWORD|Preface|Introduction|Prologue|Epilogue|VORWORT|"
    rf"PRÉFACE|ПРОЛОГ|ЭПИЛОГ)\.?)"
)
_UPPER_PARTS = ("BOOK", "PART", "VOLUME", "ACT", "ЧАСТЬ")
_ITALIC = re.compile(r"(?<![\w_])_([^_\n]{1,300})_(?![\w_])")
_END_OF_LINE = 31
"""Characters: a word at its end with the hyphen."""
_WORD_AT_BREAK = re.compile(r"([^\W\d_]{2,30})-$")


_ENCODING = re.compile(rb"^Character set encoding:[ \t]{1,9}([\x20-\x7e]{1,40})", re.M)
_LABELS = {
    "iso latin-1": "latin1",
    "iso-latin-1": "latin1",
    "iso 8859-1": "latin1",
    "iso-646-us (us-ascii)": "us-ascii",
    "iso-us-ascii": "us-ascii",
}
"""What headers write beside labels."""


@dataclass
class Book:
    """A book without its wrapping.

    Attributes:
        fields: title, author, language, release ... as the header says, `number` the e-book's.
        body: the text between the markers.
    """

    body: str
    fields: dict[str, str] = field(default_factory=dict)


def opened(text: str) -> Book:
    """Header and body of a book's text; a text without markers is all body."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    start = None
    for found in _START.finditer(text):
        start = found  # old books have both markers: the later one counts
        if "START OF" in found[0]:
            break
    header = text[: start.start()] if start else text[:3000] if text.startswith(("The Project Gutenberg", "Project Gutenberg")) else ""
    begin = start.end() if start else 0
    end = _END.search(text, begin)
    body = text[begin : end.start() if end else len(text)]
    fields = {m[1].lower().replace(" ", "_"): " ".join(m[2].split()) for m in _FIELD.finditer(header)}
    number = _NUMBER.search(header)
    if number:
        fields["number"] = number[1] or number[2]
        for key in ("release_date", "posting_date"):
            if key in fields:
                fields[key] = fields[key].partition("[")[0].strip()
    return Book(body, fields)


def chapters(body: str) -> list[tuple[int, str]]:
    """Where each chapter begins, with its heading; entries of a table of contents are none."""
    found: list[tuple[int, str]] = []
    at = 0
    paragraphs = list(_paragraphs(body))
    for index, (at, lines) in enumerate(paragraphs):
        heading = _heading(lines)
        if heading is None:
            continue
        following = paragraphs[index + 1][1] if index + 1 < len(paragraphs) else []
        if not following or (_heading(following) is not None and not _is_part(heading)):
            continue  # a list of headings: the contents
        found.append((at, heading))
    return found


def convert_book(body: bytes, charset: str | None) -> Converted:
    """Text of a book, or of one chapter with the book's header before it."""
    decoded = decode(body, charset or declared_charset(body), html=False)
    book = opened(decoded.text)
    hyphenated = set(re.findall(r"[^\W\d_]{2,30}-[^\W\d_]{2,30}", book.body))
    headings = dict(chapters(book.body))
    in_parts = any(_is_part(h) for h in headings.values())
    blocks: list[str] = []
    title = book.fields.get("title")
    for at, lines in _paragraphs(book.body):
        heading = headings.get(at)
        if heading is not None:
            blocks.append(f"{'###' if in_parts and not _is_part(heading) else '##'} {heading}")
            continue
        if len(blocks) < 3 and not any(b.startswith("#") for b in blocks) and _CREDITS.match(lines[0].strip()):
            continue
        block = _paragraph(lines, hyphenated)
        if block:
            blocks.append(_ITALIC.sub(r"*\1*", block))
    text = "\n\n".join(blocks)
    if title and text and not text.lower().startswith(f"# {title.lower()}"):
        text = f"# {title}\n\n{text}"
    return Converted(text, title, book.fields | decoded.doubt())


def declared_charset(body: bytes) -> str | None:
    """The label in the header's line `Character set encoding: ISO-8859-1`, or None."""
    found = _ENCODING.search(body[:5000])
    label = found[1].decode("ascii").strip() if found else ""
    return _LABELS.get(label.lower(), label.removeprefix("Unicode ")) or None


def _paragraphs(body: str) -> list[tuple[int, list[str]]]:
    """(place, lines) of each paragraph."""
    out: list[tuple[int, list[str]]] = []
    at, lines, start = 0, [], 0  # type: int, list[str], int
    for line in body.split("\n"):
        if line.strip():
            if not lines:
                start = at
            lines.append(line.rstrip())
        elif lines:
            out.append((start, lines))
            lines = []
        at += len(line) + 1
    if lines:
        out.append((start, lines))
    return out


def _heading(lines: list[str]) -> str | None:
    if len(lines) > 3:
        return None
    first = lines[0].strip()
    if len(first) > 140 or not _CHAPTER.fullmatch(first):
        return None
    rest = " ".join(line.strip() for line in lines[1:])
    if re.fullmatch(_ROMAN + r"\.?", first) and rest:
        return f"{first} {rest}" if len(rest) < 80 else None
    if first[-1:] in ",;" or len(rest) > 120:
        return None
    return re.sub(r"\s+", " ", f"{first} {rest}".strip()).strip("_* ")


def _is_part(heading: str) -> bool:
    return heading.upper().startswith(_UPPER_PARTS)


def _paragraph(lines: list[str], hyphenated: set[str]) -> str:
    if all(set(line.strip()) <= set("*-_ .") for line in lines):
        return "* * *"
    if _is_verse(lines):
        margin = min(len(line) - len(line.lstrip()) for line in lines)
        return "\n".join(line[margin:].replace("\t", "    ") for line in lines)
    parts = [lines[0].strip()]
    end = parts[0][-_END_OF_LINE:]  # of what is joined so far: all that the next line is judged by
    for line in lines[1:]:
        line = line.strip()
        broken = _WORD_AT_BREAK.search(end)
        if broken and line[:1].islower() and not end.endswith("--"):
            second = re.match(r"[^\W\d_]{1,30}", line)
            whole = f"{broken[1]}-{second[0]}" if second else ""
            if whole not in hyphenated:
                parts[-1], end = parts[-1][:-1], end[:-1]
        elif not (end.endswith("--") or (end and line and _cjk(end[-1]) and _cjk(line[0]))):
            parts.append(" ")
            end += " "
        parts.append(line)
        end = (end + line)[-_END_OF_LINE:]
    return "".join(parts)


def _is_verse(lines: list[str]) -> bool:
    if len(lines) == 1:
        return False
    indented = sum(line[:2] in ("  ", "\t") or line[:1] == "\t" for line in lines)
    if indented >= len(lines) - 1 and max(len(line.strip()) for line in lines) <= 62:
        return True
    short = all(len(line) <= 50 for line in lines)
    return short and len(lines) >= 3 and all(line.lstrip("\"'“‘_ (")[:1].isupper() for line in lines)


def _cjk(c: str) -> bool:
    return "\u3000" <= c <= "\u9fff" or "\uf900" <= c <= "\ufaff" or "\uff00" <= c <= "\uffef"
