"""The second pass over rendered wikitext: marked lines → Markdown blocks, without the sections that are cut.

Marks are private-use characters (a page's own are removed before): `HEADING` and a digit begin a heading, `ITEM` and `*#:;` a list
item, `BREAK` is a forced line break, and `STASH` encloses the number of finished text that is put back at the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace_governance.text.formats.hollows import without_hollows

HEADING, ITEM, BREAK, STASH = "\ue010", "\ue011", "\ue012", "\ue013"
_ITEM = re.compile(f"^\\s*((?:{ITEM}[*#:;]+ ?)+)(.*)$")
_STASHED = re.compile(f"{STASH}(\\d+){STASH}")
_ALONE = re.compile(f"{STASH}\\d+{STASH}")
_SPACES = re.compile(r"[ \t\u00a0]+")


@dataclass
class _Block:
    text: str
    level: int = 0
    """of a heading; 0 for anything else"""
    tight: bool = False
    """follows its predecessor without a blank line (list items)"""


def finish(marked: str, stash: list[str], cut: set[str]) -> str:
    """Markdown of marked text; sections whose heading is in `cut` (casefolded) are left out."""
    out = ""
    for block in _without_sections(_blocks(marked), cut, stash):
        out += ("\n" if block.tight and out else "\n\n" if out else "") + block.text
    return _restore(out, stash).strip()


def _restore(text: str, stash: list[str]) -> str:
    # What was put aside may itself hold such marks, to earlier entries only: so this ends.
    while STASH in text:
        new = _STASHED.sub(lambda m: stash[int(m[1])] if int(m[1]) < len(stash) else "", text)
        if new == text:
            return text.replace(STASH, "")
        text = new
    return text


def _blocks(marked: str) -> list[_Block]:
    blocks: list[_Block] = []
    paragraph: list[str] = []
    numbers: dict[int, int] = {}
    in_list = False

    def flush() -> None:
        nonlocal in_list
        text = _tidy(" ".join(paragraph)).replace(BREAK, "\n").strip()
        text = re.sub(r" ?\n ?", "\n", text)
        paragraph.clear()
        if text:
            blocks.append(_Block(text))
            in_list = False
            numbers.clear()

    for raw in marked.split("\n"):
        line = raw.strip()
        if not line:
            flush()
            continue
        if line.startswith(HEADING):
            flush()
            title = _tidy(line[2:].replace(BREAK, " ").replace(ITEM, "")).strip()
            if title and line[1:2].isdecimal():
                blocks.append(_Block("#" * int(line[1]) + " " + title, level=int(line[1])))
            in_list = False
            numbers.clear()
        elif ITEM in line and (item := _ITEM.match(line)):
            flush()
            marks = re.sub(f"[{ITEM} ]", "", item[1])
            text = _tidy(item[2].replace(BREAK, " ").replace(ITEM, "")).strip()
            if text:
                blocks.append(_Block(_item(marks, text, numbers), tight=in_list))
                in_list = True
        elif _ALONE.fullmatch(line):
            flush()
            blocks.append(_Block(line))
            in_list = False
        else:
            paragraph.append(line.replace(ITEM, ""))
    flush()
    return blocks


def _item(marks: str, text: str, numbers: dict[int, int]) -> str:
    depth = len(marks) - 1
    for deeper in [d for d in numbers if d > depth]:
        del numbers[deeper]
    indent = "  " * min(depth, 8)
    match marks[-1]:
        case "#":
            numbers[depth] = numbers.get(depth, 0) + 1
            return f"{'   ' * min(depth, 8)}{numbers[depth]}. {text}"
        case ";":
            return f"**{text.strip('*')}**"
        case ":" if set(marks) == {":"}:
            return text
    return f"{indent}- {text}"


def _tidy(text: str) -> str:
    return without_hollows(_SPACES.sub(" ", text))


def _without_sections(blocks: list[_Block], cut: set[str], stash: list[str]) -> list[_Block]:
    """Drop the sections that are cut, with what is below them, then headings that are left without text."""
    kept: list[_Block] = []
    skipping = 0
    for block in blocks:
        if block.level:
            if skipping and block.level > skipping:
                continue
            name = " ".join(_restore(block.text.lstrip("#"), stash).split()).casefold()
            skipping = block.level if name in cut else 0
        if not skipping:
            kept.append(block)
    full: list[_Block] = []
    below = 1  # level of the nearest heading behind (the end counts as one), 0 if text comes first
    for block in reversed(kept):
        if block.level:
            if below and below <= block.level:
                continue
            below = block.level
        else:
            below = 0
        full.append(block)
    return full[::-1]
