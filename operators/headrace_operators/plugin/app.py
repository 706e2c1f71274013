"""The plugin's routes: read-only HTML pages about the lake, its runs and its documents.

    /lake                                       which lake, what it holds, what runs, what wants attention
    /ledger   /docs/...   /training   /stale    what each source gave; expectations; loss curves; what is out of date
    /slices   /slices/SOURCE/INTERVAL           a slice → /receipts/STAGE → /drops → /documents/UID → /lineage
    /runs/RUN_ID?dag_id=                        the tab of a DAG run: its receipts and remote jobs

Every route depends on `GetUserDep`: without a signed-in user Airflow answers 401. Pages are made on the server, need no script, send no
request elsewhere, and show foreign text escaped. No route opens a file by a name that a request gives.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse

from headrace_governance.audit.reports.foreign import named
from headrace_governance.audit.reports.html import link
from headrace_governance.audit.reports.links import Links
from headrace_governance.audit.reports.slice_pages import Cut, Dropped, as_rows, cut, drops_body, receipt_body, slice_body
from headrace_lake.errors import HeadraceError, InputError, ServiceError
from headrace_lake.receipts import Receipt
from headrace_lake.slices import Slice
from headrace_operators.plugin.overview import overview_body
from headrace_operators.plugin.pages import error_page, lineage_body, respond, slices_body, stale_body
from headrace_operators.plugin.run_tab import run_body
from headrace_operators.plugin.view import LakeView, current_view, newest
from headrace_operators.staleness import Staleness

app = FastAPI(title="Headrace", docs_url=None, redoc_url=None, openapi_url=None)
staleness = Staleness()

_REFRESH_S = 3


@app.exception_handler(HeadraceError)
def explain(request: Request, problem: HeadraceError) -> HTMLResponse:
    """An error as a page: what is wrong and the way out, 404 for what is not there."""
    return error_page(problem, _links(request), status=404 if isinstance(problem, InputError) else 503)


@app.exception_handler(RequestValidationError)
def explain_query(request: Request, problem: RequestValidationError) -> HTMLResponse:
    """A query that is not a number where one belongs."""
    where = ", ".join(str(e["loc"][-1]) for e in problem.errors())
    return error_page(InputError(f"the address is wrong: {where[:200]}", "follow the links of the pages"), _links(request), status=400)


@app.exception_handler(Exception)
def explain_fault(request: Request, problem: Exception) -> HTMLResponse:
    """What nobody foresaw; Airflow logs it."""
    what = f"this page could not be made: {type(problem).__name__}"
    return error_page(HeadraceError(what, "the log of Airflow's API server says where"), _links(request), status=500)


def _links(request: Request) -> Links:
    return Links(str(request.scope.get("root_path", "")).rstrip("/"))


# -- the lake as a whole --------------------------------------------------------------------------------------------------


@app.get("/lake")
def lake_page(request: Request, user: GetUserDep) -> HTMLResponse:
    """Which lake, what it holds, what runs now, what came last."""
    view, links = current_view(), _links(request)
    stale = staleness.known(f"{view.root} {view.version()}")
    return respond("Headrace", overview_body(view, stale, links), links, tab="overview")


@app.get("/ledger")
def ledger_page(request: Request, user: GetUserDep) -> HTMLResponse:
    """What each source and language declared, brought, lost and gave."""
    from headrace_governance.audit.reports.ledger_dashboard import ledger_sections

    view, links = current_view(), _links(request)
    sections = ledger_sections(view.receipts(), view.ledger(), now=datetime.now(UTC), links=links)
    return respond("Ledger", sections, links, tab="ledger")


@app.get("/docs/{name:path}")
def docs_page(request: Request, user: GetUserDep, name: str) -> HTMLResponse:
    """A page of the data docs, made from the receipts; the name is one of those that there are, never a path."""
    from headrace_governance.audit.reports.data_docs import DataDocs
    from headrace_governance.expectations.suite import load_suites

    view, links = current_view(), _links(request)
    suites = load_suites(view.settings.resolve(view.settings.policies) / "expectations")
    docs = DataDocs(view.receipts(), suites)
    try:
        doc = docs.page(name or "index.html")
    except KeyError as exc:
        raise InputError(f"the data docs have no page '{name[:200]}'", "the page Data docs lists tables and slices") from exc
    crumbs = [link("Data docs", links.docs()), doc.title] if doc.back else []
    return respond(doc.title, doc.body, links, tab="docs", crumbs=crumbs)


@app.get("/training")
def training_page(request: Request, user: GetUserDep) -> HTMLResponse:
    """All training runs."""
    from headrace_jobs.trainer.report import training_body
    from headrace_jobs.trainer.runs import training_runs

    view, links = current_view(), _links(request)
    runs = training_runs(view.lake, view.artifacts(), now=time.time())
    return respond("Training", training_body(runs, view.artifacts(), links), links, tab="training")


@app.get("/training/{run_id}")
def training_run_page(request: Request, user: GetUserDep, run_id: str, by: str = "tokens") -> HTMLResponse:
    """One training run: loss curve, evaluations, launches."""
    from headrace_jobs.trainer.report import run_body as training_run_body
    from headrace_jobs.trainer.runs import find_run, training_runs

    view, links = current_view(), _links(request)
    run = find_run(training_runs(view.lake, view.artifacts(), now=time.time()), run_id)
    body = training_run_body(run, view.artifacts(), links, by=by)
    crumbs = [link("Training", links.training), run.id]
    return respond(run.recipe, body, links, tab="training", crumbs=crumbs, refresh=30 if run.running else None)


@app.get("/stale")
def stale_page(request: Request, user: GetUserDep, page: int = 1, again: int = 0) -> HTMLResponse:
    """What is out of date, with causes and the way to mend it."""
    view, links = current_view(), _links(request)
    known = staleness.known(f"{view.root} {view.version()}", again=bool(again))
    body = stale_body(known, len(newest(view.counts())), links, page_=page)
    return respond("Stale", body, links, tab="stale", refresh=_REFRESH_S if known.working and not known.at else None)


# -- slices ---------------------------------------------------------------------------------------------------------------


@app.get("/slices")
def slices_page(request: Request, user: GetUserDep, q: str = Query("", max_length=200), page: int = 1) -> HTMLResponse:
    """All slices, by pages."""
    view, links = current_view(), _links(request)
    return respond("Slices", slices_body(view, links, q=q, page_=page), links, tab="slices")


@app.get("/slices/{source}/{interval}")
def slice_page(request: Request, user: GetUserDep, source: str, interval: str) -> HTMLResponse:
    """One slice: its stages and what was dropped."""
    view, links = current_view(), _links(request)
    slice_, history = _slice(view, source, interval)
    body = slice_body(slice_, history, view.tokens().get((source, interval), {}), links)
    return respond(str(slice_), body, links, tab="slices", crumbs=[link("Slices", links.slices()), str(slice_)])


@app.get("/slices/{source}/{interval}/receipts/{stage}")
def receipt_page(request: Request, user: GetUserDep, source: str, interval: str, stage: str, run: str = "") -> HTMLResponse:
    """One receipt: the stage's newest, or that of a run."""
    view, links = current_view(), _links(request)
    slice_, history = _slice(view, source, interval)
    mine = [r for r in history if r.stage == stage]
    found = next((r for r in reversed(mine) if run in ("", r.run_id)), None)
    if found is None:
        which = f" of run {run[:80]}" if run else ""
        raise InputError(f"slice {slice_} has no receipt of stage '{stage[:80]}'{which}", "the slice's page lists its receipts")
    body = receipt_body(found, {r.fingerprint: r for r in history}, links, current=found is mine[-1])
    return respond(f"{stage} of {slice_}", body, links, tab="slices", crumbs=_crumbs(links, slice_, f"receipt of {stage}"))


