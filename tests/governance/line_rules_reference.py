"""RefinedWeb's line-wise corrections written out plainly, from the paper's table 8 and DCLM's description: the oracle of our stages.

The whole text is corrected one rule after another, as DCLM does it. Here too dots are dots.
"""

from __future__ import annotations

import re
from collections.abc import Callable

COUNTED = "likes shares comments retweets reposts quotes bookmarks upvotes downvotes downloads views followers".split()
COUNTER = re.compile(rf"\W*\d[\d,.]*[kmb]?\s+({'|'.join(COUNTED)})\W*")
PHRASES = [
    re.compile(r"\s?items in cart", re.ASCII | re.IGNORECASE),
    re.compile(r"\s?(?:read more\.\.\.|read more…)\Z", re.ASCII | re.IGNORECASE),
    re.compile(r"\Asign-in\s?", re.ASCII | re.IGNORECASE),
]


def words(text: str) -> int:
    return len([w for w in re.split(r"[ \t\n\v\f\r\0]+", text) if w and w[0].isalnum()])


def protected(lines: list[str]) -> list[bool]:
    """Headings, code fences and what is between them."""
    out, inside = [], False
    for line in lines:
        fence = line.startswith("```")
        inside ^= fence
        out.append(fence or inside or line.startswith("#"))
    return out


def corrected(text: str, skip_markup: bool) -> str:
    lines = text.split("\n")
    kept = list(zip(lines, protected(lines) if skip_markup else [False] * len(lines), strict=True))

    def drop(broken: Callable[[str], bool]) -> None:
        kept[:] = [(line, safe) for line, safe in kept if safe or not line or not broken(line)]

    drop(lambda line: sum(c.isupper() for c in line) / len(line) > 0.5)
    drop(lambda line: sum(c.isdigit() for c in line) / len(line) > 0.999999)
    drop(lambda line: COUNTER.fullmatch(line.lower()) is not None)
    drop(lambda line: len(line.split()) < 2)
    for phrase in PHRASES:
        changed = [(line if safe or len(line.split()) > 10 else phrase.sub("", line), safe, line != "") for line, safe in kept]
        kept = [(line, safe) for line, safe, was in changed if safe or not was or line.strip()]
    return "\n".join(line for line, _ in kept)


def share_removed(text: str, skip_markup: bool) -> float:
    before = words(text)
    return (before - words(corrected(text, skip_markup))) / before if before else 0.0
