"""Lineage of slices, artifacts and versions of the code, both ways, from receipts and artifacts alone.

`up`: what a checkpoint, a release or a slice was made from. `down`: what a slice, an artifact or a version of the code went into. Nodes are
receipts and artifacts; edges are the `producer` of a receipt's inputs and the `parents` of an artifact. A slice went into what read any
of it: which documents of it did is told by `headrace_lake.documents` (to the tokens) and `headrace_jobs.lineage` (from there on).
"""

from __future__ import annotations

from collections.abc import Iterable

from headrace_lake.documents import SHORTEST
from headrace_lake.engine.stage_code import StageCodes
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.nodes import Node


class Graph:
    """The receipts and artifacts of a lake.

    Attributes:
        nodes: by fingerprint.
        slices: `SOURCE/INTERVAL` → fingerprints of its receipts, oldest first.
        children: fingerprint → fingerprints of what was made from it.
        codes: versions of the code that were proven equal count as one.
    """

    def __init__(self, lake: Lake) -> None:
        self.nodes: dict[str, Node] = {}
        self.slices: dict[str, list[str]] = {}
        self.codes = StageCodes.of(lake)
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
        """All nodes above or below some, these first, breadth first."""
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
        """Fingerprints of the nodes that an artifact's name, SOURCE/INTERVAL, a fingerprint or code digest (or its beginning) means."""
        hits = [f for f, n in self.nodes.items() if n.name == what and not n.kind.startswith("stage ")] or self.slices.get(what, [])
        if not hits and len(what) >= SHORTEST:
            codes = {n.code for n in self.nodes.values() if n.code.startswith(what)}
            equal = set().union(*(self.codes.equal_to(code) for code in codes if code))
            hits = [f for f, n in self.nodes.items() if f.startswith(what) or n.code in equal]
        return hits


def up(lake: Lake, what: str) -> list[Node]:
    """Everything that an artifact, a slice or a receipt was made from, itself first.

    Raises:
        InputError: nothing of that name is known.
    """
    graph = Graph(lake)
    return graph.walk(_known(lake, graph.named(what), what), up=True)


def down(lake: Lake, what: str) -> list[Node]:
    """Everything that an artifact, a slice, a receipt or a version of the code went into, itself first.

    Raises:
        InputError: nothing of that name is known.
    """
    graph = Graph(lake)
    return graph.walk(_known(lake, graph.named(what), what), up=False)


def _known(lake: Lake, found: list[str], what: str) -> list[str]:
    if not found:
        raise unknown(lake, what)
    return found


def unknown(lake: Lake, what: str) -> InputError:
    """The error of a name that is nothing in this lake; says which lake was searched."""
    return InputError(
        f"'{what}' is not known to the lake at {lake.storage.root}",
        f"give a document's uid ({SHORTEST} digits or more) or address, SOURCE/INTERVAL, an artifact's name, a fingerprint or code digest; "
        "'headrace table show documents' lists documents, '--settings' names another lake",
    )
