"""The tab of a DAG run: the receipts that it left in the lake, and its jobs on Ray.

A receipt names the task that it was made for (`Receipt.origin`), so the list stays when Ray forgets its jobs. What the run found done
already left no receipt: the jobs' results say `adopted`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from headrace_governance.reports.foreign import visible
from headrace_governance.reports.html import Child, Element, cell, el, prose, table, tag, tiles
from headrace_governance.reports.links import Links
from headrace_governance.reports.slice_pages import cut, pager, seconds
from headrace_lake.errors import HeadraceError
from headrace_lake.receipts import Receipt
from headrace_operators.plugin.overview import RAY_ANSWERS_WITHIN_S
from headrace_operators.plugin.view import LakeView
from headrace_operators.ray_jobs import Job, RayJobs, result_of

RECEIPTS = 100
"""On one page."""
_COUNTS = ("kept", "dropped", "failed")
_NOT_TOLD = ("page", "checkpoint", "path", "fingerprint", "tag", "vocabulary", "root")
_STATES = {"SUCCEEDED": "good", "FAILED": "bad", "STOPPED": "warn"}


def run_body(view: LakeView, dag_id: str, run_id: str, links: Links, *, page_: int, here: str) -> list[Child]:
    """The sections of the tab.

    Args:
        here: the page's own address with its query, without `page`.
    """
    mine = [r for r in view.receipts() if r.origin is not None and r.origin.run_id == run_id and dag_id in ("", r.origin.dag_id)]
    mine.reverse()  # the last committed first
    at = cut(len(mine), page_, RECEIPTS)
    slices = {r.slice_ for r in mine}
    sections: list[Child] = []
    if mine:
        counts = [(sum(getattr(r.counts, k) for r in mine), f"rows {k}") for k in ("kept", "dropped", "failed")]
        sections.append(tiles((len(mine), "receipts"), (len(slices), "slices"), *counts))
    sections += [
        _jobs(view, dag_id, run_id),
        _receipts(mine[at.first : at.last], links),
        pager(at, len(mine), f"{here}&page={at.page - 1}", f"{here}&page={at.page + 1}"),
    ]
    return sections


def _receipts(receipts: Sequence[Receipt], links: Links) -> Element:
    rows: list[Sequence[Child]] = []
    for r in receipts:
        c = r.counts
        dropped = cell(el("a", c.dropped, href=links.drops(r.slice_, r.stage)), c.dropped, class_="n") if c.dropped else 0
        rows.append(
            [
                r.origin.task_id if r.origin else "",
                el("a", str(r.slice_), href=links.slice_(r.slice_)),
                el("a", r.stage, href=links.receipt(r)),
                *(c.read, c.kept, dropped, c.failed or ""),
                cell(seconds(r), (r.finished_at - r.started_at).total_seconds(), class_="n"),
                f"{r.finished_at:%H:%M:%S}",
            ]
        )
    heads = [("task", False), ("slice", False), ("stage", False), ("read", True), ("kept", True), ("dropped", True), ("failed", True)]
    heads += [("took", True), ("finished (UTC)", False)]
    none = (
        "No receipt names this run: what it asked for was done already (`adopted` above), it has not committed yet, or it ran before "
        "receipts recorded whom they were made for."
    )
    why = "What this run computed and committed, the last commit first; stages that ran in one pass began together."
    return el("section", el("h2", "Receipts"), prose(why) if rows else None, table(heads, rows, name="receipts", none=prose(none)))


def _jobs(view: LakeView, dag_id: str, run_id: str) -> Element:
    title = el("h2", "Jobs on Ray")
    jobs = RayJobs.of(view.settings)
    quick = RayJobs(jobs.address, jobs.token_file, timeout_s=RAY_ANSWERS_WITHIN_S, user=jobs.user)
    if not quick.alive():
        said = f"Ray at {jobs.address} does not answer: `headrace services status` tells why. Receipts stay in the lake."
        return el("section", title, prose(said))
    try:
        mine = [j for j in quick.jobs() if j.metadata.get("run_id") == run_id and dag_id in ("", j.metadata.get("dag_id"))]
        mine.sort(key=lambda j: j.started or 0.0)
        rows = [_job_row(j, result_of(quick.logs(j.submission_id)) if j.terminal else {}) for j in mine]
    except HeadraceError as exc:
        return el("section", title, el("p", str(exc), class_="quiet"))
    heads = [("task", False), ("state", False), ("started (UTC)", False), ("took", True), ("result", False), ("Ray job", False)]
    none = "Ray knows no job of this run: it forgets them when its head is restarted. Receipts stay in the lake."
    return el("section", title, table(heads, rows, name="jobs", find=False, none=none))


def _job_row(j: Job, result: dict[str, Any]) -> Sequence[Child]:
    took = f"{j.ended - j.started:,.1f} s" if j.started and j.ended else ""
    return [
        j.metadata.get("task_id", ""),
        tag(_STATES.get(j.status, "none"), j.status.lower()),
        f"{datetime.fromtimestamp(j.started, UTC):%H:%M:%S}" if j.started else "",
        took,
        visible(told(result), 300),
        el("td", el("code", j.submission_id), class_="id"),
    ]


def told(result: dict[str, Any]) -> str:
    """A command's result in one line: what its stages did, counts of its slices, its plain values."""
    slices = [s for s in result.get("slices") or [] if isinstance(s, dict)]
    actions = Counter(stage.get("action") for s in slices for stage in s.get("stages", []))
    said = [f"{n:,} stages {action}" for action, n in sorted(actions.items(), key=str)]
    for name in _COUNTS:
        if any(name in s for s in slices):
            said.append(f"{name} {sum(int(s.get(name) or 0) for s in slices):,}")
    plain = [f"{k.replace('_', ' ')} {_shown(v)}" for k, v in result.items() if isinstance(v, str | int | float) and k not in _NOT_TOLD]
    return ", ".join([*said, *plain])


def _shown(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else value[:40]
