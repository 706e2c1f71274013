"""The statistics of Chinese rules written out plainly, from their sources' descriptions: the oracle of our stage."""

from __future__ import annotations

import math
from collections import Counter

ENDINGS = ("更多", "展开", "展開")


def plain(text: str) -> str:
    """Full-width letters, digits and marks as the plain ones they stand for."""
    return "".join(chr(ord(c) - 0xFEE0) if "！" <= c <= "～" else " " if c == "\u3000" else c for c in text)


def is_han(c: str) -> bool:
    return "\u4e00" <= c <= "\u9fff" or "\u3400" <= c <= "\u4dbf" or (c >= "\U00020000" and c.isalnum())


def bare_end(line: str) -> str:
    while line and not line[-1].isalnum():
        line = line[:-1]
    return line


def statistics(text: str) -> dict[str, float]:
    text = plain(text)
    visible = [c for c in text if not c.isspace()]
    counts = Counter(visible)
    lines = text.split("\n")
    sentences, open_ = 0, False
    for c in text:
        if c.isalnum():
            open_ = True
        elif c in "。｡!?;…":
            sentences += open_
            open_ = False
    grams = Counter(text[i : i + 10] for i in range(len(text) - 9))
    repeated = sorted((n for n in grams.values() if n > 1), reverse=True)
    return {
        "characters": len(text),
        "han_characters": sum(map(is_han, text)),
        "digits": sum(c.isdigit() and c.isalnum() for c in text),
        "alnum_characters": sum(c.isalnum() for c in text),
        "brackets": text.count("【") + text.count("】"),
        "visible_characters": len(visible),
        "unique_characters": len(counts),
        "sentences": sentences,
        "lines": len(lines),
        "expand_lines": sum(bare_end(line).endswith(ENDINGS) for line in lines),
        "short_lines": sum(1 for line in lines if line and sum(is_han(c) or (c.isascii() and c.isalnum()) for c in line) < 3),
        "ten_grams": max(0, len(text) - 9),
        "repeated_ten_grams": sum(repeated[: int(math.sqrt(len(grams)))]),
        "entropy": -sum(n / len(visible) * math.log(n / len(visible)) for n in counts.values()),
    }
