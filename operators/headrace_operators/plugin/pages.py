"""The frame around every page (navigation, where the lake lies, security headers), and pages that show one list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastapi.responses import HTMLResponse

from headrace_governance.reports.foreign import visible
from headrace_governance.reports.html import Child, Element, cell, el, page, prose, served_policy, table, tag, when
from headrace_governance.reports.links import Links
from headrace_governance.reports.slice_pages import cut, pager
from headrace_lake.errors import HeadraceError
from headrace_lake.slices import Slice
from headrace_operators.plugin.view import LakeView, newest
from headrace_operators.staleness import Known, Late

TABS = (
    ("Overview", "overview"),
    ("Ledger", "ledger"),
    ("Slices", "slices"),
    ("Data docs", "docs"),
    ("Training", "training"),
    ("Stale", "stale"),
)
_STAGES_SHOWN = 4


def respond(
    title: str,
    body: Iterable[Child],
    links: Links,
    *,
    tab: str = "",
    crumbs: Sequence[Child] = (),
    refresh: int | None = None,
    status: int = 200,
) -> HTMLResponse:
    """A whole page; its headers keep everything out that is not the page itself."""
    where = {
        "overview": links.overview,
        "ledger": links.ledger,
        "slices": links.slices(),
        "docs": links.docs(),
        "training": links.training,
        "stale": links.stale,
    }
    tabs = el("div", [el("a", name, href=where[key], aria_current="page" if key == tab else None) for name, key in TABS], class_="tabs")
    between: list[Child] = []
    for i, crumb in enumerate(crumbs):
        between += [" / " if i else None, crumb]
    path = el("p", between, class_="crumbs") if crumbs else None
    html = page(title, *body, back=[tabs, path], refresh=refresh)
    return HTMLResponse(html, status_code=status, headers=HEADERS)


HEADERS = {
    "Content-Security-Policy": served_policy(),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def error_page(error: HeadraceError, links: Links, *, status: int) -> HTMLResponse:
    """What is wrong and the way out."""
    body = el("section", el("h2", visible(error.what, 1000)), el("p", visible(error.way_out, 1000)), class_="error")
    return respond("Not to be shown", [body], links, status=status)


# -- slices ---------------------------------------------------------------------------------------------------------------


def slices_body(view: LakeView, links: Links, *, q: str, page_: int) -> list[Child]:
    """All slices whose name holds the words, by pages."""
    words = q.lower().split()
    tokens = view.tokens()
    found = [(key, stages) for key, stages in newest(view.counts()).items() if all(w in "/".join(key) for w in words)]
    at = cut(len(found), page_)
    rows: list[Sequence[Child]] = []
    for (source, interval), stages in found[at.first : at.last]:
        captured, extracted, admitted = (stages.get(s, {}).get("kept") for s in ("crawl", "extract", "select"))
        if captured is None:
            captured = stages.get("import", {}).get("kept")
        finished = list(stages.values())[-1]["committed_at"]
        share = admitted / extracted if admitted is not None and extracted else None
        rows.append(
            [
                el("a", f"{source}/{interval}", href=links.slice_(Slice(source, interval))),
                *(captured, extracted, admitted, "" if share is None else cell(f"{share:.0%}", share, class_="n")),
                *(tokens.get((source, interval), {}).get("tokens"), sum(r["failed"] for r in stages.values()) or "", len(stages)),
                when(finished),
            ]
        )
    heads = [("slice", False), ("captures", True), ("with text", True), ("admitted", True), ("of text", True), ("tokens", True)]
    heads += [("failed", True), ("stages", True), ("last commit (UTC)", False)]
    form = el(
        "form",
        el("input", name="q", value=q, placeholder="source or interval", aria_label="find slices", maxlength=80),
        el("button", "Find", type="submit"),
        el("a", "all", href=links.slices(), class_="button") if q else None,
        class_="find",
        action=links.slices(),
        method="get",
    )
    none = f"No slice holds '{q}'." if q else "No slice yet: run `headrace crawl SOURCE/INTERVAL`, or trigger ingest_text."
    return [
        el(
            "section",
            prose("Documents by slice, as the newest receipts count them; a slice leads to its stages, receipts and dropped documents."),
            form,
            table(heads, rows, name="slices", find=False, none=none),
            pager(at, len(found), links.slices(q=q, page=at.page - 1), links.slices(q=q, page=at.page + 1)),
        )
    ]


# -- stale ----------------------------------------------------------------------------------------------------------------


def stale_body(known: Known, slices: int, links: Links, *, page_: int) -> list[Child]:
    """What is out of date, slice by slice."""
    if known.error:
        told = "Pages can only look where the stages' packages are installed; elsewhere run `headrace slice stale`."
        return [el("section", el("h2", "It could not be worked out"), el("p", visible(known.error, 600)), prose(told), class_="error")]
    if known.working and not known.at:
        return [el("section", el("h2", "Being worked out"), prose("Every stage's code, parameters and inputs are compared; seconds."))]
    by_slice: dict[Slice, list[Late]] = {}
    for late in known.late:
        by_slice.setdefault(Slice(late.source, late.interval), []).append(late)
    again = el("a", "look again", href=f"{links.stale}?again=1")
    if not by_slice:
        good = tag("good", "nothing is out of date")
        return [el("section", el("h2", f"{slices:,} slices "), el("p", good, " ", again), prose(_MEANING))]
    at = cut(len(by_slice), page_)
    sections: list[Child] = []
    for slice_, found in sorted(by_slice.items())[at.first : at.last]:
        rows: list[Sequence[Child]] = [[x.stage, visible("; ".join(x.causes), 500)] for x in found[:_STAGES_SHOWN]]
        more = len(found) - len(rows)
        sections.append(
            el(
                "section",
                el("h2", el("a", str(slice_), href=links.slice_(slice_)), " ", tag("warn", f"{len(found)} stages")),
                el("p", "Brought up to date by ", el("code", f"headrace slice run text {slice_}"), class_="quiet"),
                table([("stage", False), ("why", False)], rows, name=str(slice_), find=False),
                _rest(found[_STAGES_SHOWN:]) if more > 0 else None,
            )
        )
    names = " ".join(str(s) for s in by_slice) if len(by_slice) <= 8 else "'*/*'"
    return [
        el(
            "section",
            el("h2", f"{len(by_slice):,} of {slices:,} slices are out of date"),
            prose(_MEANING),
            el("p", "All at once: ", el("code", f"headrace slice run text {names}"), ", or trigger the DAG ingest_text. ", again),
        ),
        *sections,
        pager(at, len(by_slice), f"{links.stale}?page={at.page - 1}", f"{links.stale}?page={at.page + 1}"),
    ]


_MEANING = (
    "A stage is out of date if its code, its parameters or a table that it read is another one now than in its receipt, or if a stage "
    "before it is. It is computed again by the next run; where its input comes out unchanged it is kept."
)


def _rest(late: Sequence[Late]) -> Element:
    rows: list[Sequence[Child]] = [[x.stage, visible("; ".join(x.causes), 500)] for x in late]
    return el(
        "details",
        el("summary", f"{len(late)} more stages"),
        table([("stage", False), ("why", False)], rows, name="more stages", find=False),
    )


def lineage_body(nodes: Sequence[Any]) -> list[Child]:
    """A document's way to what was made from it."""
    rows: list[Sequence[Child]] = [[n.kind, visible(n.name, 120), el("code", n.fingerprint[:16]), visible(n.detail, 600)] for n in nodes]
    heads = [("what", False), ("name", False), ("fingerprint", False), ("detail", False)]
    why = "From the capture to the releases; a document that was dropped, held out or not reached yet is in no release."
    return [el("section", prose(why), table(heads, rows, name="lineage", find=False))]
