"""Stage `decontamination`: documents → `verdict_contamination`, each hit attributed to its evaluation item.

Reasons: `ngram_overlap` (enough of an item's n-grams are in the document), `ngram_coverage` (not so, but runs of words cover the
item: it was edited), `short_item` (an item shorter than an n-gram stands there as a whole). A hit of a field that is not in `drop`
is recorded and the document kept.

The items come through `prepare`, so a set that is registered, changed or taken away makes stale the slices that it is looked for
in, and no others; a verdict that comes out as before leaves `select` and what follows adopted. Without items no text is searched.
Speed: above 200 MB/s a core when nothing is found (benchmarks/text/bench_decontamination.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.decontamination.index import Hits, Index
from headrace_governance.decontamination.rules import DecontaminationParams
from headrace_lake.fingerprint import digest_bytes, digest_of
from headrace_lake.slices import Slice
from headrace_lake.stage import Inputs, PartWriter, Resources, SliceReader
from headrace_lake.verdict_stage import Verdicts, VerdictStage

ITEMS, COMMON = "items", "common"
COLUMNS = ["uid", "set", "language", "field", "text", "origin"]
_NULLABLE = ("set", "item", "overlap", "matched", "start", "end")


def looked_for(items: pa.Table, params: DecontaminationParams, languages: pa.Array) -> pa.Table:
    """The items that are looked for in a slice with documents in these languages, in a fixed order."""
    if params.sets:
        items = items.filter(pc.is_in(items["set"], value_set=pa.array(params.sets, pa.string())))
    wanted = pa.concat_arrays([pa.array(params.everywhere, pa.string()), languages.cast(pa.string())])
    items = items.filter(pc.is_in(items["language"], value_set=wanted))
    return items.sort_by([("set", "ascending"), ("uid", "ascending")]).combine_chunks()


class Decontamination(VerdictStage):
    """Documents → `verdict_contamination`."""

    name = "decontamination"
    output = "verdict_contamination"
    Params = DecontaminationParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=2 << 30)
    batch_rows = 1024

    params: DecontaminationParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"), {"verdict_language": ()})

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """The items to look for here, and the runs of words that are too common to start a match."""
        items = reader.read("evaluation_items", columns=COLUMNS)
        if items.num_rows:
            languages = reader.read("verdict_language", slice_, columns=["language"])["language"].unique()
            items = looked_for(items, self.params, languages)
        if not items.num_rows:
            return {ITEMS: items}
        common = reader.read("common_ngrams", columns=["key", "documents"])
        common = common.filter(pc.greater(common["documents"], self.params.max_documents)).select(["key"])
        return {ITEMS: items, COMMON: common.sort_by("key").combine_chunks()}

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._here = f"{part.source}/{part.slice}/"
        self._finder = Finder.of(shared[ITEMS], self.params, shared.get(COMMON)) if shared[ITEMS].num_rows else None

    def judge(self, batch: pa.Table) -> Verdicts:
        uids = batch["uid"].to_pylist()
        found = self._finder.verdicts(batch["text"], [self._here + u for u in uids]) if self._finder is not None else {}
        rows = [found.get(i, _CLEAN) for i in range(len(uids))]
        columns = {name: [r[name] for r in rows] for name in (*_NULLABLE, "items")}
        return Verdicts([r["reason"] for r in rows], [r["measured"] for r in rows], columns)


_CLEAN: dict[str, Any] = {"reason": None, "measured": None, "items": [], **dict.fromkeys(_NULLABLE)}


class Finder:
    """Verdicts on documents, from the index and the items' own columns."""

    _last: ClassVar[tuple[str, Finder] | None] = None

    def __init__(self, items: pa.Table, params: DecontaminationParams, common: pa.Table | None = None) -> None:
        keys = common["key"].to_numpy() if common is not None else None
        self.index = Index(items["text"].combine_chunks(), params, keys)
        self._uids, self._sets, self._fields, self._origins = (items[c].to_pylist() for c in ("uid", "set", "field", "origin"))
        self._params = params

    @classmethod
    def of(cls, items: pa.Table, params: DecontaminationParams, common: pa.Table | None) -> Finder:
        """The finder of these items; a process keeps its last one, since every part of a slice asks for the same."""
        tables = [items] if common is None else [items, common]
        key = digest_of([params.model_dump(mode="json"), *map(_content, tables)])
        if cls._last is None or cls._last[0] != key:
            cls._last = (key, cls(items, params, common))
        return cls._last[1]

    def verdicts(self, texts: pa.ChunkedArray, origins: list[str]) -> dict[int, dict[str, Any]]:
        """Document → its columns, for those with a hit.

        Args:
            origins: source/slice/uid of each document; one that is itself an item does not contaminate itself.
        """
        hits = self.index.find(texts)
        by_document: dict[int, list[int]] = {}
        for h, (document, item) in enumerate(zip(hits.document.tolist(), hits.item.tolist(), strict=True)):
            if self._origins[item] != origins[document]:
                by_document.setdefault(document, []).append(h)
        return {document: self._verdict(hits, found) for document, found in by_document.items()}

    def _verdict(self, hits: Hits, found: list[int]) -> dict[str, Any]:
        ranked = sorted(found, key=lambda h: self._rank(hits, h))
        best = ranked[0]
        item = int(hits.item[best])
        share, matched = self._overlap(hits, best)
        covered = int(hits.covered[best]) / int(self.index.units[item])
        drops = self._fields[item] in self._params.drop
        measured = {
            "set": self._sets[item],
            "item": self._uids[item],
            "field": self._fields[item],
            "overlap": round(share, 3),
            "coverage": round(covered, 3),
            "longest": int(hits.longest[best]),
            "items": len(ranked),
        }
        return {
            "reason": self._reason(item, share) if drops else None,
            "measured": measured,
            "set": self._sets[item],
            "item": self._uids[item],
            "overlap": share,
            "matched": matched,
            "start": int(hits.start[best]),
            "end": int(hits.end[best]),
            "items": [self._uids[int(hits.item[h])] for h in ranked],
        }

    def _rank(self, hits: Hits, h: int) -> tuple[Any, ...]:
        """What drops comes first, then the greater overlap, the longer item, and the order of the items."""
        item = int(hits.item[h])
        return self._fields[item] not in self._params.drop, -self._overlap(hits, h)[0], -int(hits.covered[h]), item

    def _overlap(self, hits: Hits, h: int) -> tuple[float, int]:
        n = int(self.index.gram_lengths[hits.item[h]])
        if n == 0:
            return 1.0, 1
        return int(hits.ngrams[h]) / (int(self.index.units[hits.item[h]]) - n + 1), int(hits.ngrams[h])

    def _reason(self, item: int, share: float) -> str:
        if self.index.gram_lengths[item] == 0:
            return "short_item"
        rule = self._params.characters if self.index.unspaced[item] else self._params.words
        return "ngram_overlap" if share >= rule.min_overlap else "ngram_coverage"


def _content(table: pa.Table) -> str:
    """Digest of a table's rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return digest_bytes(sink.getvalue())
