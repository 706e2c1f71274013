"""Texts as they go into shards: PII replaced by what its kind is written as, and lines left out that a verdict cuts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

Cuts = tuple[pa.ChunkedArray, pa.ChunkedArray]
"""Starts and ends of the spans that one verdict leaves out of each text."""


def mask_text(
    text: bytes,
    kinds: Sequence[str],
    starts: Sequence[int],
    ends: Sequence[int],
    masks: Mapping[str, str],
    cuts: Iterable[tuple[int, int]] = (),
) -> bytes:
    """The UTF-8 text with every span of a kind in `masks` replaced; others stay.

    Args:
        cuts: spans that are left out; whole lines with their line feed, whole paragraphs with the blank line after them. PII that
            lies in one is left out with it; of PII that reaches beyond one its mask stays.
    """
    spans = [(start, end, masks[kind].encode("utf-8")) for kind, start, end in zip(kinds, starts, ends, strict=True) if kind in masks]
    spans += [(start, _with_line_feed(text, start, end), b"") for start, end in cuts]
    parts, at = [], 0
    for start, end, mask in sorted(spans, key=lambda s: (s[0], -s[1])):
        if end > at:
            parts += [text[at:start], mask] if start >= at else [mask]
            at = end
    return b"".join([*parts, text[at:]])


def _with_line_feed(text: bytes, start: int, end: int) -> int:
    """Where a cut ends: after the line feed of a whole line, and after the blank lines behind it if one stands before it."""
    if start and text[start - 1 : start] != b"\n":
        return end
    paragraph = start < 2 or text[start - 2 : start] == b"\n\n"
    while text[end : end + 1] == b"\n":
        end += 1
        if not paragraph:
            break
    return end


def mask_column(
    texts: pa.ChunkedArray,
    pii: tuple[pa.ChunkedArray, pa.ChunkedArray, pa.ChunkedArray] | None,
    masks: Mapping[str, str],
    cuts: Sequence[Cuts] = (),
) -> pa.ChunkedArray:
    """A column of texts with their spans masked and cut; most texts have none and are passed through.

    Args:
        pii: kinds, starts and ends; None where nothing is masked.
    """
    lists = [*([pii[0]] if pii else []), *(starts for starts, _ in cuts)]
    touched = sorted({i for column in lists for i, n in enumerate(pc.list_value_length(column).to_pylist()) if n})
    if not touched:
        return texts
    out: list[str] = texts.to_pylist()
    for i in touched:
        kinds, starts, ends = (c[i].as_py() for c in pii) if pii else ((), (), ())
        spans = [span for s, e in cuts for span in zip(s[i].as_py(), e[i].as_py(), strict=True)]
        out[i] = mask_text(out[i].encode("utf-8"), kinds, starts, ends, masks, spans).decode("utf-8")
    return pa.chunked_array([pa.array(out, pa.large_string())])
