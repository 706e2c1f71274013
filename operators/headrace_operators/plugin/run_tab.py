"""The tab of a DAG run: the receipts that it left in the lake, and its remote jobs.

A receipt names the task that it was made for (`Receipt.origin`), so the list stays when a launcher forgets its jobs. What the run found
done already left no receipt: the jobs' results say `adopted`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from headrace_governance.audit.reports.foreign import visible
from headrace_governance.audit.reports.html import render
from headrace_governance.audit.reports.links import Links
from headrace_governance.audit.reports.slice_pages import cut, seconds
from headrace_lake.errors import HeadraceError
from headrace_operators.launchers import Job, Launcher, launcher_of, result_of
from headrace_operators.plugin.overview import A_PAGE_WAITS
from headrace_operators.plugin.view import LakeView

RECEIPTS = 100
"""On one page."""
_COUNTS = ("kept", "dropped", "failed")
_NOT_TOLD = ("page", "checkpoint", "path", "fingerprint", "tag", "vocabulary", "root")
_STATES = {"SUCCEEDED": "good", "FAILED": "bad", "STOPPED": "warn"}


def run_body(view: LakeView, dag_id: str, run_id: str, links: Links, *, page_: int, here: str) -> Markup:
    """The sections of the tab.

    Args:
        here: the page's own address with its query, without `page`.
    """
    mine = [r for r in view.receipts() if r.origin is not None and r.origin.run_id == run_id and dag_id in ("", r.origin.dag_id)]
    mine.reverse()  # the last committed first
    at = cut(len(mine), page_, RECEIPTS)
    launcher = launcher_of(view.settings, patience=A_PAGE_WAITS)
    counts = [(sum(getattr(r.counts, k) for r in mine), f"rows {k}") for k in _COUNTS]
    return render(
        "headrace_operators.plugin/run.html.j2",
        figures=[(len(mine), "receipts"), (len({r.slice_ for r in mine}), "slices"), *counts],
        receipts=mine[at.first : at.last],
        total=len(mine),
        at=at,
        here=here,
        links=links,
        seconds=seconds,
        visible=visible,
        jobs=_jobs(launcher, dag_id, run_id),
        launcher=launcher,
    )


@dataclass(frozen=True)
class _Jobs:
    """Jobs of a run: rows of their table, or why they cannot be shown (`trouble`, or `error` in another's words)."""

    rows: Sequence[dict[str, Any]] = ()
    trouble: str = ""
    error: str = ""


def _jobs(launcher: Launcher, dag_id: str, run_id: str) -> _Jobs:
    if not launcher.alive():
        return _Jobs(trouble=f"{launcher.where} does not answer: `headrace services status` tells why. Receipts stay in the lake.")
    try:
        mine = [j for j in launcher.jobs() if j.metadata.get("run_id") == run_id and dag_id in ("", j.metadata.get("dag_id"))]
        mine.sort(key=lambda j: j.started or 0.0)
        return _Jobs([_job_row(j, result_of(launcher.logs(j.submission_id)) if j.terminal else {}) for j in mine])
    except HeadraceError as exc:
        return _Jobs(error=str(exc))


def _job_row(j: Job, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": j.metadata.get("task_id", ""),
        "kind": _STATES.get(j.status, "none"),
        "state": j.status.lower(),
        "started": f"{datetime.fromtimestamp(j.started, UTC):%H:%M:%S}" if j.started else "",
        "took": f"{j.ended - j.started:,.1f} s" if j.started and j.ended else "",
        "result": told(result),
        "id": j.submission_id,
    }


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
