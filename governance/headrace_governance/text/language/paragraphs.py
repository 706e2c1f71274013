"""The paragraphs of a Markdown text that a language can be told of, and which of them are in a language that is not wanted.

Prose counts: no code, headings, tables or quotations, and no paragraph too short to tell. One pass over the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from pydantic import Field

from headrace_lake.strict import StrictModel

_BREAK = re.compile(r"\n[ \t]*\n")
_FENCED = re.compile(r"^```.*?(?:^```[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_NO_PROSE = ("#", "|", ">")
"""How lines of headings, tables and quotations begin."""
_FEW = 8
_TELLING = 24
"""UTF-8 of a shorter block that is asked for its language where it would go with its neighbours: a line of eight Chinese characters."""
Detect = Callable[[str], tuple[str, float]]


class ParagraphParams(StrictModel):
    """When and how the languages of a document's paragraphs are told.

    Attributes:
        doubt: probability of the document's language below which its paragraphs are looked at.
        mixed_scripts: share of letters outside the dominant script from which they are.
        probe: characters from the middle and from the end of a long text that are looked at; paragraphs are if these are in
            another language than the beginning. 0 switches it off.
        min_bytes: UTF-8 of a paragraph, at least.
        most: paragraphs of a document, evenly chosen.
        characters: of each that the classifier sees.
        sure: probability from which a paragraph counts.
        min_share: share of the document's language among the bytes that count; below it the document is `mixed_languages`.
    """

    doubt: float = Field(default=0.8, ge=0, le=1)
    mixed_scripts: float = Field(default=0.2, ge=0, le=1)
    probe: int = Field(default=200, ge=0)
    min_bytes: int = Field(default=120, ge=1)
    most: int = Field(default=40, ge=1)
    characters: int = Field(default=300, ge=20)
    sure: float = Field(default=0.6, ge=0, le=1)
    min_share: float = Field(default=0.5, ge=0, le=1)


@dataclass(frozen=True)
class Block:
    """A stretch between blank lines, or a block of code. `prose`: its lines that are prose, joined; `end` is exclusive."""

    start: int
    end: int
    prose: str
    heading: bool = False
    code: bool = False


def blocks_of(text: str) -> list[Block]:
    """All blocks of a text, in their order; places are characters."""
    found: list[Block] = []
    at = 0
    for fence in _FENCED.finditer(text) if "```" in text else ():
        found += _between(text, at, fence.start())
        found.append(Block(fence.start(), fence.end(), "", code=True))
        at = fence.end()
    return [*found, *_between(text, at, len(text))]


def _between(text: str, start: int, end: int) -> Iterator[Block]:
    at = start
    while at < end:
        gap = _BREAK.search(text, at, end)
        stop = gap.start() if gap is not None else end
        if text[at:stop].strip():
            lines = text[at:stop].strip("\n").split("\n")
            prose = " ".join(line for line in lines if not line.startswith(_NO_PROSE))
            begin = at + len(text[at:stop]) - len(text[at:stop].lstrip("\n"))
            yield Block(begin, begin + len(text[begin:stop].rstrip("\n")), prose, heading=all(x.startswith("#") for x in lines))
        at = gap.end() if gap is not None else end


def paragraphs_of(text: str, p: ParagraphParams) -> list[str]:
    """The paragraphs that count, in their order."""
    return _sample([b.prose for b in blocks_of(text) if _counts(b, p)], p.most)


def _counts(block: Block, p: ParagraphParams) -> bool:
    # No character has more than four bytes.
    return 4 * len(block.prose) >= p.min_bytes and len(block.prose.encode("utf-8")) >= p.min_bytes


def _sample(found: list[str], most: int) -> list[str]:
    return found if len(found) <= most else [found[i * len(found) // most] for i in range(most)]


def paragraph_languages(text: str, detect: Detect, p: ParagraphParams) -> dict[str, float]:
    """Language → share of the bytes of paragraphs that are surely in one, largest first; empty if there are fewer than two."""
    told = Telling(detect, p)
    for paragraph in paragraphs_of(text, p):
        told.take(paragraph)
    return told.shares() if told.counted >= 2 else {}


@dataclass
class Telling:
    """What was told of paragraphs so far: language → bytes, and bytes times probability, of those that are surely in one."""

    detect: Detect
    p: ParagraphParams
    counted: int = 0
    weights: dict[str, int] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)

    def take(self, prose: str) -> tuple[str, float]:
        """Tell a paragraph's language."""
        language, score = self.detect(prose[: self.p.characters])
        self.add(prose, language, score)
        return language, score

    def add(self, prose: str, language: str, score: float) -> None:
        """Count a paragraph, if it is surely in the language."""
        if score >= self.p.sure:
            weight = len(prose.encode("utf-8"))
            self.counted += 1
            self.weights[language] = self.weights.get(language, 0) + weight
            self.scores[language] = self.scores.get(language, 0.0) + weight * score

    def shares(self) -> dict[str, float]:
        """Language → share, largest first."""
        total = sum(self.weights.values())
        return {language: round(n / total, 4) for language, n in sorted(self.weights.items(), key=lambda w: (-w[1], w[0]))}


