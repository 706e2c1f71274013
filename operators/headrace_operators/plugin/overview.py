"""The first page: which lake, what it holds, what runs now, what came last, and what wants attention."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from headrace_governance.ledger import ALL
from headrace_governance.reports.charts import bars, short
from headrace_governance.reports.foreign import visible
from headrace_governance.reports.html import Child, Element, el, facts, table, tag, tiles, when
from headrace_governance.reports.ledger_dashboard import language_bars
from headrace_governance.reports.links import Links
from headrace_lake.errors import HeadraceError
from headrace_lake.receipts import Artifact
from headrace_lake.slices import Slice
from headrace_operators.plugin.view import LakeView, newest
from headrace_operators.ray_jobs import Job, RayJobs
from headrace_operators.staleness import Known

COMMITS, SOURCES, ARTIFACTS = 8, 12, 8
RAY_ANSWERS_WITHIN_S = 2.0
"""A page does not wait longer for a cluster that is down."""
_SHOWN = ("mix", "run", "checkpoint", "evaluation", "gate-evidence", "gate", "release")


def overview_body(view: LakeView, stale: Known, links: Links) -> list[Child]:
    """The sections of the page."""
    ledger = view.ledger().to_pylist()
    totals = [r for r in ledger if r["language"] == ALL and (r["captures"] or r["fetched_documents"])]
    slices = newest(view.counts())
    artifacts = view.artifacts()
    releases = sum(a.kind == "release" for a in artifacts)
    late = len({(x.source, x.interval) for x in stale.late})
    if stale.error:
        stale_tile: tuple[Child, Child] = ("?", el("a", "slices out of date", href=links.stale))
    elif stale.working and not stale.at:
        stale_tile = ("…", el("a", "slices out of date: being worked out", href=links.stale))
    else:
        stale_tile = (late, [el("a", "slices out of date ", href=links.stale), tag("warn", "look") if late else tag("good", "none")])
    return [
        _where(view),
        tiles(
            (sum(r["tokens"] for r in totals), "tokens"),
            (sum(r["admissible_documents"] for r in totals), "admissible documents"),
            (len(slices), [el("a", "slices", href=links.slices()), f" of {len(totals)} sources"]),
            stale_tile,
            (releases, "releases"),
        ),
        el("div", language_bars(ledger), _sources(totals, links), class_="pair"),
        _running(view),
        _gates(artifacts),
        el("div", _commits(view, links), _artifacts(artifacts, links), class_="pair"),
    ]


def _where(view: LakeView) -> Element:
    settings = view.settings
    catalog = settings.lake.catalog or "catalog.db beside it"
    return el(
        "section",
        facts(
            ("lake", el("code", view.root)),
            ("settings", el("code", view.file or f"the defaults, from {settings.base}")),
            ("catalog", el("code", catalog)),
            ("Ray", el("code", settings.ray.address)),
        ),
    )


def _sources(totals: Sequence[dict[str, Any]], links: Links) -> Element:
    held = sorted((r for r in totals if r["tokens"]), key=lambda r: (-r["tokens"], r["source"]))
    whole = sum(r["tokens"] for r in held) or 1
    rows = [(r["source"], float(r["tokens"]), f"{r['tokens'] / whole:.1%}  {short(r['tokens'])}") for r in held[:SOURCES]]
    more = f"The largest {SOURCES} of {len(held)}; " if len(held) > SOURCES else ""
    note = el("p", more, el("a", "the ledger", href=links.ledger), " has them all.", class_="quiet")
    return el("section", el("h2", "Tokens by source"), note, bars("Tokens by source", rows, label=170, width=560))


# -- what runs now --------------------------------------------------------------------------------------------------------


def running_jobs(view: LakeView) -> list[Job]:
    """Ray jobs that have not ended, oldest first.

    Raises:
        HeadraceError: Ray does not answer.
    """
    jobs = RayJobs.of(view.settings)
    quick = RayJobs(jobs.address, jobs.token_file, timeout_s=RAY_ANSWERS_WITHIN_S, user=jobs.user)
    if not quick.alive():
        raise HeadraceError(f"Ray at {jobs.address} does not answer", "'headrace services status' tells why")
    return sorted((j for j in quick.jobs() if not j.terminal), key=lambda j: j.started or 0.0)


def _running(view: LakeView) -> Element:
    try:
        jobs = running_jobs(view)
    except HeadraceError as exc:
        return el("section", el("h2", "Running now"), el("p", str(exc), class_="quiet"))
    rows: list[Sequence[Child]] = [
        [
            j.metadata.get("dag_id", ""),
            j.metadata.get("task_id", ""),
            visible(j.metadata.get("run_id", ""), 80),
            j.status.lower(),
            _clock(j.started),
            f"{(time.time() - j.started):,.0f} s" if j.started else "",
            el("code", j.submission_id),
        ]
        for j in jobs
    ]
    heads = [("DAG", False), ("task", False), ("run", False), ("state", False), ("since (UTC)", False), ("for", True), ("Ray job", False)]
    return el("section", el("h2", "Running now"), table(heads, rows, name="jobs", find=False, none="Nothing runs on Ray."))


def _clock(moment: float | None) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}" if moment else ""


# -- gates, commits, artifacts --------------------------------------------------------------------------------------------


def _gates(artifacts: Sequence[Artifact]) -> Element:
    """The newest decision of each gate and recipe, and evidence that waits for one."""
    decided = {parent for a in artifacts if a.kind == "gate" for parent in a.parents}
    last: dict[tuple[str, str], Artifact] = {}
    for a in artifacts:
        if a.kind == "gate" or (a.kind == "gate-evidence" and a.fingerprint not in decided):
            key = a.name, str(a.payload.get("recipe", ""))
            last.pop(key, None)  # so that they stand in the order of their last commits
            last[key] = a
    rows: list[Sequence[Child]] = []
    for (name, recipe), a in reversed(last.items()):
        p = a.payload
        if a.kind == "gate":
            expires = str(p.get("expires_at", ""))
            over = bool(expires) and datetime.fromisoformat(expires) <= datetime.now(UTC)
            kind = "warn" if over or p.get("decision") == "waiver" else "good" if p.get("decision") == "Go" else "bad"
            signed = [visible(str(p.get("signer", "")), 80), ": ", visible(str(p.get("reason") or p.get("note") or ""), 160)]
            rows.append(
                [
                    name,
                    recipe,
                    tag(kind, f"{p.get('decision', '?')}{', expired' if over else ''}"),
                    signed,
                    str(p.get("signed_at", ""))[:16].replace("T", " "),
                    expires[:16].replace("T", " "),
                ]
            )
        else:
            evidence = p.get("evidence") or {}
            verdict = "every rule holds" if evidence.get("passed") else "a rule does not hold"
            rows.append([name, recipe, tag("warn", "waits for a signature"), verdict, f"{a.created_at:%Y-%m-%d %H:%M}", ""])
    heads = [("gate", False), ("recipe", False), ("decision", False), ("signed by", False), ("at (UTC)", False), ("expires (UTC)", False)]
    return el("section", el("h2", "Gates"), table(heads, rows, name="gates", find=False, none="No gate was judged yet."))


def _commits(view: LakeView, links: Links) -> Element:
    rows: list[Sequence[Child]] = []
    for h in view.commits(COMMITS):
        slices, stages = (str(h.get(k, "")).split(",") for k in ("slice", "stage"))
        first = Slice.parse(slices[0]) if "/" in slices[0] else None
        named: list[Child] = [el("a", slices[0], href=links.slice_(first)) if first else slices[0]]
        named.append(f" and {len(slices) - 1} more" if len(slices) > 1 else None)
        what = stages[0] if len(stages) == 1 else f"{stages[0]} to {stages[-1]} ({len(stages)})"
        rows.append([when(datetime.fromtimestamp(h["at"], UTC), seconds=True), named, what])
    heads = [("at (UTC)", False), ("slices", False), ("stages", False)]
    return el("section", el("h2", "Last commits"), table(heads, rows, name="commits", find=False))


def _artifacts(artifacts: Sequence[Artifact], links: Links) -> Element:
    found = [a for a in artifacts if a.kind in _SHOWN][-ARTIFACTS:]
    rows: list[Sequence[Child]] = []
    for a in reversed(found):
        name: Child = a.name
        if a.kind == "run":
            name = el("a", a.name, href=links.run(a.path.rstrip("/").rpartition("/")[2]))
        rows.append([a.kind, name, visible(str(a.payload.get("summary", "")), 120), when(a.created_at)])
    heads = [("kind", False), ("name", False), ("what", False), ("made (UTC)", False)]
    return el("section", el("h2", "Mixes, runs, releases"), table(heads, rows, name="artifacts", find=False))
