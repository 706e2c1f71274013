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

from typing import Any

import numpy as np

from headrace_governance.text.html_blocks import CODE, HEADING, ITEM, KIND, LEVEL, LINK, PROSE, SIZE, TABLE, TEXT_TO, Blocks
from headrace_governance.text.html_rules import DOUBTFUL, NOTHING, Names
from headrace_governance.text.html_tags import BLOCK, PROPERTIES

LINKED = 0.5
"""Share of a block inside of links from which it is navigation (jusText's 0.2 is for longer blocks; boilerpipe learnt 0.33-0.56)."""
MOSTLY = 0.9
"""The same for tables of data, whose names are often links, and for sentences, inside of the main content."""
TEXT_BYTES = 60
"""From this size a block counts as text without more evidence (about 10 English words, boilerpipe's number; 20 Chinese characters)."""
WRAPPER = 0.5
"""Share of the page's text above which an element is no boilerplate, whatever it is called (WordPress writes every tag of a post into
the classes of its article; themes call wrappers "has-sidebar")."""
CLIMB = 0.05
"""Share of its gain that a container may lose to one around it."""
DOUBT = 0.6
"""Of the text that no sure name excludes, the share that must stay if doubtful names are to be believed."""
ENOUGH = 250
"""Bytes of text below which a named region is not believed (trafilatura's `MIN_EXTRACTED_SIZE`)."""
SHARES = (0.0, 0.1, 0.3, 0.3, 0.3, 0.3)
"""Of the page's text, that a region must hold whose name has this rank; the surest need little, since comments may be longer than
what they comment."""


def choose(written: Blocks, tags: Any, names: Names) -> tuple[Any, float]:
    """The numbers of the main blocks in order, and the confidence (0 to 1)."""
    blocks, spans = written.blocks, written.spans
    if not len(blocks):
        return np.zeros(0, dtype=np.int64), 0.0
    size, link, kind = blocks[:, SIZE], blocks[:, LINK], blocks[:, KIND]
    linked = link > LINKED * size
    good = np.where(~linked & (size >= TEXT_BYTES), size - link, 0)
    marks = _block_marks(spans, names.marks, good)
    sure = _block_marks(spans, np.where(names.marks == DOUBTFUL, NOTHING, names.marks), good)
    if good[marks == NOTHING].sum() < DOUBT * good[sure == NOTHING].sum():
        marks = sure
    free = marks == NOTHING
    prose = good * free
    weights = np.where((kind == HEADING) | (kind == ITEM), 0, -(size // 4))
    weights = np.where(size >= TEXT_BYTES, size - 2 * link, weights)
    weights = np.where((kind == CODE) | (kind == TABLE), size // 2, weights)
    weights = np.where(linked, -size, weights)
    found = _named(spans, names.ranks, _sums(prose))
    if found is None:
        found = _densest(spans, tags, _sums(weights * free)) if prose.any() else (0, len(blocks))
    start, end = found
    inside = np.zeros(len(blocks), dtype=np.bool_)
    inside[start:end] = True
    mostly = link > np.where((kind == TABLE) | _sentences(written), MOSTLY, LINKED) * size
    taken = inside & free & ~(mostly & (kind != HEADING) & (kind != CODE))
    chosen = _trimmed(written, np.flatnonzero(taken))
    text, everything = int(prose[chosen].sum()), int(prose.sum())
    bytes_, links = int(size[chosen].sum()), int(link[chosen].sum())
    confidence = text / max(1, everything) * min(1.0, bytes_ / max(1, min(ENOUGH, int(size.sum())))) * (1.0 - links / max(1, bytes_))
    marked = int(good.sum()) - everything
    if marked > 2 * text:
        confidence *= 2 * text / marked
    return chosen, confidence


def _trimmed(written: Blocks, chosen: Any) -> Any:
    """Without short lines before and after the text that are no sentence (dates, "Share this"), and headings whose content went."""
    rows = written.blocks[chosen][:, [SIZE, KIND, LEVEL, TEXT_TO]].tolist()
    label = [kind == PROSE and size < TEXT_BYTES and not _ends_sentence(written.text, to) for size, kind, _, to in rows]
    first, last = 0, len(rows)
    while first < last and label[first]:
        first += 1
    while last > first and (label[last - 1] or rows[last - 1][1] == HEADING):
        last -= 1
    if first == last:  # nothing but short lines: then they are the text
        return chosen
    keep = np.ones(len(rows), dtype=np.bool_)
    keep[:first] = keep[last:] = False
    numbers = chosen.tolist()
    for i in range(first, last - 1):
        # Two headings in a row that were not neighbours: what stood between was no text.
        if rows[i][1] == HEADING and rows[i + 1][1] == HEADING and rows[i + 1][2] <= rows[i][2] and numbers[i + 1] > numbers[i] + 1:
            keep[i] = False
    return chosen[keep]


def _sentences(written: Blocks) -> Any:
    """Blocks of some length that end like a sentence."""
    rows = written.blocks[:, [SIZE, TEXT_TO]].tolist()
    return np.array([size >= TEXT_BYTES and _ends_sentence(written.text, to) for size, to in rows], dtype=np.bool_)


def _ends_sentence(text: Any, to: int) -> bool:
    return bool(text[to - 1] in _ENDS) or bytes(text[max(0, to - 3) : to]) in _WIDE_ENDS


_ENDS = frozenset(b".!?:;)\"'")
_WIDE_ENDS = frozenset(c.encode() for c in "。！？：；…」』）”»")


def _sums(values: Any) -> Any:
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(values, dtype=np.int64)))


def _block_marks(spans: Any, marks: Any, good: Any) -> Any:
    """Hand containers' marks down to blocks, but for marks of containers with most of the page's text: those names lie."""
    out = np.zeros(len(good), dtype=np.int8)
    sums = _sums(good)
    limit = WRAPPER * sums[-1]
    done = 0  # blocks before it are marked already: nodes come in document order, the outermost first
    numbers = np.flatnonzero(marks)
    for (start, end), mark in zip(spans[numbers].tolist(), marks[numbers].tolist(), strict=True):
        if start < end and end > done and sums[end] - sums[start] <= limit:
            out[start:end] = mark
            done = end
    return out


def _named(spans: Any, ranks: Any, sums: Any) -> tuple[int, int] | None:
    everything = int(sums[-1])
    numbers = np.flatnonzero(ranks)
    rows = [
        (r, s, e)
        for r, (s, e) in zip(ranks[numbers].tolist(), spans[numbers].tolist(), strict=True)
        if sums[e] - sums[s] >= max(min(ENOUGH, everything // 2), SHARES[r] * everything, 1)
    ]
    if not rows:
        return None
    surest = min(r for r, _, _ in rows)
    return next((s, e) for r, s, e in rows if r == surest)


def _densest(spans: Any, tags: Any, sums: Any) -> tuple[int, int]:
    candidates = (PROPERTIES[tags] & BLOCK) != 0
    candidates[0] = True  # the whole page
    numbers = np.flatnonzero(candidates)
    starts, ends = spans[numbers, 0], spans[numbers, 1]
    gains = sums[ends] - sums[starts]
    best = int(gains.argmax())
    # The outermost that costs little more: headings, short items and quotes around the text belong to it.
    around = np.flatnonzero((starts <= starts[best]) & (ends >= ends[best]) & (gains >= gains[best] - CLIMB * abs(gains[best])))
    best = int(around[0])
    return int(starts[best]), int(ends[best])