@app.get("/slices/{source}/{interval}/drops")
def drops_page(
    request: Request, user: GetUserDep, source: str, interval: str, stage: str = "", reason: str = "", page: int = 1
) -> HTMLResponse:
    """The documents that a rule dropped, by pages."""
    view, links = current_view(), _links(request)
    slice_, _ = _slice(view, source, interval)
    rows, by_rule, total, at = _dropped(view, slice_, stage, reason, page)
    body = drops_body(slice_, rows, by_rule, total, at, links, stage=stage, reason=reason)
    return respond(f"Dropped from {slice_}", body, links, tab="slices", crumbs=_crumbs(links, slice_, "dropped"))


@app.get("/slices/{source}/{interval}/documents/{uid}")
def document_page(request: Request, user: GetUserDep, source: str, interval: str, uid: str, at: int = 0) -> HTMLResponse:
    """One document: text, verdicts, provenance, tokens."""
    from headrace_governance.audit.document_trace import story
    from headrace_governance.audit.reports.document_page import document_body

    view, links = current_view(), _links(request)
    slice_ = Slice(source, interval)
    with view.lock:
        told = story(view.lake, uid, slice_)
        captured = view.lake.read("captures", slice_, where=f"uid = '{told.uid}'").to_pylist()
    body = document_body(told, captured[0] if captured else None, links, at=at)
    title = named(str((told.document or {}).get("title") or f"Document {told.uid[:12]}"))
    return respond(title, body, links, tab="slices", crumbs=_crumbs(links, slice_, told.uid[:12]))


