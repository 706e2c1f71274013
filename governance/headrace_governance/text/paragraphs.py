"""The paragraphs of a Markdown text that a language can be told of: prose of some length, no code, headings or tables."""

from __future__ import annotations

import re
from collections.abc import Callable

from pydantic import Field

from headrace_lake.strict import StrictModel

_BREAK = re.compile(r"\n[ \t]*\n")
_FENCED = re.compile(r"^```.*?(?:^```[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)


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


def paragraphs_of(text: str, p: ParagraphParams) -> list[str]:
    """The paragraphs that count, in their order."""
    found = []
    for part in _BREAK.split(_FENCED.sub("\n\n", text) if "```" in text else text):
        prose = " ".join(line for line in part.split("\n") if not line.startswith(("#", "|")))
        # No character has more than four bytes.
        if 4 * len(prose) >= p.min_bytes and len(prose.encode("utf-8")) >= p.min_bytes:
            found.append(prose)
    return found if len(found) <= p.most else [found[i * len(found) // p.most] for i in range(p.most)]


def paragraph_languages(text: str, detect: Callable[[str], tuple[str, float]], p: ParagraphParams) -> dict[str, float]:
    """Language → share of the bytes of paragraphs that are surely in one, largest first; empty if there are fewer than two."""
    weights: dict[str, int] = {}
    counted = 0
    for paragraph in paragraphs_of(text, p):
        language, score = detect(paragraph[: p.characters])
        if score >= p.sure:
            counted += 1
            weights[language] = weights.get(language, 0) + len(paragraph.encode("utf-8"))
    if counted < 2:
        return {}
    total = sum(weights.values())
    return {language: round(n / total, 4) for language, n in sorted(weights.items(), key=lambda w: (-w[1], w[0]))}
