"""What `headrace poc` prints at the end: what the lake and the run hold, never what was hoped for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from headrace_lake.errors import HeadraceError
from headrace_lake.lake import Lake
from headrace_lake.slices import Slice
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.poc.plan import PocPlan
from headrace_operators.ray_jobs import RayJobs, result_of
from headrace_operators.services.local import LocalServices

DAG_ID = "poc"


def print_report(services: LocalServices, api: AirflowApi, plan: PocPlan, run_id: str, console: Console, *, seconds: float) -> bool:
    """Print the closing tables; returns whether every part of the line is there."""
    lake = Lake.open(services.settings)
    slices = [Slice.parse(text) for text in plan.slices]
    results = _results(services, api, run_id)
    parts = [
        _stages(lake, slices, console),
        _languages(lake, plan, console),
        _training(results.get("train", {}), console),
        _bits_per_byte(results.get("evaluate", {}), console),
        _gate(results.get("gate", {}), console),
        _release(results.get("release", {}), console),
    ]
    console.print(f"\nwork     {_work(results)}")
    console.print(f"took     {seconds:.0f} s")
    console.print(f"Airflow  {services.airflow.address}/dags/{DAG_ID}/runs/{run_id}", soft_wrap=True)
    console.print(f"         sign in as admin; the password is in {services.airflow.passwords_file}", soft_wrap=True)
    console.print("         `headrace services down` stops everything; the lake stays")
    return all(parts)


def _results(services: LocalServices, api: AirflowApi, run_id: str) -> dict[str, dict[str, Any]]:
    """Task → its result. From the jobs' own logs, since XCom keeps only what is small; a gate's decision from XCom."""
    jobs = RayJobs.of(services.settings)
    found: dict[str, dict[str, Any]] = {}
    for task in api.tasks(DAG_ID, run_id):
        name = task["task_id"]
        if task["state"] != "success":
            continue
        try:
            sent = api.xcom(DAG_ID, run_id, name)
            if name != "gate":
                sent = result_of(jobs.logs(api.xcom(DAG_ID, run_id, name, "ray_job")["submission_id"])) or sent
            found[name] = dict(sent)
        except (HeadraceError, TypeError, ValueError):
            found[name] = {}
    return found


def _stages(lake: Lake, slices: list[Slice], console: Console) -> bool:
    wanted = {(s.source, s.interval) for s in slices}
    columns = ["stage", "source", "slice", "committed_at", "read", "kept", "dropped", "failed"]
    rows = [r for r in lake.read("receipts", columns=columns).to_pylist() if (r["source"], r["slice"]) in wanted]
    newest = {(r["stage"], r["source"]): r for r in sorted(rows, key=lambda r: r["committed_at"])}
    order = list(dict.fromkeys(stage for stage, _ in newest))
    table = Table(
        "stage",
        *(_right(c) for c in ("slices", "read", "kept", "dropped", "failed")),
        title="read = kept + dropped + failed",
        title_justify="left",
    )
    adds_up = True
    for stage in order:
        mine = [r for (name, _), r in newest.items() if name == stage]
        read, kept, dropped, failed = (sum(r[c] for r in mine) for c in ("read", "kept", "dropped", "failed"))
        adds_up &= read == kept + dropped + failed
        table.add_row(stage, str(len(mine)), f"{read:,}", f"{kept:,}", f"{dropped:,}", f"{failed:,}")
    console.print(table)
    return adds_up and bool(order)


def _languages(lake: Lake, plan: PocPlan, console: Console) -> bool:
    rows = lake.read("passports", columns=["language", "slice", "source", "token_count"], where=f"slice = '{plan.slice}'").to_pylist()
    totals: dict[str, list[int]] = {}
    for row in rows:
        if row["source"] in plan.sources:
            sums = totals.setdefault(row["language"], [0, 0])
            sums[0] += 1
            sums[1] += row["token_count"]
    table = Table("language", _right("documents"), _right("tokens"), title=f"{len(totals)} languages", title_justify="left")
    for language, (documents, tokens) in sorted(totals.items(), key=lambda item: -item[1][1]):
        table.add_row(language, f"{documents:,}", f"{tokens:,}")
    console.print(table)
    return bool(totals)


def _training(result: Mapping[str, Any], console: Console) -> bool:
    loss, vocabulary = result.get("last_loss"), result.get("vocabulary")
    if loss is None or not vocabulary:
        console.print("\ntraining no result")
        return False
    start = math.log(float(vocabulary))
    down = start - float(loss)
    console.print(f"\ntraining loss {float(loss):.3f} after {result.get('steps')} steps, {down:.2f} nats below ln({vocabulary})")
    return True


def _bits_per_byte(result: Mapping[str, Any], console: Console) -> bool:
    rows = result.get("languages") or []
    table = Table(
        "language",
        *(_right(c) for c in ("bits per byte", "95 % interval", "unigram", "better")),
        title="held-out documents",
        title_justify="left",
    )
    for row in rows:
        better = "yes" if row["bits_per_byte"] < row["unigram"] else "no"
        table.add_row(
            row["language"], f"{row['bits_per_byte']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}", f"{row['unigram']:.3f}", better
        )
    console.print(table)
    return bool(rows)


def _gate(result: Mapping[str, Any], console: Console) -> bool:
    if not result:
        console.print("gate     no decision")
        return False
    how = "automatically, by the recorded policy: no human was asked" if result.get("automatic") else "by a human"
    console.print(f"gate     {result['gate']}: {result['decision']}, signed by {result['signer']} ({how})")
    return True


def _release(result: Mapping[str, Any], console: Console) -> bool:
    path = result.get("path")
    console.print(f"release  {path or 'none'}", soft_wrap=True)
    return bool(path)


def _work(results: Mapping[str, Mapping[str, Any]]) -> str:
    """How many stage runs were computed, adopted or restored, by the tasks' own results."""
    counts: dict[str, int] = {}
    for result in results.values():
        for slice_ in result.get("slices") or []:
            for stage in slice_.get("stages") or []:
                counts[stage["action"]] = counts.get(stage["action"], 0) + 1
        if isinstance(result.get("action"), str):
            counts[result["action"]] = counts.get(result["action"], 0) + 1
    return ", ".join(f"{number} {action}" for action, number in sorted(counts.items())) or "(the tasks reported nothing)"


def _right(name: str) -> Any:
    from rich.table import Column

    return Column(name, justify="right")
