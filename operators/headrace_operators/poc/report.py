"""What `headrace poc` prints at the end: what the lake and the run hold, never what was hoped for; and its acceptance checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from headrace_lake.engine import load_pipeline
from headrace_lake.errors import HeadraceError
from headrace_lake.lake import Lake
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.launchers import launcher_of, result_of
from headrace_operators.operator_env import JOB_XCOM
from headrace_operators.poc import acceptance
from headrace_operators.poc.acceptance import AcceptanceCheck
from headrace_operators.poc.plan import PocPlan
from headrace_operators.poc.runs import DAG_ID
from headrace_operators.poc.states import seconds_of
from headrace_operators.services.local import LocalServices

PIPELINE = "text"
FETCH_STAGE = "crawl"
"""What a source's slice begins with: its receipt comes from the crawler or an importer, not from the pipeline."""


def print_report(
    services: LocalServices, api: AirflowApi, plan: PocPlan, run_id: str, console: Console, *, seconds: float
) -> list[AcceptanceCheck]:
    """Print the closing tables and where to look further; returns the acceptance checks that fail, none of them silently."""
    lake = Lake.open(services.settings)
    tasks = api.tasks(DAG_ID, run_id)
    states = {str(t["task_id"]): str(t["state"]) for t in tasks}
    results = task_results(services, api, run_id, states)
    held = {name: result for name, result in recorded_results(lake, plan.recipe).items() if states.get(name) == "success"}
    if "verify" in results:
        held["verify"] = results["verify"]
    judged = [*lake_checks(lake, plan, console), *result_checks(held, plan, console), acceptance.every_task_succeeded(states)]
    print_checks(judged, console)
    console.print(f"\nwork     {work_done(results)}")
    console.print(f"tasks    {task_times(tasks)}", soft_wrap=True, markup=False)
    console.print(f"took     {seconds:.0f} s")
    console.print(f"Airflow  {services.airflow.address}/dags/{DAG_ID}/runs/{run_id}", soft_wrap=True)
    console.print(f"         sign in as admin; the password is in {services.airflow.passwords_file}", soft_wrap=True)
    console.print("         `headrace services down` stops everything; the lake stays")
    return [check for check in judged if not check.holds]


def task_times(tasks: Sequence[Mapping[str, Any]]) -> str:
    """How long each task took from its start to its end, the time of its remote job included; minutes where it was more than one."""
    timed = [(str(t["task_id"]), s) for t in sorted(tasks, key=lambda t: str(t.get("start_date"))) if (s := seconds_of(t)) is not None]
    return ", ".join(f"{name} {s:.0f} s" if s < 60 else f"{name} {s / 60:.1f} min" for name, s in timed)


