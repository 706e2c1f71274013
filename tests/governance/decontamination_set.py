"""Leaks, injected: an item put into a document as copies of test questions come, changed in one way. Everything from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

UNSPACED = ("zh", "ja", "th", "lo", "km", "my")
KINDS = ("verbatim", "case", "punctuation", "spaces", "lines", "paragraph", "edited")
"""What is done to the copy; `edited` has one word (one character) changed, the others keep every word."""
_PUNCTUATION = str.maketrans(
    {"'": "’", '"': "“", ",": " -", ".": "!", ";": ",", ":": " –", "(": "[", ")": "]", "?": "", "、": "，", "，": ",", "。": ".", "「": "“"}
)


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
