"""Masking: a text with its PII replaced by what its kind is written as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa


def mask_text(text: bytes, kinds: Sequence[str], starts: Sequence[int], ends: Sequence[int], masks: Mapping[str, str]) -> bytes:
    """The UTF-8 text with every span of a kind in `masks` replaced; others stay."""
    parts, at = [], 0
    for kind, start, end in zip(kinds, starts, ends, strict=True):
        if kind in masks:
            parts += [text[at:start], masks[kind].encode("utf-8")]
            at = end
    return b"".join([*parts, text[at:]])


def mask_column(
    texts: pa.ChunkedArray, kinds: pa.ChunkedArray, starts: pa.ChunkedArray, ends: pa.ChunkedArray, masks: Mapping[str, str]
) -> pa.ChunkedArray:
    """A column of texts with their spans masked; most texts have none and are passed through."""
    touched = [i for i, found in enumerate(kinds.to_pylist()) if found]
    if not touched:
        return texts
    out: list[str] = texts.to_pylist()
    for i in touched:
        out[i] = mask_text(out[i].encode("utf-8"), kinds[i].as_py(), starts[i].as_py(), ends[i].as_py(), masks).decode("utf-8")
    return pa.chunked_array([pa.array(out, pa.large_string())])