def task_results(services: LocalServices, api: AirflowApi, run_id: str, states: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Task → what its job's log says; nothing but how much was computed, and whether the bundle was verified, is taken from there."""
    launcher = launcher_of(services.settings)
    found: dict[str, dict[str, Any]] = {}
    for name, state in states.items():
        if state != "success" or name == "gate":
            continue
        try:
            found[name] = dict(result_of(launcher.logs(api.xcom(DAG_ID, run_id, name, JOB_XCOM)["submission_id"])))
        except (HeadraceError, TypeError, ValueError, KeyError):
            found[name] = {}
    return found


def recorded_results(lake: Lake, recipe: str) -> dict[str, dict[str, Any]]:
    """Task → what the lake holds of its result: the newest run, evaluation, decision and release of a recipe's newest mix."""
    found: dict[str, dict[str, Any]] = {}
    mix = lake.find_artifact("mix", name=recipe)
    if mix is None:
        return found
    run = next((a for a in reversed(lake.artifacts("run")) if mix.fingerprint in a.parents), None)
    checkpoints = [a.fingerprint for a in lake.artifacts("checkpoint") if run is not None and run.fingerprint in a.parents]
    if run is None or not checkpoints:
        return found
    found["train"] = run.payload
    evaluation = next((a for a in reversed(lake.artifacts("evaluation")) if checkpoints[-1] in a.parents), None)
    if evaluation is not None:
        found["evaluate"] = evaluation.payload
    decision = next((a for a in reversed(lake.artifacts("gate")) if a.payload["inputs"].get("checkpoint") == checkpoints[-1]), None)
    if decision is not None:
        found["gate"] = decision.payload
        release = next((a for a in reversed(lake.artifacts("release")) if decision.fingerprint in a.parents), None)
        if release is not None:
            found["release"] = {**release.payload, "path": lake.storage.uri(release.path).removeprefix("file://")}
    return found


# -- the data's half -------------------------------------------------------------------------------------------------


def lake_checks(lake: Lake, plan: PocPlan, console: Console) -> list[AcceptanceCheck]:
    """Stages and languages of the plan's slices, printed and judged."""
    receipts = _current_receipts(lake, plan)
    stages = [FETCH_STAGE, *(stage.name for stage in load_pipeline(lake.settings, PIPELINE).stages)]
    totals = _languages(lake, plan)
    _print_stages(receipts, stages, console)
    _print_languages(totals, console)
    aside = {"dropped": _rows_by_stage(lake, "exclusions", plan), "failed": _rows_by_stage(lake, "quarantine", plan)}
    return [
        acceptance.every_stage_ran(receipts, plan.sources, stages),
        acceptance.counts_add_up(receipts),
        acceptance.nothing_lost(receipts, aside),
        acceptance.enough_languages(totals, plan.acceptance),
    ]


def _current_receipts(lake: Lake, plan: PocPlan) -> list[dict[str, Any]]:
    columns = ["stage", "source", "slice", "read", "kept", "dropped", "failed"]
    rows = lake.read("receipts", columns=columns, where=f"slice = '{plan.slice}'").to_pylist()
    newest = {(r["stage"], r["source"]): r for r in rows if r["source"] in plan.sources}  # in the order of their commits
    return list(newest.values())


def _rows_by_stage(lake: Lake, table: str, plan: PocPlan) -> dict[tuple[str, str], int]:
    rows = lake.read(table, columns=["stage", "source", "slice"], where=f"slice = '{plan.slice}'")
    counted = rows.group_by(["stage", "source"]).aggregate([([], "count_all")]).to_pylist()
    return {(r["stage"], r["source"]): r["count_all"] for r in counted}


def _languages(lake: Lake, plan: PocPlan) -> dict[str, tuple[int, int]]:
    rows = lake.read("passports", columns=["language", "slice", "source", "token_count"], where=f"slice = '{plan.slice}'")
    mine = rows.filter(pc.is_in(rows["source"], value_set=pa.array(plan.sources, pa.string())))
    sums = mine.group_by("language").aggregate([("token_count", "sum"), ([], "count_all")]).to_pylist()
    return {r["language"]: (r["count_all"], r["token_count_sum"]) for r in sums}


def _print_stages(receipts: list[dict[str, Any]], stages: list[str], console: Console) -> None:
    fields = ("read", "kept", "dropped", "failed")
    table = Table("stage", *map(_right, ("slices", *fields)), title="read = kept + dropped + failed", title_justify="left")
    for stage in stages:
        mine = [r for r in receipts if r["stage"] == stage]
        table.add_row(stage, str(len(mine)), *(f"{sum(r[field] for r in mine):,}" for field in fields))
    console.print(table)


def _print_languages(totals: Mapping[str, tuple[int, int]], console: Console) -> None:
    table = Table("language", _right("documents"), _right("tokens"), title=f"{len(totals)} languages", title_justify="left")
    for language, (documents, tokens) in sorted(totals.items(), key=lambda item: -item[1][1]):
        table.add_row(language, f"{documents:,}", f"{tokens:,}")
    console.print(table)


# -- the model's half ------------------------------------------------------------------------------------------------


def result_checks(results: Mapping[str, Mapping[str, Any]], plan: PocPlan, console: Console) -> list[AcceptanceCheck]:
    """Training, evaluation, gate and release as `recorded_results` finds them, printed and judged."""
    evaluation = results.get("evaluate", {})
    languages = list(evaluation.get("languages") or [])
    _print_bits_per_byte(languages, evaluation.get("overall"), console)
    _print_gate(results.get("gate", {}), console)
    console.print(f"release  {results.get('release', {}).get('path') or 'none'}", soft_wrap=True, markup=False)
    return [
        acceptance.loss_fell(results.get("train", {}), plan.acceptance),
        acceptance.better_than_unigram(languages, plan.acceptance),
        acceptance.gate_is_open(results.get("gate", {})),
        acceptance.release_is_verified(results.get("release", {}), results.get("verify", {})),
    ]


def _print_bits_per_byte(rows: list[Mapping[str, Any]], overall: Mapping[str, Any] | None, console: Console) -> None:
    columns = ("bits per byte", "95 % interval", "unigram", "better", "training MB")
    table = Table("language", *map(_right, columns), title="held-out documents", title_justify="left")
    for row in [*rows, *([overall] if overall else [])]:
        bits, low, high, unigram = (float(row.get(key, math.nan)) for key in ("bits_per_byte", "low", "high", "unigram"))
        size = f"{float(row.get('training_bytes', math.nan)) / 1e6:.2f}"
        better = "yes" if bits < unigram else "no"
        table.add_row(str(row["language"]), f"{bits:.3f}", f"{low:.3f} to {high:.3f}", f"{unigram:.3f}", better, size)
    console.print(table)


def _print_gate(result: Mapping[str, Any], console: Console) -> None:
    if not result:
        console.print("gate     no decision")
        return
    how = "automatically, by the recorded policy: no human was asked" if result.get("automatic") else "by a human"
    console.print(f"gate     {result.get('gate')}: {result.get('decision')}, signed by {result.get('signer')} ({how})", markup=False)


def print_checks(judged: list[AcceptanceCheck], console: Console) -> None:
    """One line a check, the failed ones in red."""
    table = Table("what must hold", "", "found", title="acceptance checks", title_justify="left")
    for check in judged:
        table.add_row(check.name, "[green]yes[/]" if check.holds else "[bold red]NO[/]", escape(check.found))
    console.print(table)


def work_done(results: Mapping[str, Mapping[str, Any]]) -> str:
    """How many stage runs were computed, adopted or restored, by the tasks' own results."""
    counts: dict[str, int] = {}
    for result in results.values():
        for slice_ in result.get("slices") or []:
            for stage in slice_.get("stages") or []:
                counts[stage["action"]] = counts.get(stage["action"], 0) + 1
        if isinstance(result.get("action"), str):
            counts[result["action"]] = counts.get(result["action"], 0) + 1
    return ", ".join(f"{number} {action}" for action, number in sorted(counts.items())) or "(the tasks reported nothing)"


def _right(name: str) -> Column:
    return Column(name, justify="right")
