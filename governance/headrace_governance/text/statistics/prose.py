"""Text without its Markdown: what rules about prose measure, and where each line of it stands in the stored text.

Left out are heading marks, list signs and numbers, quote signs, pipes and rule lines of tables, thematic breaks, marks of emphasis and of
inline code, targets of links, and code blocks whole: code is not prose, and how much of a text it is stands in a statistic of its
own. Words stay, also those of table cells, anchors and inline code. A text that is not Markdown (`documents.format`) passes as it is.

Marks are those that our extraction writes (`html_blocks`, `formats/*`, trafilatura) and what authors of Markdown files use most; what
only resembles one stays: `#include`, `C#`, `2*3*4`, `|x|`, a fence that nothing closes, a year at the begin of a line. Extraction
does not escape: a paragraph that begins with "- " counts as a list item, and its hyphen is not counted.

One compiled pass over the bytes, linear whatever the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from headrace_governance.encoding.utf8 import buffers
from headrace_governance.text.statistics.inline_marks import run_length, without_inline_marks
from headrace_governance.text.text_format import HEADING, ITEM, MARKDOWN, ROW, TEXT

LINE_FROM, LINE_TO, LINE_KIND = range(3)
_MARKS = 24
"""List and quote signs before one line."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prose:
    """Texts without their markup.

    Attributes:
        texts: large_string.
        origins: for each byte of `texts`, its place in the stored text; empty if they were not asked for.
        firsts: int64[n + 1], the number of each text's first line in `lines`.
        lines: int64[lines, 3], for each line of `texts` where its stored line begins and ends (bytes of the stored text), and its kind.
        code: characters in code blocks, by text.
    """

    texts: pa.Array
    origins: npt.NDArray[np.int32]
    firsts: Ints
    lines: Ints
    code: Ints

    def one(self, row: int) -> tuple[str, npt.NDArray[np.int32], Ints]:
        """Text, origins and lines of one text."""
        _, places = buffers(self.texts)
        return self.texts[row].as_py(), self.origins[places[row] : places[row + 1]], self.lines[self.firsts[row] : self.firsts[row + 1]]


def prose_of(batch: pa.Table, *, origins: bool = False) -> Prose:
    """The prose of documents with columns `text` and `format`."""
    markdown = pc.fill_null(pc.equal(batch["format"], MARKDOWN), False).to_numpy()
    return without_markup(batch["text"].combine_chunks().cast(pa.large_string()), markdown, origins=origins)


def item_lines(prose: Prose) -> Ints:
    """Lines of each text whose list sign was taken away."""
    items = np.concatenate([[0], np.cumsum(prose.lines[:, LINE_KIND] == ITEM)])
    out: Ints = items[prose.firsts[1:]] - items[prose.firsts[:-1]]
    return out


def without_markup(texts: pa.Array, markdown: npt.NDArray[np.bool_], *, origins: bool = False) -> Prose:
    """The prose of a large_string array.

    Args:
        markdown: which of the texts are Markdown.
        origins: whether the place of every byte is wanted.
    """
    data, places = buffers(texts)
    size = int(places[-1] - places[0])
    most = int(np.count_nonzero(data[places[0] : places[-1]] == 0x0A)) + len(texts)
    out, out_places = np.empty(size, np.uint8), np.zeros(len(texts) + 1, np.int64)
    from_ = np.empty(size if origins else 0, np.int32)
    firsts, lines = np.zeros(len(texts) + 1, np.int64), np.empty((most, 3), np.int64)
    code = np.zeros(len(texts), np.int64)
    n = _prose(data, places, np.ascontiguousarray(markdown), out, out_places, from_, firsts, lines, code) if len(texts) else 0
    written = pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(out_places), pa.py_buffer(out))
    return Prose(written, from_[: int(out_places[-1])], firsts, lines[:n], code)


@njit(cache=True)
def _prose(data: Any, places: Any, markdown: Any, out: Any, out_places: Any, origins: Any, firsts: Any, lines: Any, code: Any) -> int:
    pos = n = 0
    for row in range(len(places) - 1):
        first, last = places[row], places[row + 1]
        if markdown[row]:
            pos, n, code[row] = _markdown(data, first, last, out, pos, origins, lines, n)
        else:
            start = first
            for at in range(first, last):
                out[pos] = data[at]
                if len(origins):
                    origins[pos] = at - first
                pos += 1
                if data[at] == 0x0A:
                    lines[n, 0], lines[n, 1], lines[n, 2] = start - first, at - first, TEXT
                    n += 1
                    start = at + 1
            lines[n, 0], lines[n, 1], lines[n, 2] = start - first, last - first, TEXT
            n += 1
        out_places[row + 1], firsts[row + 1] = pos, n
    return n


