"""The frame around every page (navigation, where the lake lies, security headers), and pages that show one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi.responses import HTMLResponse
from markupsafe import Markup

from headrace_governance.audit.reports.foreign import visible
from headrace_governance.audit.reports.html import Child, page, render, served_policy
from headrace_governance.audit.reports.links import Links
from headrace_governance.audit.reports.slice_pages import cut
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
_TEMPLATES = "headrace_operators.plugin/"


def respond(
    title: str,
    body: Child,
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
    tabs = [(name, where[key], key == tab) for name, key in TABS]
    back = render(_TEMPLATES + "navigation.html.j2", tabs=tabs, crumbs=crumbs)
    return HTMLResponse(page(title, body, back=back, refresh=refresh), status_code=status, headers=HEADERS)


HEADERS = {
    "Content-Security-Policy": served_policy(),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def error_page(error: HeadraceError, links: Links, *, status: int) -> HTMLResponse:
    """What is wrong and the way out."""
    body = render(_TEMPLATES + "error.html.j2", what=visible(error.what, 1000), way_out=visible(error.way_out, 1000))
    return respond("Not to be shown", body, links, status=status)


# -- slices ---------------------------------------------------------------------------------------------------------------


def slices_body(view: LakeView, links: Links, *, q: str, page_: int) -> Markup:
    """All slices whose name holds the words, by pages."""
    words = q.lower().split()
    tokens = view.tokens()
    found = [(key, stages) for key, stages in newest(view.counts()).items() if all(w in "/".join(key) for w in words)]
    at = cut(len(found), page_)
    rows = []
    for (source, interval), stages in found[at.first : at.last]:
        captured, extracted, admitted = (stages.get(s, {}).get("kept") for s in ("crawl", "extract", "select"))
        rows.append(
            {
                "slice": Slice(source, interval),
                "captured": stages.get("import", {}).get("kept") if captured is None else captured,
                "extracted": extracted,
                "admitted": admitted,
                "share": admitted / extracted if admitted is not None and extracted else None,
                "tokens": tokens.get((source, interval), {}).get("tokens"),
                "failed": sum(r["failed"] for r in stages.values()),
                "stages": len(stages),
                "finished": list(stages.values())[-1]["committed_at"],
            }
        )
    return render(_TEMPLATES + "slices.html.j2", rows=rows, at=at, found=len(found), q=q, links=links)


# -- stale ----------------------------------------------------------------------------------------------------------------


def stale_body(known: Known, slices: int, links: Links, *, page_: int) -> Markup:
    """What is out of date, slice by slice."""
    by_slice: dict[Slice, list[Late]] = {}
    for late in known.late:
        by_slice.setdefault(Slice(late.source, late.interval), []).append(late)
    at = cut(len(by_slice), page_)
    return render(
        _TEMPLATES + "stale.html.j2",
        known=known,
        slices=slices,
        late=sorted(by_slice.items())[at.first : at.last],
        late_slices=len(by_slice),
        named=" ".join(str(s) for s in by_slice) if len(by_slice) <= 8 else "'*/*'",
        shown_stages=_STAGES_SHOWN,
        at=at,
        links=links,
        visible=visible,
    )


def lineage_body(nodes: Sequence[Any]) -> Markup:
    """A document's way to what was made from it."""
    return render(_TEMPLATES + "lineage.html.j2", nodes=nodes, visible=visible)
