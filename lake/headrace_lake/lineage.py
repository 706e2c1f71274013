"""Lineage, both ways, from receipts and artifacts alone.

`up`: what a checkpoint, release, document or address was made from. `down`: what a document, address, slice or version
of the code went into. Nodes are receipts and artifacts; edges are the `producer` of a receipt's inputs and the
`parents` of an artifact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.slices import Slice


@dataclass(frozen=True)
class Node:
    """A receipt, an artifact or a document in a lineage."""

    kind: str
    name: str
    fingerprint: str
    detail: str = ""
    parents: tuple[str, ...] = ()
    code: str = ""


class _Graph:
    def __init__(self, lake: Lake) -> None:
        self.nodes: dict[str, Node] = {}
        self.slices: dict[str, list[str]] = {}
        for r in lake.receipts():
            parents = tuple(i.producer for i in r.inputs if i.producer)
            c = r.counts
            detail = f"read {c.read} = kept {c.kept} + dropped {c.dropped} + failed {c.failed}; code {r.code[:12]}; run {r.run_id}"
            self.nodes[r.fingerprint] = Node(f"stage {r.stage}", str(r.slice_), r.fingerprint, detail, parents, r.code)
            self.slices.setdefault(str(r.slice_), []).append(r.fingerprint)
        for a in lake.artifacts():
            detail = a.path or a.payload.get("summary", "")
            self.nodes[a.fingerprint] = Node(a.kind, a.name, a.fingerprint, str(detail), a.parents)
        self.children: dict[str, list[str]] = {}
        for n in self.nodes.values():
            for p in n.parents:
                self.children.setdefault(p, []).append(n.fingerprint)

    def walk(self, start: Iterable[str], *, up: bool) -> list[Node]:
        seen: dict[str, None] = {}
        waiting = list(start)
        while waiting:
            fingerprint = waiting.pop(0)
            if fingerprint in seen or fingerprint not in self.nodes:
                continue
            seen[fingerprint] = None
            waiting += self.nodes[fingerprint].parents if up else self.children.get(fingerprint, [])
        return [self.nodes[f] for f in seen]

    def named(self, what: str) -> list[str]:
        """Fingerprints of nodes that a name, a fingerprint (or its start), or a code digest means."""
        hits = [f for f, n in self.nodes.items() if n.name == what and not n.kind.startswith("stage ")]
        if not hits and len(what) >= 8:
            hits = [f for f, n in self.nodes.items() if f.startswith(what) or (n.code and n.code.startswith(what))]
        return hits


def up(lake: Lake, what: str) -> list[Node]:
    """Everything `what` was made from, itself first.

    Raises:
        InputError: nothing of that name is known.
    """
    graph = _Graph(lake)
    documents = _documents(lake, what)
    start = graph.named(what) or [f for d in documents for f in graph.slices.get(d.name, [])]
    if not start and what in graph.slices:
        start = graph.slices[what]
    if not start and not documents:
        raise InputError(f"'{what}' is not known to the lake", "give an artifact's name or fingerprint, a document's uid, or a URL")
    return [*documents, *graph.walk(start, up=True)]


def down(lake: Lake, what: str) -> list[Node]:
    """Everything `what` went into.

    A document counts as part of everything made from its slice's receipts from the capture on; a mix that a licence
    gate or a verdict kept it out of is named by the exclusion in the node's detail.

    Raises:
        InputError: nothing of that name is known.
    """
    graph = _Graph(lake)
    documents = _documents(lake, what)
    start = graph.named(what)
    if not start and what in graph.slices:
        start = graph.slices[what]
    start += [f for d in documents for f in graph.slices.get(d.name, [])]
    if not start and not documents:
        raise InputError(
            f"'{what}' is not known to the lake", "give a URL, a document's uid, SOURCE/INTERVAL, a code digest or an artifact's name"
        )
    return [*documents, *graph.walk(start, up=False)]


def _documents(lake: Lake, what: str) -> list[Node]:
    """The rows that a uid or URL means, wherever they are, with what became of them."""
    is_url = "://" in what
    is_uid = len(what) == 32 and all(c in "0123456789abcdef" for c in what)
    if not (is_url or is_uid):
        return []
    column = "url" if is_url else "uid"
    rows = lake.read(
        "captures",
        columns=["uid", "url", "source", "slice", "licence", "licence_basis", "warc_path"],
        where=f"{column} = '{_quoted(what)}'",
    ).to_pylist()
    nodes = []
    for r in rows:
        slice_ = Slice(r["source"], r["slice"])
        fate = "; ".join(
            f"dropped by {e['stage']}: {e['reason']}" for e in _rows_of(lake, "exclusions", r["uid"], slice_, ["stage", "reason"])
        )
        passports = _rows_of(lake, "passports", r["uid"], slice_, ["part", "token_start", "token_count"])
        tokens = "; ".join(
            f"tokens {p['token_start']}..{p['token_start'] + p['token_count']} of token shard {slice_} part {p['part']}" for p in passports
        )
        detail = "; ".join(x for x in (r["url"], f"licence {r['licence']} ({r['licence_basis']})", tokens, fate) if x)
        nodes.append(Node("document", str(slice_), r["uid"], detail))
    return nodes


def _rows_of(lake: Lake, table: str, uid: str, slice_: Slice, columns: list[str]) -> list[dict[str, Any]]:
    rows = lake.read(table, slice_, columns=["uid", *columns])
    return [r for r in rows.to_pylist() if r["uid"] == uid]


def _quoted(text: str) -> str:
    return text.replace("'", "''")
