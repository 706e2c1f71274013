"""What decontamination found: the clean and the contaminated part of every evaluation set, by source, down to the item.

An item is *contaminated* if one of its questions, answers or documents stands in a document that is trained on; *context* if only
its context does; *removed* if it was found, but in no document that is trained on; *unsearchable* if it is too short or all
template; else *clean*. A benchmark's score is then shown for the clean and for the contaminated part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace_governance.audit.reports.html import page, render
from headrace_governance.decontamination.index import Index
from headrace_governance.decontamination.rules import DecontaminationParams
from headrace_lake.lake import Lake
from headrace_lake.slices import Slice

CONTAMINATED, CONTEXT, REMOVED, UNSEARCHABLE, CLEAN = STATES = ("contaminated", "context", "removed", "unsearchable", "clean")
_SHOWN = 20


@dataclass
class Item:
    """One item: its state, and (slice/uid, field, trained on) of every document that it was found in."""

    set: str
    item: str
    state: str = CLEAN
    found: list[tuple[str, str, bool]] = field(default_factory=list)


@dataclass
class Report:
    """The whole report.

    Attributes:
        sets: a row a set: items by state.
        sources: a row a set and source: documents read, dropped and marked, items found.
    """

    sets: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    items: list[Item]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        items = [{"set": i.set, "item": i.item, "state": i.state, "found": [list(f) for f in i.found]} for i in self.items]
        return {"sets": self.sets, "sources": self.sources, "items": items}


def report(lake: Lake, params: DecontaminationParams, *, set_: str = "", slice_: Slice | None = None) -> Report:
    """Read the report from `verdict_contamination`, `evaluation_items` and `admitted`."""
    texts = lake.read("evaluation_items", columns=["set", "uid", "item", "field", "text"])
    texts = texts.sort_by([("set", "ascending"), ("uid", "ascending")])
    able = Index(texts["text"].combine_chunks(), params).searched.tolist() if texts.num_rows else []
    items: dict[tuple[str, str], Item] = {}
    by_uid: dict[str, tuple[Item, str]] = {}
    searchable: set[tuple[str, str]] = set()
    for row, can in zip(texts.drop_columns(["text"]).to_pylist(), able, strict=True):
        key = (row["set"], row["item"])
        by_uid[row["uid"]] = (items.setdefault(key, Item(*key)), row["field"])
        if can:
            searchable.add(key)
    sources: dict[tuple[str, str], dict[str, Any]] = {}
    read = _documents_read(lake, slice_)
    for row in _found(lake, slice_):
        for name in dict.fromkeys(by_uid[u][0].set for u in row["items"] if u in by_uid):
            zero = {"set": name, "source": row["source"], "documents": read[row["source"]], "dropped": 0, "marked": 0, "items": set()}
            mine = sources.setdefault((name, row["source"]), zero)
            mine["marked" if row["keep"] else "dropped"] += 1
            mine["items"] |= {by_uid[u][0].item for u in row["items"] if u in by_uid and by_uid[u][0].set == name}
        for uid in row["items"]:
            if uid in by_uid:
                item, which = by_uid[uid]
                item.found.append((f"{row['source']}/{row['slice']}/{row['uid']}", which, row["trained"]))
    for key, item in items.items():
        item.state = _state(item, key in searchable)
    shown = [i for _, i in sorted(items.items()) if not set_ or i.set == set_]
    rows = [{**r, "items": len(r["items"])} for _, r in sorted(sources.items()) if not set_ or r["set"] == set_]
    return Report(_by_set(shown), rows, shown)


def _state(item: Item, searchable: bool) -> str:
    trained = {which for _, which, trained in item.found if trained}
    if trained - {"context"}:
        return CONTAMINATED
    if trained:
        return CONTEXT
    if item.found:
        return REMOVED
    return CLEAN if searchable else UNSEARCHABLE


def _by_set(items: list[Item]) -> list[dict[str, Any]]:
    sets: dict[str, dict[str, Any]] = {}
    for item in items:
        row = sets.setdefault(item.set, {"set": item.set, "items": 0, **dict.fromkeys(STATES, 0)})
        row["items"] += 1
        row[item.state] += 1
    return list(sets.values())


def _documents_read(lake: Lake, slice_: Slice | None) -> dict[str, int]:
    counted = lake.read("verdict_contamination", slice_, columns=["source"]).group_by("source").aggregate([([], "count_all")])
    return dict(zip(counted["source"].to_pylist(), counted["count_all"].to_pylist(), strict=True))


def _found(lake: Lake, slice_: Slice | None) -> list[dict[str, Any]]:
    """Verdicts with a hit, and whether the document is trained on: admitted, or kept where `select` has not run yet."""
    columns = ["source", "slice", "uid", "keep", "items"]
    rows = lake.read("verdict_contamination", slice_, columns=columns, where="item is not null")
    rows = rows.sort_by([(c, "ascending") for c in ("source", "slice", "uid")])
    trained: dict[tuple[str, str], set[str] | None] = {}
    for home in sorted({(r["source"], r["slice"]) for r in rows.select(["source", "slice"]).to_pylist()}):
        admitted = lake.read("admitted", Slice(*home), columns=["uid"])
        ran = "select" in lake.current_receipts(Slice(*home))
        trained[home] = set(admitted["uid"].to_pylist()) if ran else None
    out = []
    for row in rows.to_pylist():
        known = trained[row["source"], row["slice"]]
        out.append({**row, "trained": row["keep"] if known is None else row["uid"] in known})
    return out


def as_html(found: Report) -> str:
    """A page that stands alone; everything that comes from data is escaped."""
    seen = [i for i in found.items if i.found]
    places = [
        {"set": i.set, "item": i.item, "state": i.state, "found in": "; ".join(f"{d} ({w})" for d, w, _ in i.found[:_SHOWN])} for i in seen
    ]
    parts = [("Evaluation sets", found.sets), ("By source", found.sources), (f"{len(seen)} items found", places)]
    return page("Contamination of evaluation sets", render("headrace_governance.decontamination/report.html.j2", parts=parts))