@app.get("/slices/{source}/{interval}/documents/{uid}/lineage")
def lineage_page(request: Request, user: GetUserDep, source: str, interval: str, uid: str) -> HTMLResponse:
    """Which mixes, checkpoints and releases a document went into."""
    if not (uid.isascii() and uid.isalnum()):
        raise InputError("that is not a document's id", "the slice's page leads to its documents")
    try:
        from headrace_jobs import lineage
    except ModuleNotFoundError as exc:  # the image of Airflow's own processes leaves out what training needs
        raise ServiceError(f"lineage needs package {exc.name}, which is not installed here", f"run 'headrace lineage down {uid}'") from exc

    view, links = current_view(), _links(request)
    slice_ = Slice(source, interval)
    with view.lock:
        nodes = lineage.down(view.lake, uid)
    crumbs = [*_crumbs(links, slice_, link(uid[:12], links.document(uid, slice_))), "lineage"]
    return respond(f"Lineage of {uid[:12]}", lineage_body(nodes), links, tab="slices", crumbs=crumbs)


# -- runs -----------------------------------------------------------------------------------------------------------------


@app.get("/runs/{run_id:path}")
def run_page(request: Request, user: GetUserDep, run_id: str, dag_id: str = "", page: int = 1) -> HTMLResponse:
    """The tab of a DAG run: its receipts and its remote jobs."""
    from urllib.parse import quote, urlencode

    view, links = current_view(), _links(request)
    here = f"{links.root}/runs/{quote(run_id, safe='')}?{urlencode({'dag_id': dag_id})}"
    return respond(named(f"{dag_id} {run_id}".strip()), run_body(view, dag_id, run_id, links, page_=page, here=here), links)


def _slice(view: LakeView, source: str, interval: str) -> tuple[Slice, list[Receipt]]:
    """A slice and its receipts, oldest first."""
    slice_ = Slice(source, interval)
    with view.lock:
        history = view.lake.receipts(slice_)
    if not history:
        raise InputError(f"slice {slice_} is not in the lake at {view.root}", "the page Slices lists those that are")
    return slice_, history


def _crumbs(links: Links, slice_: Slice, last: Any) -> list[Any]:
    return [link("Slices", links.slices()), link(str(slice_), links.slice_(slice_)), last]


def _dropped(
    view: LakeView, slice_: Slice, stage: str, reason: str, page: int
) -> tuple[list[Dropped], list[tuple[str, str, int]], int, Cut]:
    import pyarrow as pa
    import pyarrow.compute as pc

    with view.lock:
        every = view.lake.read("exclusions", slice_, columns=["uid", "stage", "reason", "detail"])
        groups = every.group_by(["stage", "reason"], use_threads=False).aggregate([([], "count_all")]).to_pylist()
        rows = every
        for column, wanted in (("stage", stage), ("reason", reason)):
            if wanted:
                rows = rows.filter(pc.equal(rows[column], wanted))
        at = cut(rows.num_rows, page)
        shown = (
            rows.sort_by([("uid", "ascending"), ("stage", "ascending"), ("reason", "ascending")])
            .slice(at.first, at.last - at.first)
            .to_pylist()
        )
        known = view.lake.read("documents", slice_, columns=["uid", "title", "url", "characters"])
        known = known.filter(pc.is_in(known["uid"], value_set=pa.array([r["uid"] for r in shown], pa.string())))
    documents = {d["uid"]: d for d in known.to_pylist()}
    by_rule = sorted(((g["stage"], g["reason"], g["count_all"]) for g in groups), key=lambda g: (-g[2], g[0], g[1]))
    return as_rows(shown, documents), by_rule, rows.num_rows, at
