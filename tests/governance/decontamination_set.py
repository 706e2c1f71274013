"""Leaks, injected: an item put into a document as copies of test questions come, changed in one way. Everything from a seed."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass

from near_duplicates_set import Planter

UNSPACED = ("zh", "ja", "th", "lo", "km", "my")
KINDS = ("verbatim", "case", "punctuation", "spaces", "lines", "paragraph", "edited")
"""What is done to the copy; `edited` has one word (one character) changed, the others keep every word."""
_PUNCTUATION = str.maketrans(
    {"'": "’", '"': "“", ",": " -", ".": "!", ";": ",", ":": " –", "(": "[", ")": "]", "?": "", "、": "，", "，": ",", "。": ".", "「": "“"}
)
LOCALES = {"en": "en_US", "de": "de_DE", "fr": "fr_FR", "ru": "ru_RU", "zh": "zh_CN", "ja": "ja_JP"}
QUESTION = "How many cubic metres of water pass the great wheel of the old mill on a dry day in August?"
CHINESE = "磨坊的大水车在八月干旱的一天里能够通过多少立方米的水？"


@dataclass(frozen=True)
class Leak:
    """A document with an item in it.

    Attributes:
        item: its number among the items; start, end: its place in the document, in characters.
    """

    kind: str
    item: int
    language: str
    text: str
    start: int
    end: int


def leaks(seed: int, items: list[tuple[str, str]], hosts: dict[str, list[str]], kinds: tuple[str, ...] = KINDS) -> list[Leak]:
    """Every item, in every kind, in a document of its own language.

    Args:
        items: (language, text).
    """
    rng = random.Random(seed)
    out = []
    for number, (language, text) in enumerate(items):
        for kind in kinds:
            copy = _changed(rng, kind, text, language in UNSPACED)
            host = rng.choice(hosts[language])
            before, after = _cut(rng, host, kind, language in UNSPACED)
            out.append(Leak(kind, number, language, before + copy + after, len(before), len(before) + len(copy)))
    return out


def _changed(rng: random.Random, kind: str, text: str, unspaced: bool) -> str:
    if kind == "case":
        return rng.choice((text.upper, text.lower, text.title))()
    if kind == "punctuation":
        return text.translate(_PUNCTUATION)
    if kind in ("spaces", "lines"):
        gap = ("\n",) if kind == "lines" else ("  ", "\t", " \u00a0", "\u3000")
        if unspaced:  # a line is never broken inside a Latin word or a number
            return "".join(c + rng.choice(gap) if not c.isascii() and rng.random() < 0.1 else c for c in text)
        return "".join(w + (rng.choice(gap) if rng.random() < 0.4 else " ") for w in text.split())
    if kind == "edited":
        units = list(text) if unspaced else text.split()
        at = rng.choice([i for i, u in enumerate(units) if any(c.isalnum() for c in u)])
        units[at] = "其" if unspaced else "changed"
        return ("" if unspaced else " ").join(units)
    return text


def _cut(rng: random.Random, host: str, kind: str, unspaced: bool) -> tuple[str, str]:
    """The host before and after the copy: a paragraph of its own, or in the middle of one."""
    if kind == "paragraph":
        line = rng.choice([x for x in host.split("\n") if x.strip()] or [""])
        words = list(line) if unspaced else line.split(" ")
        joint = "" if unspaced else " "
        at = rng.randrange(len(words) + 1)
        first, rest = joint.join(words[:at]), joint.join(words[at:])
        head, _, tail = host.partition(line)
        mark = "。" if unspaced else ". "
        return head + first + mark, mark + rest + tail
    lines = host.split("\n")
    at = rng.randrange(len(lines) + 1)
    return "\n".join(lines[:at]) + "\n", "\n" + "\n".join(lines[at:])


def units_of(text: str) -> list[str]:
    """Words, and single characters of unspaced scripts, folded."""
    units: list[str] = []
    word = ""
    for c in text + "\n":
        if 0x300 <= ord(c) < 0x370 or c in "'’\u00ad\u200b":
            continue
        folded = [d for d in unicodedata.normalize("NFKD", c) if not 0x300 <= ord(d) < 0x370] or [c]
        lower = {"ß": "ss", "ς": "σ"}.get(folded[0].lower(), folded[0].lower())
        alone = unicodedata.name(c, "").startswith(("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA LETTER")) and c.isalpha()
        separator = unicodedata.category(c)[0] not in "LNM"
        if word and (alone or separator):
            units.append(word)
            word = ""
        if alone:
            units.append(lower)
        elif not separator:
            word += lower
    return units


def planted() -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """Items of 13 words (20 characters) and more, and documents of the same languages."""
    planter, rng = Planter(20261125), random.Random(5)
    items, hosts = [], {}
    for language, locale in LOCALES.items():
        texts = [planter.prose(locale) for _ in range(40)]
        hosts[language] = texts[20:]
        for text in texts[:20]:
            joint = "" if language in ("zh", "ja") else " "
            units = [c for c in text if c != "\n"] if not joint else text.split()
            third = len(units) // 3
            for n in range(3):
                size = min(third, rng.randint(24, 90) if not joint else rng.randint(13, 50))
                at = n * third + rng.randint(0, third - size)
                items.append((language, joint.join(units[at : at + size])))
    return [i for i in items if len(units_of(i[1])) >= (20 if i[0] in ("zh", "ja") else 13)], hosts