@njit(cache=True)
def _markdown(data: Any, first: int, last: int, out: Any, pos: int, origins: Any, lines: Any, n: int) -> tuple[int, int, int]:
    """Write one text; returns the ends of `out` and `lines`, and the characters of its code blocks."""
    closing, later, longest = _closings(data, first, last)
    dead = np.zeros(longest + 1, np.bool_)
    begin, begin_line = pos, n
    text_end, text_line = pos, n  # behind the last line that is not blank
    left_out = False  # lines were, since then
    fence = code = i = 0
    start = first
    while start <= last:
        end = start
        while end < last and data[end] != 0x0A:
            end += 1
        s, e = start, end
        start = end + 1
        i += 1
        if fence:
            if closing[i - 1] >= fence:
                fence = 0
            else:
                for at in range(s, min(e + 1, last)):
                    code += data[at] & 0xC0 != 0x80
            left_out = True
            continue
        begin_text, item = _signs(data, s, e)
        at = begin_text
        while at < e and (data[at] == 0x20 or data[at] == 0x09):
            at += 1
        run = run_length(data, at, e, 0x60)
        if run >= 3 and later[i] >= run and _none_after(data, at + run, e, 0x60):
            fence = run
            left_out = True
            continue
        kind = ITEM if item else TEXT
        is_row = False
        if at < e:
            if _is_break(data, at, e):
                left_out = True
                continue
            if data[at] == 0x7C:
                close = e
                while close > at and (data[close - 1] == 0x20 or data[close - 1] == 0x09):
                    close -= 1
                if _is_rule(data, at, close):
                    left_out = True
                    continue
                is_row = close > at + 1 and data[close - 1] == 0x7C and data[at + 1] == 0x20
            if is_row:
                kind = ROW
            else:
                level = run_length(data, at, e, 0x23)
                if 1 <= level <= 6 and at + level < e and data[at + level] == 0x20:
                    kind = HEADING
                    begin_text = at + level + 1
        line_begin = pos
        if n > begin_line:
            out[pos] = 0x0A
            if len(origins):
                origins[pos] = s - 1 - first
            pos += 1
        text_from = pos
        special = False
        if is_row:
            pos, special = _cells(data, at + 1, close - 1, first, out, pos, origins)
        else:
            for k in range(begin_text, e):
                c = data[k]
                out[pos] = c
                if len(origins):
                    origins[pos] = k - first
                pos += 1
                special |= c == 0x60 or c == 0x2A or c == 0x5D or c == 0x5C
        if special:
            pos = without_inline_marks(out, text_from, pos, origins, dead)
        blank = True
        for k in range(text_from, pos):
            if out[k] != 0x20 and out[k] != 0x09:
                blank = False
                break
        if blank and (kind != TEXT or (left_out and text_end + 1 < pos) or (left_out and n == begin_line)):
            # An empty cell row or heading is not a line, nor is a second blank line where something between them was left out.
            left_out |= kind != TEXT
            pos = line_begin
            continue
        lines[n, 0], lines[n, 1], lines[n, 2] = s - first, e - first, kind
        n += 1
        if not blank:
            text_end, text_line = pos, n
            left_out = False
    if left_out:
        pos, n = text_end, text_line
    if n == begin_line:  # a text has one line at least
        pos = begin
        lines[n, 0], lines[n, 1], lines[n, 2] = 0, 0, TEXT
        n += 1
    return pos, n, code


