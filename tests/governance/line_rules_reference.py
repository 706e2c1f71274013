"""RefinedWeb's line-wise corrections written out plainly, from the paper's table 8 and DCLM's description: the oracle of our stages.

The whole text, without its markup, is corrected one rule after another, as DCLM does it. Here too dots are dots.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from prose_reference import lines_of

COUNTED = "likes shares comments retweets reposts quotes bookmarks upvotes downvotes downloads views followers".split()
COUNTER = re.compile(rf"\W*\d[\d,.]*[kmb]?\s+({'|'.join(COUNTED)})\W*")
PHRASES = [
    re.compile(r"\s?items in cart", re.ASCII | re.IGNORECASE),
    re.compile(r"\s?(?:read more\.\.\.|read more…)\Z", re.ASCII | re.IGNORECASE),
    re.compile(r"\Asign-in\s?", re.ASCII | re.IGNORECASE),
]


def words(text: str) -> int:
    return len([w for w in re.split(r"[ \t\n\v\f\r\0]+", text) if w and w[0].isalnum()])


def kept_lines(text: str) -> list[tuple[str, str]]:
    """(line, kind) of a Markdown text without its markup."""
    return [(line.text, line.kind) for line in lines_of(text)[0]]


@lru_cache(maxsize=8192)
def corrected(text: str, skip_markup: bool) -> str:
    """What is left of a Markdown text, without its markup."""
    # Headings, list items and rows lose nothing for being short or loud; items are searched for boilerplate, headings and rows are not.
    kept = [(line, skip_markup and kind != "text", skip_markup and kind in ("heading", "row")) for line, kind in kept_lines(text)]

    def drop(broken: Callable[[str], bool], which: int = 1) -> None:
        kept[:] = [line for line in kept if line[which] or not line[0] or not broken(line[0])]

    drop(lambda line: sum(c.isupper() for c in line) / len(line) > 0.5)
    drop(lambda line: sum(c.isdigit() for c in line) / len(line) > 0.999999)
    drop(lambda line: COUNTER.fullmatch(line.lower()) is not None, 2)
    drop(lambda line: len(line.split()) < 2)
    for phrase in PHRASES:
        changed = [(line if safe or len(line.split()) > 10 else phrase.sub("", line), item, safe, line) for line, item, safe in kept]
        # A line that was nothing but a phrase goes as a whole.
        kept = [(line, item, safe) for line, item, safe, was in changed if safe or not was or line.strip() or line == was]
    return "\n".join(line for line, _, _ in kept)


def share_removed(text: str, skip_markup: bool) -> float:
    before = words("\n".join(line for line, _ in kept_lines(text)))
    return (before - words(corrected(text, skip_markup))) / before if before else 0.0
