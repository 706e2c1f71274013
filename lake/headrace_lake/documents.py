"""One document in the lake: found by uid, the beginning of one, or address; and its way from the capture to its tokens.

What stands here is of the versions that are visible now. Cost: a search without a slice reads the uid column of the whole lake; the way of
a document reads the rows of its slice in seven tables.
"""

from __future__ import annotations

import re
from typing import Any

from headrace_lake.errors import InputError
from headrace_lake.identity import document_uid
from headrace_lake.lake import Lake
from headrace_lake.nodes import Node
from headrace_lake.slices import Slice

SHORTEST = 8
"""Digits of the beginning of a uid or fingerprint, at least: 4 billion values, so that a hit is hardly by chance."""
_HEX = re.compile(r"[0-9a-f]{8,32}")
_WHERE_ROWS_BEGIN = ("captures", "documents", "exclusions", "quarantine")
_AMBIGUOUS_SHOWN = 5


def find_documents(lake: Lake, what: str) -> list[tuple[str, Slice]]:
    """(uid, slice) of every document that a uid, the beginning of one, or an address means; sorted, empty where there is none.

    An address may mean several documents: of several sources, intervals and contents, and addresses of which nothing was stored.

    Raises:
        InputError: the beginning of several uids; names some.
    """
    if ":" in what:
        return _at_address(lake, what)
    if not _HEX.fullmatch(what):
        return []
    whole = len(what) == 32
    where = f"uid = '{what}'" if whole else f"uid like '{what}%'"
    found = {pair for table in _WHERE_ROWS_BEGIN for pair in _pairs(lake, table, where)}
    uids = sorted({uid for uid, _ in found})
    if len(uids) > 1:
        shown = ", ".join(uids[:_AMBIGUOUS_SHOWN]) + (" ..." if len(uids) > _AMBIGUOUS_SHOWN else "")
        raise InputError(f"{len(uids)} documents begin with '{what}': {shown}", "give more digits")
    return sorted(found)


def _at_address(lake: Lake, address: str) -> list[tuple[str, Slice]]:
    found = set(_pairs(lake, "captures", f"url = '{_quoted(address)}'"))
    for table in ("exclusions", "quarantine"):
        sources = sorted({s.source for s in lake.slices(table)})
        uids = ", ".join(f"'{document_uid(source, address)}'" for source in sources)
        if uids:
            found |= set(_pairs(lake, table, f"uid in ({uids})"))
    return sorted(found)


def _pairs(lake: Lake, table: str, where: str) -> list[tuple[str, Slice]]:
    rows = lake.read(table, columns=["uid", "source", "slice"], where=where).to_pylist()
    return [(r["uid"], Slice(r["source"], r["slice"])) for r in rows]


def way_of(lake: Lake, uid: str, slice_: Slice) -> list[Node]:
    """A document's way: capture, text, what dropped or quarantined it, admission, tokens; it ends where the document was dropped."""

    def rows(table: str, *columns: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = lake.read(table, slice_, columns=["uid", *columns], where=f"uid = '{uid}'").to_pylist()
        return found

    def node(kind: str, detail: str) -> Node:
        return Node(kind, str(slice_), uid, detail)

    way = []
    for r in rows("captures", "url", "fetched_at", "content_digest", "licence", "licence_basis", "warc_path", "warc_offset"):
        content = f"content {r['content_digest']}; {r['warc_path']} at byte {r['warc_offset']}"
        way.append(node("capture", f"{r['url']}; licence {r['licence']} ({r['licence_basis']}); {content}"))
    for r in rows("documents", "characters", "bytes"):
        way.append(node("document", f"{r['characters']:,} characters, {r['bytes']:,} bytes of stored text"))
    for r in rows("quarantine", "stage", "error"):
        way.append(node("quarantined", f"in {r['stage']}: {r['error']}"))
    # A verdict's row comes before that of `select`, which names the verdict it goes by.
    for r in sorted(rows("exclusions", "stage", "reason", "detail"), key=lambda r: (r["stage"] == "select", r["stage"])):
        way.append(node("dropped", f"by {r['stage']}: {r['reason']}" + (f" ({r['detail']})" if r["detail"] else "")))
    for r in rows("admitted", "language", "licence_class"):
        way.append(node("admitted", f"language {r['language']}, licence class {r['licence_class']}"))
    passports = rows("passports", "part", "ordinal", "token_start", "token_count")
    shards = (
        {s["part"]: s["bin_path"] for s in lake.read("token_shards", slice_, columns=["part", "bin_path"]).to_pylist()} if passports else {}
    )
    for r in passports:
        end = r["token_start"] + r["token_count"]
        place = f"tokens {r['token_start']:,}..{end:,} of part {r['part']} ({shards.get(r['part'], 'no shard')})"
        way.append(node("tokens", f"{place}, document {r['ordinal']:,} there"))
    return way


def _quoted(text: str) -> str:
    return text.replace("'", "''")