@njit(cache=True)
def _closings(data: Any, first: int, last: int) -> tuple[Any, Any, int]:
    """Back-ticks of each line that may close a code block, the most of any later one, and the longest line."""
    n = 1
    for at in range(first, last):
        n += data[at] == 0x0A
    closing, later = np.zeros(n, np.int32), np.zeros(n + 1, np.int32)
    longest = i = 0
    start = first
    while start <= last:
        end = start
        while end < last and data[end] != 0x0A:
            end += 1
        longest = max(longest, end - start)
        at = start
        while at < end and (data[at] == 0x20 or data[at] == 0x09 or data[at] == 0x3E):
            at += 1
        run = run_length(data, at, end, 0x60)
        if run >= 3:
            at += run
            while at < end and (data[at] == 0x20 or data[at] == 0x09):
                at += 1
            if at == end:
                closing[i] = run
        i += 1
        start = end + 1
    for i in range(n - 1, -1, -1):
        later[i] = max(later[i + 1], closing[i])
    return closing, later, longest


@njit(cache=True)
def _none_after(data: Any, at: int, end: int, byte: int) -> bool:
    for k in range(at, end):  # noqa: SIM110 - compiled
        if data[k] == byte:
            return False
    return True


@njit(cache=True)
def _signs(data: Any, s: int, e: int) -> tuple[int, bool]:
    """The place behind the list and quote signs of a line, and whether one of a list was among them; the begin if there are none."""
    at = s
    item = False
    for _ in range(_MARKS):
        k = at
        while k < e and (data[k] == 0x20 or data[k] == 0x09):
            k += 1
        if k == e:
            break
        c = data[k]
        behind = 0
        if c == 0x3E and (k + 1 == e or data[k + 1] == 0x20 or data[k + 1] == 0x3E):
            behind = k + 1
        elif c == 0x2D or c == 0x2A or c == 0x2B:
            if k + 1 < e and data[k + 1] == 0x20 and not _is_break(data, k, e):
                behind = k + 1
        elif 0x30 <= c <= 0x39:
            digits = k
            while digits < e and 0x30 <= data[digits] <= 0x39:
                digits += 1
            # Not more than 3 digits: "1984. It was" begins with a year.
            if digits - k <= 3 and digits + 1 < e and (data[digits] == 0x2E or data[digits] == 0x29) and data[digits + 1] == 0x20:
                behind = digits + 1
        if not behind:
            break
        if c != 0x3E:
            rest = behind
            while rest < e and (data[rest] == 0x20 or data[rest] == 0x09):
                rest += 1
            if rest == e:  # a sign of nothing is content
                break
            item = True
        at = behind
    if at > s:
        while at < e and (data[at] == 0x20 or data[at] == 0x09):
            at += 1
    return at, item


@njit(cache=True)
def _is_break(data: Any, at: int, end: int) -> bool:
    """Whether a line is nothing but three or more of one of `-*_=`, with spaces between or not."""
    while at < end and (data[at] == 0x20 or data[at] == 0x09):
        at += 1
    if at == end:
        return False
    sign = data[at]
    if sign != 0x2D and sign != 0x2A and sign != 0x5F and sign != 0x3D:
        return False
    count = 0
    for k in range(at, end):
        if data[k] == sign:
            count += 1
        elif data[k] != 0x20 and data[k] != 0x09:
            return False
    return count >= 3


@njit(cache=True)
def _is_rule(data: Any, at: int, end: int) -> bool:
    """Whether this is the line below a table's head."""
    dashes = 0
    for k in range(at, end):
        c = data[k]
        if c == 0x2D:
            dashes += 1
        elif c == 0x7C:
            if 0 < dashes < 3:
                return False
            if k + 1 < end:
                dashes = 0
        elif c != 0x20 and c != 0x3A:
            return False
    return dashes >= 3


@njit(cache=True)
def _cells(data: Any, at: int, end: int, first: int, out: Any, pos: int, origins: Any) -> tuple[int, bool]:
    """Write the cells of a table's row with a space between; returns the place behind, and whether they hold inline marks."""
    begin = pos
    space = special = False
    k = at
    while k < end:
        c = data[k]
        if c == 0x5C and k + 1 < end and data[k + 1] == 0x7C:
            k += 1
            c = data[k]
        elif c == 0x20 or c == 0x09 or c == 0x7C:
            space = pos > begin
            k += 1
            continue
        if space:
            out[pos] = 0x20
            if len(origins):
                origins[pos] = k - 1 - first
            pos += 1
            space = False
        out[pos] = c
        if len(origins):
            origins[pos] = k - first
        pos += 1
        special |= c == 0x60 or c == 0x2A or c == 0x5D or c == 0x5C
        k += 1
    return pos, special
