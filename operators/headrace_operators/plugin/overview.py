"""The first page: which lake, what it holds, what runs now, what came last, and what wants attention."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from headrace_governance.audit.ledger import ALL
from headrace_governance.audit.reports.charts import bars, short
from headrace_governance.audit.reports.foreign import visible
from headrace_governance.audit.reports.html import render
from headrace_governance.audit.reports.ledger_dashboard import language_bars
from headrace_governance.audit.reports.links import Links
from headrace_lake.errors import HeadraceError
from headrace_lake.receipts import Artifact
from headrace_lake.slices import Slice
from headrace_operators.launchers import Job, Launcher, Patience, launcher_of
from headrace_operators.plugin.view import LakeView, newest
from headrace_operators.staleness import Known

COMMITS, SOURCES, ARTIFACTS = 8, 12, 8
A_PAGE_WAITS = Patience(answer_s=2.0)
"""No longer for a cluster that is down."""
_SHOWN = ("mix", "run", "checkpoint", "evaluation", "gate-evidence", "gate", "release")


def overview_body(view: LakeView, stale: Known, links: Links) -> Markup:
    """The sections of the page."""
    ledger = view.ledger().to_pylist()
    totals = [r for r in ledger if r["language"] == ALL and (r["captures"] or r["fetched_documents"])]
    held = sorted((r for r in totals if r["tokens"]), key=lambda r: (-r["tokens"], r["source"]))
    artifacts = view.artifacts()
    launcher = launcher_of(view.settings, patience=A_PAGE_WAITS)
    return render(
        "headrace_operators.plugin/overview.html.j2",
        view=view,
        links=links,
        visible=visible,
        tokens=sum(r["tokens"] for r in totals),
        documents=sum(r["admissible_documents"] for r in totals),
        slices=len(newest(view.counts())),
        sources=len(totals),
        releases=sum(a.kind == "release" for a in artifacts),
        stale=stale,
        late=len({(x.source, x.interval) for x in stale.late}),
        by_language=language_bars(ledger),
        by_source=_sources(held),
        shown_sources=SOURCES,
        held=len(held),
        running=_running(launcher),
        launcher=launcher,
        gates=_gates(artifacts),
        commits=_commits(view),
        artifacts=list(reversed([a for a in artifacts if a.kind in _SHOWN][-ARTIFACTS:])),
    )


def _sources(held: Sequence[dict[str, Any]]) -> Markup:
    """The chart of the sources that hold most tokens."""
    whole = sum(r["tokens"] for r in held) or 1
    rows = [(r["source"], float(r["tokens"]), f"{r['tokens'] / whole:.1%}  {short(r['tokens'])}") for r in held[:SOURCES]]
    return bars("Tokens by source", rows, label=170, width=560)


# -- what runs now --------------------------------------------------------------------------------------------------------


def running_jobs(launcher: Launcher) -> list[Job]:
    """Jobs that have not ended, oldest first.

    Raises:
        HeadraceError: the launcher's server does not answer.
    """
    if not launcher.alive():
        raise HeadraceError(f"{launcher.where} does not answer", "'headrace services status' tells why")
    return sorted((j for j in launcher.jobs() if not j.terminal), key=lambda j: j.started or 0.0)


@dataclass(frozen=True)
class _Running:
    """Jobs that have not ended, or why that is not known."""

    rows: Sequence[dict[str, str]] = ()
    error: str = ""


def _running(launcher: Launcher) -> _Running:
    try:
        jobs = running_jobs(launcher)
    except HeadraceError as exc:
        return _Running(error=str(exc))
    return _Running(
        [
            {
                "dag": j.metadata.get("dag_id", ""),
                "task": j.metadata.get("task_id", ""),
                "run": j.metadata.get("run_id", ""),
                "state": j.status.lower(),
                "since": _clock(j.started),
                "took": f"{(time.time() - j.started):,.0f} s" if j.started else "",
                "id": j.submission_id,
            }
            for j in jobs
        ]
    )


def _clock(moment: float | None) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}" if moment else ""


# -- gates, commits, artifacts --------------------------------------------------------------------------------------------


def _gates(artifacts: Sequence[Artifact]) -> list[dict[str, str]]:
    """The newest decision of each gate and recipe, and evidence that waits for one."""
    decided = {parent for a in artifacts if a.kind == "gate" for parent in a.parents}
    last: dict[tuple[str, str], Artifact] = {}
    for a in artifacts:
        if a.kind == "gate" or (a.kind == "gate-evidence" and a.fingerprint not in decided):
            key = a.name, str(a.payload.get("recipe", ""))
            last.pop(key, None)  # so that they stand in the order of their last commits
            last[key] = a
    return [{"name": name, "recipe": recipe, **_decision(a)} for (name, recipe), a in reversed(last.items())]


def _decision(a: Artifact) -> dict[str, str]:
    """What a row of the table of gates says of a decision, or of evidence."""
    p = a.payload
    if a.kind != "gate":
        verdict = "every rule holds" if (p.get("evidence") or {}).get("passed") else "a rule does not hold"
        return {
            "kind": "warn",
            "decision": "waits for a signature",
            "signer": "",
            "said": verdict,
            "at": f"{a.created_at:%Y-%m-%d %H:%M}",
            "expires": "",
        }
    expires = str(p.get("expires_at", ""))
    over = bool(expires) and datetime.fromisoformat(expires) <= datetime.now(UTC)
    return {
        "kind": "warn" if over or p.get("decision") == "waiver" else "good" if p.get("decision") == "Go" else "bad",
        "decision": f"{p.get('decision', '?')}{', expired' if over else ''}",
        "signer": str(p.get("signer", "")),
        "said": str(p.get("reason") or p.get("note") or ""),
        "at": str(p.get("signed_at", ""))[:16].replace("T", " "),
        "expires": expires[:16].replace("T", " "),
    }


def _commits(view: LakeView) -> list[dict[str, Any]]:
    """The last commits, with the first of the slices that each one changed."""
    rows = []
    for h in view.commits(COMMITS):
        slices, stages = (str(h.get(k, "")).split(",") for k in ("slice", "stage"))
        rows.append(
            {
                "at": datetime.fromtimestamp(h["at"], UTC),
                "slice": Slice.parse(slices[0]) if "/" in slices[0] else None,
                "named": slices[0],
                "more": len(slices) - 1,
                "what": stages[0] if len(stages) == 1 else f"{stages[0]} to {stages[-1]} ({len(stages)})",
            }
        )
    return rows
