"""Which of a page's blocks are its main content, and how sure that is.

1. Every block gets a weight: its size if it reads like text, minus its size if it is made of links, little otherwise. Blocks whose
   element names itself boilerplate weigh nothing: they are left out wherever they lie.
2. An element that names itself main content (`html_rules.rank`) is taken, the surest name first, if it holds enough of the page's text.
3. Else the container with the largest sum of weights (maximum subsequence segmentation, Pasternack & Roth 2009, on the tree): links
   around the text make a container worse, text makes it better.
4. Inside of it, runs of link-only blocks go, and what was marked.

The confidence is the share of the page's text that was taken, lowered where little text was found or much of it is links.
"""

from __future__ import annotations

from itertools import accumulate

from headrace_governance.text.html_blocks import CODE, HEADING, ITEM, PROSE, TABLE, Block, Page
from headrace_governance.text.html_rules import BOILERPLATE, COMMENTS, NOTHING, RANKS

LINKED = 0.5
"""Share of a block inside of links from which it is navigation (jusText's 0.2 is for longer blocks; boilerpipe learnt 0.33-0.56)."""
TEXT_BYTES = 60
"""From this size a block counts as text without more evidence (about 10 English words, boilerpipe's number; 20 Chinese characters)."""
ENOUGH = 250
"""Bytes of text below which a named region is not believed (trafilatura's `MIN_EXTRACTED_SIZE`)."""
SHARE = 0.3
"""Of the page's text, that a named region must hold."""


def choose(page: Page) -> tuple[list[Block], float]:
    """The main blocks in order, and the confidence (0 to 1)."""
    blocks = page.blocks
    if not blocks:
        return [], 0.0
    sums = [0, *accumulate(_weight(b) for b in blocks)]
    good = [0, *accumulate(_good(b) for b in blocks)]
    everything = good[-1]
    chosen = _named(page, good, everything)
    if chosen is None:
        chosen = _densest(page, sums)
    start, end = chosen
    taken = [b for b in blocks[start:end] if b.mark == NOTHING]
    kept = _without_link_lists(taken)
    text = sum(_good(b) for b in kept)
    size = sum(b.size for b in kept)
    links = sum(b.link_size for b in kept)
    marked = sum(b.size for b in blocks if b.mark != NOTHING and b.link_size < LINKED * b.size and b.size >= TEXT_BYTES)
    confidence = text / max(1, everything)
    confidence *= min(1.0, size / ENOUGH)
    confidence *= 1.0 - min(1.0, links / max(1, size))
    if marked > 2 * text:
        confidence *= 2 * text / marked
    return kept, confidence


def _weight(b: Block) -> int:
    if b.mark != NOTHING:
        return 0
    if b.link_size > LINKED * b.size:
        return -b.size
    if b.kind == CODE or b.kind == TABLE:
        return b.size // 2
    if b.size >= TEXT_BYTES:
        return b.size - 2 * b.link_size
    return 0 if b.kind == HEADING or b.kind == ITEM else -(b.size // 4)


def _good(b: Block) -> int:
    """Size of a block that is text."""
    if b.mark != NOTHING or b.link_size > LINKED * b.size or b.size < TEXT_BYTES:
        return 0
    return b.size - b.link_size


def _named(page: Page, good: list[int], everything: int) -> tuple[int, int] | None:
    needed = max(ENOUGH, SHARE * everything)
    for wanted in range(1, RANKS + 1):
        found = [c for c in page.containers if c.rank == wanted and c.mark == NOTHING]
        if not found:
            continue
        first = next((c for c in found if good[c.end] - good[c.start] >= needed), None)
        if first is not None:
            return first.start, first.end
    return None


def _densest(page: Page, sums: list[int]) -> tuple[int, int]:
    best, value = None, 0
    for c in page.containers:
        gain = sums[c.end] - sums[c.start]
        # The deepest of equals: a wrapper adds nothing.
        if best is None or gain > value or (gain == value and best.start <= c.start and c.end <= best.end):
            best, value = c, gain
    return (best.start, best.end) if best is not None else (0, len(page.blocks))


def _without_link_lists(blocks: list[Block]) -> list[Block]:
    """Without blocks that are mostly links and stand with others of their kind, or alone without a sentence."""
    kept: list[Block] = []
    for b in blocks:
        if b.link_size > LINKED * b.size and b.kind != HEADING and b.kind != CODE:
            continue
        kept.append(b)
    while kept and kept[-1].kind == HEADING:  # a heading of nothing: "Related articles"
        kept.pop()
    return kept
