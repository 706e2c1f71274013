"""Which of a page's blocks are its main content, and how sure that is.

1. Every block gets a weight: its size if it reads like text, minus its size if it is made of links, little otherwise. Blocks whose
   element names itself boilerplate weigh nothing: they are left out wherever they lie.
2. An element that names itself main content (`html_rules.rank`) is taken, the surest name first, if it holds enough of the page's text.
3. Else the container with the largest sum of weights (maximum subsequence segmentation, Pasternack & Roth 2009, on the tree): links
   around the text make a container worse, text makes it better.
4. Inside of it, runs of link-only blocks go, and what was marked. A lead that stands before it, between the page's title and the text
   that was found, is taken too: templates often hold it in a header of its own.
5. Where that is unsure, the page may be a short one, on which hardly a block is long enough to count: on a page with little text, less
   of it hidden or in links, all of them count, and the choice is made again.

The confidence is the share of the page's text that was taken, lowered where little text was found or much of it is links.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.block_rows import CODE, HEADING, ITEM, KIND, LEVEL, LINK, PROSE, SIZE, TABLE, TEXT_TO
from headrace_governance.text.html.blocks import Blocks
from headrace_governance.text.html.rules import DOUBTFUL, NOTHING, Names
from headrace_governance.text.html.tags import BLOCK, PROPERTIES

CONFIDENT = 0.45
"""Below it a page is read again: about one web page in sixteen, and hardly a manual page (`benchmarks/text/bench_extraction.py`)."""
SHORT = 2_000
"""Bytes of text up to which a page is a short one."""
LINKED = 0.5
"""Share of a block inside of links from which it is navigation (jusText's 0.2 is for longer blocks; boilerpipe learnt 0.33-0.56)."""
MOSTLY = 0.9
"""The same for tables of data, whose names are often links, and for sentences, inside of the main content."""
TEXT_BYTES = 60
"""From this size a block counts as text without more evidence (about 10 English words, boilerpipe's number; 20 Chinese characters)."""
WRAPPER = 0.5
"""Share of the page's text above which an element is not boilerplate, whatever it is called (WordPress writes every tag of a post into
the classes of its article; themes call wrappers "has-sidebar")."""
CLIMB = 0.05
"""Share of its gain that a container may lose to one around it."""
DOUBT, SHORT_DOUBT = 0.6, 0.85
"""Of the text that no sure name excludes, the share that must stay if doubtful names are to be believed; the same on a short page."""
INDEX_BYTES = 1_000
"""Bytes of text from which a page may be an index."""
INDEX_TEXT = 0.05
"""Share of an index's text, at most, in blocks that are unlinked text or end in a full stop (contents, sitemaps, keyword lists of manuals:
0 to 0.055; pages on which the second reading found prose: 0.12 and more)."""
LEAD_BLOCKS, LEAD_TEXTS, LEAD_BYTES = 25, 3, 1_500
"""Blocks before the main content in which a title is looked for; blocks of a lead, and its bytes, at most."""
ENOUGH = 250
"""Bytes of text below which a named region is not believed (trafilatura's `MIN_EXTRACTED_SIZE`)."""
SHARES = (0.0, 0.1, 0.3, 0.3, 0.3, 0.3)
"""Of the page's text, that a region must hold whose name has this rank; the surest need little, since comments may be longer than
what they comment."""


_ENDS = np.zeros(256, dtype=np.bool_)
_ENDS[list(b".!?:;)\"'")] = True
_WIDE_ENDS = np.array([list(c.encode()) for c in "。！？：；…」』）”"], dtype=np.uint8)


def choose(written: Blocks, tags: Any, names: Names) -> tuple[Any, float]:
    """The numbers of the main blocks in order (int64), and the confidence (0 to 1)."""
    if not len(written.blocks):
        return np.zeros(0, dtype=np.int64), 0.0
    page = (written.text, written.blocks, written.spans, tags, PROPERTIES, names.marks, names.ranks)
    chosen, confidence, _, _ = _choose(*page, TEXT_BYTES, DOUBT)
    if confidence < CONFIDENT:
        short, sure, everything, said = _choose(*page, 1, SHORT_DOUBT)
        if sure >= CONFIDENT and everything <= SHORT and said >= max(written.hidden, int(written.blocks[:, LINK].sum())):
            return short, sure
    return chosen, confidence


def is_index(written: Blocks) -> bool:
    """Whether what was read of a page is a list of links: most of it is in links, next to nothing is unlinked text or ends in a full stop,
    and next to nothing was left out as hidden."""
    everything, links, text = _shares(written.text, written.blocks)
    most = INDEX_TEXT * everything
    return bool(everything >= INDEX_BYTES and links >= LINKED * everything and text <= most and written.hidden <= most)


@njit(cache=True)
def _shares(text: Any, blocks: Any) -> tuple[int, int, int]:
    """Bytes of all text, of it in links, and in blocks that are unlinked text or end in a full stop."""
    everything = links = found = 0
    for i in range(len(blocks)):
        size, link = blocks[i, SIZE], blocks[i, LINK]
        everything += size
        links += link
        if (size >= TEXT_BYTES and link <= LINKED * size) or _full_stop(text, blocks[i, TEXT_TO]):
            found += size
    return everything, links, found


@njit(cache=True)
def _full_stop(text: Any, to: int) -> bool:
    if text[to - 1] == 46 or text[to - 1] == 33 or text[to - 1] == 63:  # . ! ?
        return True
    return bool(to >= 3 and text[to - 1] >= 128 and _ends_sentence(text, to))


@njit(cache=True)
def _choose(
    text: Any, blocks: Any, spans: Any, tags: Any, properties: Any, marks: Any, ranks: Any, text_bytes: int, doubt: float
) -> tuple[Any, float, int, int]:
    """The main blocks, the confidence, and the bytes of text that may be main content and that the main blocks have without headings.

    A block counts as text from `text_bytes`.
    """
    n = len(blocks)
    good = np.zeros(n, dtype=np.int64)
    certain = np.zeros(n, dtype=np.int64)
    linked = np.zeros(n, dtype=np.bool_)
    for i in range(n):
        size, link = blocks[i, SIZE], blocks[i, LINK]
        linked[i] = link > LINKED * size
        if not linked[i] and size >= text_bytes:
            good[i] = size - link
            certain[i] = size - link if size >= TEXT_BYTES else 0
    certain_sums = _sums(certain)
    free = _free(spans, marks, certain_sums, True)
    sure = _free(spans, marks, certain_sums, False)
    if (good * free).sum() < doubt * (good * sure).sum():
        free = sure
    prose = good * free
    weights = np.zeros(n, dtype=np.int64)
    for i in range(n):
        if free[i]:
            weights[i] = _weight(blocks[i], linked[i], text_bytes)
    prose_sums = _sums(prose)
    everything = prose_sums[n]
    start, end = _named(spans, ranks, prose_sums)
    if end == 0:
        start, end = _densest(spans, tags, properties, _sums(weights)) if everything > 0 else (0, n)
    taken = np.empty(end - start + LEAD_TEXTS, dtype=np.int64)
    k = _lead(text, blocks, start, sure, linked, taken)
    for i in range(start, end):
        size, link, kind = blocks[i, SIZE], blocks[i, LINK], blocks[i, KIND]
        if not free[i]:
            continue
        if kind != HEADING and kind != CODE:
            text_with_links = kind == TABLE or (size >= text_bytes and _ends_sentence(text, blocks[i, TEXT_TO]))
            if link > (MOSTLY if text_with_links else LINKED) * size:
                continue
        taken[k] = i
        k += 1
    chosen = _trimmed(text, blocks, taken[:k], text_bytes)
    found = bytes_ = links = said = 0
    for i in chosen:
        found += prose[i]
        said += prose[i] if blocks[i, KIND] != HEADING else 0
        bytes_ += blocks[i, SIZE]
        links += blocks[i, LINK]
    # A short page is not measured by its navigation.
    enough = max(1, min(ENOUGH, everything if text_bytes < TEXT_BYTES else blocks[:, SIZE].sum()))
    confidence = found / max(1, everything) * min(1.0, bytes_ / enough) * (1.0 - links / max(1, bytes_))
    marked = good.sum() - everything
    if marked > 2 * found:
        confidence *= 2 * found / marked
    return chosen, confidence, everything, said


@njit(cache=True)
def _lead(text: Any, blocks: Any, start: int, sure: Any, linked: Any, taken: Any) -> int:
    """Put the blocks of a lead before `start` into `taken`; returns how many. `sure`: blocks that no sure name excludes."""
    title = start - 1
    while title >= max(0, start - LEAD_BLOCKS) and blocks[title, LEVEL] != 1:
        title -= 1
    if title < max(0, start - LEAD_BLOCKS):
        return 0
    k = size = 0
    for i in range(title + 1, start):
        long = blocks[i, SIZE] >= TEXT_BYTES and (blocks[i, KIND] in (PROSE, ITEM) or blocks[i, LEVEL] > 1)
        if not long or linked[i] or not sure[i] or not (_ends_sentence(text, blocks[i, TEXT_TO]) or blocks[i, SIZE] >= 2 * TEXT_BYTES):
            continue
        size += blocks[i, SIZE]
        if k == LEAD_TEXTS or size > LEAD_BYTES:
            return 0  # more than a lead: not of this text
        taken[k] = i
        k += 1
    return k


@njit(cache=True)
def _weight(block: Any, linked: bool, text_bytes: int) -> int:
    size, kind = int(block[SIZE]), block[KIND]
    if linked:
        return -size
    if kind in (CODE, TABLE):
        return size // 2
    if size >= text_bytes:
        return size - 2 * int(block[LINK])
    return 0 if kind in (HEADING, ITEM) else -(size // 4)


@njit(cache=True)
def _sums(values: Any) -> Any:
    """The sum of all values before each place, and of all."""
    out = np.zeros(len(values) + 1, dtype=np.int64)
    for i in range(len(values)):
        out[i + 1] = out[i] + values[i]
    return out


@njit(cache=True)
def _free(spans: Any, marks: Any, sums: Any, doubtful: bool) -> Any:
    """Blocks that no mark of their containers excludes. Containers with most of the page's text are not believed: those names lie."""
    out = np.ones(len(sums) - 1, dtype=np.bool_)
    limit = WRAPPER * sums[len(sums) - 1]
    done = 0  # blocks before it are marked already: nodes come in document order, the outermost first
    for k in range(len(marks)):
        start, end = spans[k, 0], spans[k, 1]
        if marks[k] == NOTHING or (marks[k] == DOUBTFUL and not doubtful) or start >= end or end <= done:
            continue
        if sums[end] - sums[start] <= limit:
            out[start:end] = False
            done = end
    return out


@njit(cache=True)
def _named(spans: Any, ranks: Any, sums: Any) -> tuple[int, int]:
    """The blocks of the first of the surest elements that name themselves main content and hold enough; (0, 0) if there is none."""
    everything = sums[len(sums) - 1]
    best, found, until = len(SHARES), 0, 0
    for k in range(len(ranks)):
        rank, start, end = ranks[k], spans[k, 0], spans[k, 1]
        if 0 < rank < best and sums[end] - sums[start] >= max(min(ENOUGH, everything // 2), SHARES[rank] * everything, 1):
            best, found, until = rank, start, end
    return found, until


@njit(cache=True)
def _densest(spans: Any, tags: Any, properties: Any, sums: Any) -> tuple[int, int]:
    best = 0  # the whole page
    for k in range(len(tags)):
        if properties[tags[k]] & BLOCK and sums[spans[k, 1]] - sums[spans[k, 0]] > sums[spans[best, 1]] - sums[spans[best, 0]]:
            best = k
    # The outermost that costs little more: headings, short items and quotes around the text belong to it.
    start, end = spans[best, 0], spans[best, 1]
    gain = sums[end] - sums[start]
    for k in range(best):
        a, b = spans[k, 0], spans[k, 1]
        if (k == 0 or properties[tags[k]] & BLOCK) and a <= start and b >= end and sums[b] - sums[a] >= gain - CLIMB * abs(gain):
            return a, b
    return start, end


@njit(cache=True)
def _trimmed(text: Any, blocks: Any, chosen: Any, text_bytes: int) -> Any:
    """Without short lines before and after the text that are not sentences (dates, "Share this"), and headings whose content went."""
    first, last = 0, len(chosen)
    while first < last and _is_label(text, blocks[chosen[first]], text_bytes):
        first += 1
    while last > first and (blocks[chosen[last - 1], KIND] == HEADING or _is_label(text, blocks[chosen[last - 1]], text_bytes)):
        last -= 1
    if first == last:  # nothing but short lines: then they are the text
        return chosen
    out = np.empty(last - first, dtype=np.int64)
    k = 0
    for i in range(first, last):
        if i + 1 < last:
            here, behind = blocks[chosen[i]], blocks[chosen[i + 1]]
            # Two headings in a row that were not neighbours: what stood between was not text.
            headings = here[KIND] == HEADING and behind[KIND] == HEADING and behind[LEVEL] <= here[LEVEL]
            if headings and chosen[i + 1] > chosen[i] + 1:
                continue
        out[k] = chosen[i]
        k += 1
    return out[:k]


@njit(cache=True)
def _is_label(text: Any, block: Any, text_bytes: int) -> bool:
    return bool(block[KIND] == PROSE and block[SIZE] < text_bytes and not _ends_sentence(text, block[TEXT_TO]))


@njit(cache=True)
def _ends_sentence(text: Any, to: int) -> bool:
    if _ENDS[text[to - 1]]:
        return True
    if to < 3:
        return False
    for k in range(len(_WIDE_ENDS)):
        if text[to - 3] == _WIDE_ENDS[k, 0] and text[to - 2] == _WIDE_ENDS[k, 1] and text[to - 1] == _WIDE_ENDS[k, 2]:
            return True
    return False