@dataclass(frozen=True)
class Judged:
    """A document by its paragraphs.

    Attributes:
        shares: language → share of the bytes that are surely in one.
        declared: share of them in a declared language; 1 if none is surely in any.
        language: the declared language with the most bytes, empty without any.
        score: its paragraphs' probability, by bytes.
        cuts: characters of what is in undeclared languages, with what belongs to it.
    """

    shares: dict[str, float]
    declared: float
    language: str
    score: float
    cuts: list[tuple[int, int]]


def judge_paragraphs(
    text: str, detect: Detect, is_declared: Callable[[str], bool], p: ParagraphParams, *, cut_sure: float, likely: bool
) -> Judged:
    """How much of a document is in declared languages, and which spans are not.

    A sample of paragraphs tells whether there is any doubt; only then all are looked at.

    Args:
        is_declared: whether a language is declared, or may stand for one that is.
        cut_sure: probability from which an undeclared paragraph is cut.
        likely: the document as a whole is in a declared language: every sampled paragraph that is too settles it. If it is not, a few
            paragraphs that are not settle that.
    """
    blocks = blocks_of(text)
    prose = [b.prose for b in blocks if _counts(b, p)]
    told = Telling(detect, p)
    doubt = False
    for paragraph in _sample(prose, p.most if likely else _FEW):
        language, score = told.take(paragraph)
        doubt = doubt or (score >= p.sure and is_declared(language) != likely)
    cuts: list[tuple[int, int]] = []
    if doubt or not told.counted:
        told = Telling(detect, p)
        kinds = "".join(_kind(b, told, is_declared, p, cut_sure) for b in blocks)
        cuts = [(blocks[i].start, blocks[i].end) for i in cut_blocks(kinds)]
    weights = {language: n for language, n in told.weights.items() if is_declared(language)}
    total, own = sum(told.weights.values()), sum(weights.values())
    first = min(weights, key=lambda language: (-weights[language], language), default="")
    score = told.scores[first] / weights[first] if first else 0.0
    return Judged(told.shares() if total else {}, own / total if total else 1.0, first, score, cuts)


def _kind(block: Block, told: Telling, is_declared: Callable[[str], bool], p: ParagraphParams, cut_sure: float) -> str:
    """`D` declared, `U` undeclared, `H` heading, `O` what nothing can be told of."""
    if block.heading or block.code:
        return "H" if block.heading else "O"
    if _counts(block, p):
        language, score = told.take(block.prose)
        return "D" if is_declared(language) else "U" if score >= cut_sure else "O"
    if len(block.prose.encode("utf-8")) < _TELLING:
        return "O"
    language, score = told.detect(block.prose)
    if not is_declared(language):
        return "O"  # names, commands and labels: too short to say that it is prose of another language
    told.add(block.prose, language, score)
    return "D"


def cut_blocks(kinds: str) -> list[int]:
    """Which blocks go, by their kinds: undeclared ones, what stands between two of them, and whole sections that hold nothing declared.

    A section is a heading and all up to the next one.
    """
    gone: list[int] = []
    starts = [0, *(i for i, kind in enumerate(kinds) if kind == "H" and i), len(kinds)]
    for first, last in pairwise(starts):
        section = kinds[first:last]
        if "U" in section and "D" not in section:
            gone += range(first, last)
            continue
        since: list[int] | None = None  # what nothing can be told of, since an undeclared block
        for i, kind in enumerate(section, first):
            if kind == "U":
                gone += [*(since or ()), i]
                since = []
            elif kind == "O" and since is not None:
                since.append(i)
            elif kind == "D":
                since = None
    return gone
