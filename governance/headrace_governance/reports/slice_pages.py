"""Pages of one slice: its stages with their receipts, one receipt, and the documents that a rule dropped.

A receipt names everything that its figures were made of, so these pages compute nothing: they show counts of receipts and rows of
`exclusions`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace_governance.documents import measured_line
from headrace_governance.reports.charts import bars, short
from headrace_governance.reports.foreign import visible
from headrace_governance.reports.html import Child, Element, cell, el, facts, prose, table, tag, tiles, when
from headrace_governance.reports.links import Links
from headrace_lake.receipts import ALARM_FROM, ALARM_SHARE, Receipt
from headrace_lake.slices import Slice

PAGE = 50
"""Rows on a page of a long list."""
_SHOWN_REASONS = 15
_SHOWN_FILES = 100
_LONG, _LONGEST = 300, 20_000
"""Characters of a parameter: what is shown at once, and what is shown at all."""
_MIXED = "select"
"""Its reasons are those of other stages, told once more."""


# -- a list by pages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """Which part of a list a page shows: `first` to `last`, exclusive."""

    page: int
    pages: int
    first: int
    last: int


def cut(rows: int, page: int, size: int = PAGE) -> Cut:
    """The part of a list of so many rows; a page that is not there becomes the nearest one."""
    pages = max(1, -(-rows // size))
    page = min(max(1, page), pages)
    return Cut(page, pages, (page - 1) * size, min(rows, page * size))


def pager(at: Cut, rows: int, before: str, after: str) -> Element | None:
    """Where a list goes on; nothing where it has one page."""
    if at.pages == 1:
        return None
    return el(
        "div",
        el("a", "← previous", href=before) if at.page > 1 else None,
        f"{at.first + 1:,} to {at.last:,} of {rows:,}",
        el("a", "next →", href=after) if at.page < at.pages else None,
        class_="pager",
    )


# -- a slice --------------------------------------------------------------------------------------------------------------


def slice_body(slice_: Slice, history: Sequence[Receipt], tokens: Mapping[str, int], links: Links) -> list[Child]:
    """The sections of a slice's page.

    Args:
        history: the slice's receipts, oldest first.
        tokens: `documents` and `tokens` of its shards.
    """
    newest: dict[str, Receipt] = {}
    for r in history:
        newest.pop(r.stage, None)  # so that the stages stand in the order of their last commits
        newest[r.stage] = r
    now = list(newest.values())
    counts = {r.stage: r.counts for r in now}
    whole = [
        (stage, what, attribute)
        for stage, what, attribute in (
            ("crawl", "captures", "kept"),
            ("import", "captures", "kept"),
            ("extract", "documents with text", "kept"),
            ("select", "admitted", "kept"),
        )
        if stage in counts
    ]
    figures: list[tuple[Child, Child]] = [(getattr(counts[stage], attribute), what) for stage, what, attribute in whole]
    figures.append((tokens.get("tokens", 0), "tokens"))
    figures.append((sum(r.counts.failed for r in now), "rows failed"))
    failed = sum(e.success is False for r in now for e in r.expectations)
    judged = sum(e.success is not None for r in now for e in r.expectations)
    docs = el("a", "data docs", href=links.docs(f"slices/{slice_.source}/{slice_.interval}.html"))
    figures.append((failed, [f"of {judged:,} expectations failed: ", docs] if judged else "expectations failed"))
    return [tiles(*figures), _stages(slice_, history, now, links), _reasons(slice_, now, links), _earlier(history, now, links)]


def _stages(slice_: Slice, history: Sequence[Receipt], now: Sequence[Receipt], links: Links) -> Element:
    rows: list[Sequence[Child]] = []
    for r in now:
        c = r.counts
        rows.append(
            [
                el("a", r.stage, href=links.receipt(r)),
                *(c.read, c.kept, _dropped(r, links), c.failed or ""),
                cell(f"{c.kept / c.read:.1%}" if c.read else "", c.kept / max(1, c.read), class_="n"),
                _expectations(r),
                cell(seconds(r), (r.finished_at - r.started_at).total_seconds(), class_="n"),
                when(r.finished_at, seconds=True),
            ]
        )
    heads = [("stage", False), ("read", True), ("kept", True), ("dropped", True), ("failed", True), ("left", True)]
    heads += [("expectations", False), ("took", True), ("finished (UTC)", False)]
    why = (
        "The receipts that are visible now, in the order of their commits. Stages that ran in one pass began together, "
        "so each one's time holds that of those before it."
    )
    return el("section", el("h2", "Stages"), prose(why), table(heads, rows, name="stages", find=False))


def _dropped(r: Receipt, links: Links) -> Child:
    if not r.counts.dropped:
        return 0
    return cell(el("a", r.counts.dropped, href=links.drops(r.slice_, r.stage)), r.counts.dropped, class_="n")


def _expectations(r: Receipt) -> Child:
    judged = [e for e in r.expectations if e.success is not None]
    failed = [e for e in judged if e.success is False]
    if failed:
        return tag("bad" if any(e.severity == "error" for e in failed) else "warn", f"{len(failed)} of {len(judged)} failed")
    return tag("good", f"{len(judged)} passed") if judged else ""


def _reasons(slice_: Slice, now: Sequence[Receipt], links: Links) -> Element:
    found = [(r, reason, n) for r in now if r.stage != _MIXED for reason, n in r.counts.reasons.items()]
    found.sort(key=lambda f: (-f[2], f[0].stage, f[1]))
    rows: list[Sequence[Child]] = []
    for r, reason, n in found[:_SHOWN_REASONS]:
        share = n / max(1, r.counts.read)
        alarm = r.counts.read >= ALARM_FROM and share > ALARM_SHARE
        rows.append(
            [
                r.stage,
                el("a", reason, href=links.drops(slice_, r.stage, reason)),
                n,
                cell(f"{share:.1%}", share, class_="n"),
                tag("warn", f"over {ALARM_SHARE:.0%}") if alarm else "",
            ]
        )
    heads = [("stage", False), ("rule", False), ("documents", True), ("of what it read", True), ("", False)]
    more = f" The {_SHOWN_REASONS} rules that took most of {len(found)}." if len(found) > _SHOWN_REASONS else ""
    none = "No rule dropped anything of this slice."
    why = f"What each rule took; a document may be dropped by several.{more}"
    return el("section", el("h2", "Dropped, by rule"), prose(why), table(heads, rows, name="rules", find=False, none=none))


def _earlier(history: Sequence[Receipt], now: Sequence[Receipt], links: Links) -> Element | None:
    visible_now = {(r.stage, r.run_id) for r in now}
    old = [r for r in reversed(history) if (r.stage, r.run_id) not in visible_now]
    if not old:
        return None
    rows: list[Sequence[Child]] = [
        [
            el("a", r.stage, href=links.receipt(r)),
            *(r.counts.read, r.counts.kept, r.counts.dropped, el("code", r.fingerprint[:16]), when(r.finished_at, seconds=True)),
        ]
        for r in old[:PAGE]
    ]
    heads = [("stage", False), ("read", True), ("kept", True), ("dropped", True), ("fingerprint", False), ("finished (UTC)", False)]
    more = f" The newest {PAGE} of {len(old):,}." if len(old) > PAGE else ""
    return el("section", el("h2", "Earlier receipts"), prose(f"Replaced since.{more}"), table(heads, rows, name="earlier", find=False))


# -- a receipt ------------------------------------------------------------------------------------------------------------


def receipt_body(r: Receipt, producers: Mapping[str, Receipt], links: Links, *, current: bool) -> list[Child]:
    """The sections of a receipt's page.

    Args:
        producers: receipts by fingerprint, as far as they are known: inputs lead to them.
        current: whether its outputs are visible now.
    """
    c = r.counts
    o = r.origin
    if o is None:
        whom: Child = None
    elif o.dag_id:
        whom = [f"task {o.task_id} of DAG {o.dag_id}, run {o.run_id}", el("br"), "Ray job ", el("code", o.job)]
    else:
        whom = el("code", o.job)
    about = facts(
        ("state", tag("good", "visible now") if current else tag("none", "replaced by a later run")),
        ("slice", el("a", str(r.slice_), href=links.slice_(r.slice_))),
        ("run", el("code", r.run_id)),
        ("made for", whom),
        ("fingerprint", el("code", r.fingerprint)),
        ("code", [el("code", r.code), f", version {r.version}"]),
        ("parameters", el("code", r.params_digest)),
        ("time", f"{r.started_at:%Y-%m-%d %H:%M:%S} to {r.finished_at:%Y-%m-%d %H:%M:%S} UTC, {seconds(r)}"),
        ("host", f"{r.host}, process {r.process}"),
        ("notes", [[visible(n, 500), el("br")] for n in r.notes]),
    )
    return [
        tiles((c.read, "rows read"), (c.kept, "kept"), (_link(c.dropped, links.drops(r.slice_, r.stage)), "dropped"), (c.failed, "failed")),
        el("section", about),
        _by_reason(r, links),
        _inputs(r, producers, links),
        _parameters(r),
        _outputs(r),
        _judged(r),
    ]


def _link(n: int, href: str) -> Child:
    return el("a", n, href=href) if n else n


def _by_reason(r: Receipt, links: Links) -> Element | None:
    ordered = sorted(r.counts.reasons.items(), key=lambda item: (-item[1], item[0]))
    if not ordered:
        return None
    chart = bars(
        "Rows dropped by reason", [(k, float(n), f"{n:,}  ({n / r.counts.read:.1%})") for k, n in ordered[:_SHOWN_REASONS]], label=260
    )
    named = [[el("a", k, href=links.drops(r.slice_, r.stage, k)), " "] for k, _ in ordered]
    return el("section", el("h2", "Dropped, by reason"), chart, el("p", "The documents: ", named, class_="quiet"))


def _inputs(r: Receipt, producers: Mapping[str, Receipt], links: Links) -> Element:
    rows: list[Sequence[Child]] = []
    for i in r.inputs:
        made = producers.get(i.producer)
        by: Child = el("a", f"{made.stage}, {made.slice_}", href=links.receipt(made)) if made else el("code", i.producer[:16])
        rows.append([i.table, i.rows, el("code", i.digest), by if i.producer else ""])
    heads = [("table", False), ("rows", True), ("digest of the content", False), ("made by", False)]
    none = "It reads no table of the lake: it brings documents from outside."
    return el("section", el("h2", "Inputs"), table(heads, rows, name="inputs", find=False, none=none))


def _parameters(r: Receipt) -> Element:
    rows: list[Sequence[Child]] = [
        [el("td", el("code", k), class_="name"), _value(json.dumps(v, ensure_ascii=False, sort_keys=True))] for k, v in r.params.items()
    ]
    heads = [("parameter", False), ("value", False)]
    return el("section", el("h2", "Parameters"), table(heads, rows, name="parameters", find=False, none="It has none."))


def _value(written: str) -> Element:
    if len(written) <= _LONG:
        return el("code", visible(written, _LONG))
    return el("details", el("summary", el("code", visible(written, 100))), el("code", visible(written, _LONGEST)))


def _outputs(r: Receipt) -> Element:
    files = sorted(r.outputs, key=lambda o: (o.table, o.part, o.path))
    rows: list[Sequence[Child]] = [
        [o.table, o.part, o.rows, cell(f"{o.bytes / 1e3:,.1f}", o.bytes, class_="n"), el("code", o.path)] for o in files[:_SHOWN_FILES]
    ]
    heads = [("table", False), ("part", True), ("rows", True), ("kB", True), ("file", False)]
    more = f" The first {_SHOWN_FILES} of {len(files):,}." if len(files) > _SHOWN_FILES else ""
    number = "1 file" if len(files) == 1 else f"{len(files):,} files"
    told = f"{number}, {short(sum(o.bytes for o in files))}B. It owns {', '.join(r.tables) or 'no table'} of the slice.{more}"
    return el("section", el("h2", "Outputs"), prose(told), table(heads, rows, name="outputs", find=False, none="It wrote no row."))


def _judged(r: Receipt) -> Element | None:
    if not r.expectations:
        return None
    rows: list[Sequence[Child]] = []
    for e in r.expectations:
        mark = tag("none", "not judged") if e.success is None else tag("good", "pass") if e.success else tag("bad", "failed")
        told = ", ".join(f"{k} {v}" for k, v in e.arguments.items())
        seen = "" if e.observed is None else cell(f"{e.observed:,.6g}", e.observed, class_="n")
        rows.append([mark, e.table, e.expectation, told, seen, e.severity, visible(e.note)])
    heads = [
        ("table", False),
        ("expectation", False),
        ("arguments", False),
        ("observed", True),
        ("severity", False),
        ("", False),
        ("note", False),
    ]
    return el("section", el("h2", "Expectations"), table(heads, rows, name="expectations", find=False))


# -- dropped documents ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dropped:
    """One row of a list of dropped documents; `title` and `url` are empty where no text was stored."""

    uid: str
    stage: str
    reason: str
    detail: str
    title: str = ""
    url: str = ""
    characters: int | None = None


def drops_body(
    slice_: Slice,
    rows: Sequence[Dropped],
    by_rule: Sequence[tuple[str, str, int]],
    total: int,
    at: Cut,
    links: Links,
    *,
    stage: str,
    reason: str,
) -> list[Child]:
    """The sections of the list.

    Args:
        rows: of this page.
        by_rule: (stage, reason, documents) over the whole slice, largest first.
        total: rows that match.
    """
    chosen = " ".join(filter(None, (stage, reason)))
    rules: list[Sequence[Child]] = [
        [s, el("a", why, href=links.drops(slice_, s, why), aria_current="page" if (s, why) == (stage, reason) else None), n]
        for s, why, n in by_rule
    ]
    shown: list[Sequence[Child]] = [
        [
            [el("a", visible(d.title or d.url or d.uid, 110), href=links.document(d.uid, slice_)), *_address(d)],
            *(d.stage, d.reason, visible(measured_line(d.detail), 200), d.characters),
        ]
        for d in rows
    ]
    heads = [("document", False), ("stage", False), ("rule", False), ("measured", False), ("characters", True)]
    everything = el("a", "all rules", href=links.drops(slice_)) if chosen else None
    told = f"{total:,} rows, in the order of their ids." if total else "Nothing was dropped so."
    return [
        el(
            "section",
            el("h2", "Documents", f": {chosen}" if chosen else None),
            el("p", told, " ", everything, class_="quiet"),
            table(heads, shown, name="documents", find=False),
            pager(at, total, links.drops(slice_, stage, reason, at.page - 1), links.drops(slice_, stage, reason, at.page + 1)),
        ),
        el(
            "section",
            el("h2", "Rules"),
            prose("What each rule dropped of this slice. `select` repeats the reason that decided."),
            table([("stage", False), ("rule", False), ("documents", True)], rules, name="rules", find=False),
        ),
    ]


def _address(d: Dropped) -> list[Child]:
    return [el("br"), el("span", visible(d.url, 120), class_="quiet")] if d.title and d.url else []


def seconds(r: Receipt) -> str:
    """How long a run took, from the start of its pass."""
    took = (r.finished_at - r.started_at).total_seconds()
    return f"{took:.1f} s" if took < 100 else f"{took / 60:.1f} min"


def as_rows(dropped: Sequence[dict[str, Any]], documents: Mapping[str, dict[str, Any]]) -> list[Dropped]:
    """Rows of `exclusions` with what `documents` says of them; without a text, a crawl's detail begins with the address."""
    out = []
    for r in dropped:
        d = documents.get(r["uid"])
        detail = r["detail"] or ""
        if d is None and "://" in detail.partition(" ")[0]:
            url, _, detail = detail.partition(" ")
            out.append(Dropped(r["uid"], r["stage"], r["reason"], detail, url=url))
        else:
            found = d or {}
            out.append(
                Dropped(
                    r["uid"], r["stage"], r["reason"], detail, found.get("title") or "", found.get("url") or "", found.get("characters")
                )
            )
    return out
