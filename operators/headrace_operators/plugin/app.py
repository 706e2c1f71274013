"""The plugin's pages: what the lake holds, and what a run did on the cluster. Read-only, plain HTML, no scripts.

Every route depends on `GetUserDep`: without a signed-in user Airflow answers 401.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from headrace_lake.errors import HeadraceError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_operators.operator_env import current_settings
from headrace_operators.ray_jobs import RayJobs, result_of

app = FastAPI(title="Headrace")

_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:1.5rem;color:#1a2a33;background:#fff}"
    "h1{font-size:1.2rem}h2{font-size:1rem;margin-top:1.5rem}"
    "table{border-collapse:collapse}td,th{padding:.25rem .7rem;border-bottom:1px solid #d5dfe4;text-align:left;vertical-align:top}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:12px}p.quiet{color:#5b6b74}"
)
_SHOWN_ARTIFACTS = 30


@app.get("/lake", response_class=HTMLResponse)
def lake_page(user: GetUserDep) -> str:
    """Receipts by stage, tokens by source, the latest artifacts."""
    try:
        settings, _ = current_settings()
        return _page("Headrace", _lake_body(settings, Lake.open(settings)), user.get_name())
    except HeadraceError as exc:
        return _page("Headrace", f"<p>{escape(str(exc))}</p>", user.get_name())


@app.get("/runs/{run_id:path}", response_class=HTMLResponse)
def run_page(user: GetUserDep, run_id: str, dag_id: str = "") -> str:
    """What one DAG run did on the cluster: its Ray jobs with their results."""
    try:
        settings, _ = current_settings()
        return _page(f"{dag_id} {run_id}", _jobs_body(RayJobs.of(settings), dag_id, run_id), user.get_name())
    except HeadraceError as exc:
        return _page(run_id, f"<p>{escape(str(exc))}</p>", user.get_name())


def _lake_body(settings: Settings, lake: Lake) -> str:
    totals: dict[str, list[int]] = {}
    order: list[str] = []
    receipts = lake.read("receipts", columns=["stage", "source", "slice", "committed_at", "read", "kept", "dropped", "failed"]).to_pylist()
    newest = {(r["stage"], r["source"], r["slice"]): r for r in sorted(receipts, key=lambda r: r["committed_at"])}
    for row in newest.values():
        if row["stage"] not in totals:
            order.append(row["stage"])
        sums = totals.setdefault(row["stage"], [0, 0, 0, 0, 0])
        for i, value in enumerate((1, row["read"], row["kept"], row["dropped"], row["failed"])):
            sums[i] += value
    tokens: dict[str, list[int]] = {}
    for row in lake.read("token_shards", columns=["source", "documents", "tokens"]).to_pylist():
        sums = tokens.setdefault(row["source"], [0, 0])
        sums[0] += row["documents"]
        sums[1] += row["tokens"]
    made = [
        (a.kind, a.name, a.fingerprint[:16], a.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"), a.path)
        for a in reversed(lake.artifacts()[-_SHOWN_ARTIFACTS:])
    ]
    return "".join(
        [
            f"<p class=quiet>lake <code>{escape(settings.lake.root)}</code></p>",
            "<h2>Stages: current receipts</h2>",
            _table(("stage", "slices", "read", "kept", "dropped", "failed"), ((s, *totals[s]) for s in order)),
            "<h2>Tokens</h2>",
            _table(("source", "documents", "tokens"), ((s, *tokens[s]) for s in sorted(tokens))),
            "<h2>Latest artifacts</h2>",
            _table(("kind", "name", "fingerprint", "made (UTC)", "path"), made),
        ]
    )


def _jobs_body(jobs: RayJobs, dag_id: str, run_id: str) -> str:
    rows = []
    for job in sorted(jobs.jobs(), key=lambda j: j.started or 0.0):
        if job.metadata.get("run_id") == run_id and dag_id in ("", job.metadata.get("dag_id")):
            took = f"{job.ended - job.started:.1f}" if job.started and job.ended else ""
            started = datetime.fromtimestamp(job.started, UTC).strftime("%H:%M:%S") if job.started else ""
            result = result_of(jobs.logs(job.submission_id)) if job.terminal else {}
            shown = ", ".join(f"{k}: {v}" for k, v in result.items() if isinstance(v, (str, int, float, bool)))
            rows.append((job.metadata.get("task_id", ""), job.status, started, took, job.submission_id, shown[:400]))
    note = "<p class=quiet>Ray forgets jobs when its head is restarted; receipts stay in the lake.</p>"
    return _table(("task", "status", "started (UTC)", "seconds", "Ray job", "result"), rows) + note


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    if not body:
        return "<p class=quiet>nothing yet</p>"
    return "<table><tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + f"</tr>{body}</table>"


def _cell(value: Any) -> str:
    return f"<td class=n>{value:,}</td>" if isinstance(value, int) else f"<td>{escape(str(value))}</td>"


def _page(title: str, body: str, user: str) -> str:
    head = f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"{head}<h1>{escape(title)}</h1>{body}<p class=quiet>signed in as {escape(user)}</p>"
