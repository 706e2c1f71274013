"""The texts of cases: read from `documents` for the slices that are asked about, each slice once."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from headrace_lake.fingerprint import digest_bytes
from headrace_lake.lake import Lake
from headrace_lake.slices import Slice

TextKey = tuple[Slice, str]
"""A document: its slice and uid."""


def read_texts(lake: Lake, keys: Iterable[TextKey]) -> dict[TextKey, str]:
    """The texts that the lake holds of these documents; those it does not hold are left out. Memory: one file of a slice at a time."""
    wanted: dict[Slice, set[str]] = {}
    for slice_, uid in keys:
        wanted.setdefault(slice_, set()).add(uid)
    found: dict[TextKey, str] = {}
    for slice_ in sorted(wanted, key=str):
        uids = pa.array(sorted(wanted[slice_]), pa.string())
        where = f"source = '{slice_.source}' and slice = '{slice_.interval}'"
        for rows in lake.stream("documents", columns=["uid", "text"], where=where):
            mine = rows.filter(pc.is_in(rows["uid"], value_set=uids))
            found |= {(slice_, uid): text for uid, text in zip(mine["uid"].to_pylist(), mine["text"].to_pylist(), strict=True)}
    return found


def digest_of_text(text: str) -> str:
    """Digest by which a case knows its texts again."""
    return digest_bytes(text.encode("utf-8", errors="surrogatepass"))


def text_digests(lake: Lake, keys: Iterable[TextKey]) -> dict[TextKey, str]:
    """Digests of the texts that the lake holds of these documents."""
    return {key: digest_of_text(text) for key, text in read_texts(lake, keys).items()}
