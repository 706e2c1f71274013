"""`headrace poc`: build the samples, start the services, run the DAG `poc`, report.

Nothing is faked: the DAG's tasks are the commands of the handbook, run as Ray jobs. A second run adopts everything by
fingerprint. The services stay up afterwards, so that the run can be looked at in the Airflow UI.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from rich.console import Console

from headrace_lake.errors import HeadraceError
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.operator_env import SETTINGS_ENV
from headrace_operators.poc.plan import PocPlan, load_poc_plan
from headrace_operators.poc.progress import follow_run
from headrace_operators.poc.report import print_report
from headrace_operators.ray_jobs import RayJobs
from headrace_operators.services.local import LocalServices

DAG_ID = "poc"
WITHIN_S = 1800.0
"""The bar is 15 minutes on 2 cores; a slower machine is let run."""
TAIL_LINES = 25
PLAIN_WIDTH = 150
"""Columns where the output goes to a file or a pipe."""


def run_poc(folder: Path, root: Path, *, down: bool = False) -> int:
    """Run the proof of concept; returns the exit code: 0 only if every task succeeded and every bar holds.

    Raises:
        HeadraceError: samples or services could not be had.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    began = time.monotonic()
    services = LocalServices(folder, root)
    os.environ[SETTINGS_ENV] = str(services.settings_file)
    plan = load_poc_plan()
    try:
        _samples(services, plan, console)
        services.up(say=lambda line: console.print(f"{time.monotonic() - began:6.1f} s  {line}"))
        api = AirflowApi.of_passwords(services.airflow.address, services.airflow.passwords_file)
        api.wait_for_dag(DAG_ID)
        api.unpause(DAG_ID)
        run_id = api.trigger(DAG_ID, {"base_url": services.site.address})
        console.print(
            f"{time.monotonic() - began:6.1f} s  run {run_id}: {services.airflow.address}/dags/{DAG_ID}/runs/{run_id}", soft_wrap=True
        )
        state = follow_run(api, DAG_ID, run_id, _order(api), console, within_s=WITHIN_S)
        unwell = [task for task in api.tasks(DAG_ID, run_id) if task["state"] != "success"]
        for task in sorted(unwell, key=lambda task: task["state"] != "failed"):
            _explain(api, services, run_id, task, console)
        missed = print_report(services, api, plan, run_id, console, seconds=time.monotonic() - began)
        api.close()
        for bar in missed:
            console.print(f"headrace poc: not met: {bar.name}: {bar.found}", style="bold red", markup=False, soft_wrap=True)
        return 0 if state == "success" and not missed else 1
    finally:
        if down:
            services.down(say=console.print)


def _samples(services: LocalServices, plan: PocPlan, console: Console) -> None:
    """Build the sample site; what was fetched and laid out before is kept."""
    from headrace_governance.samples.build import build_site

    samples = services.site.samples
    sections = tuple(sorted({source.rpartition("-")[0] for source in plan.sources}))
    languages = tuple(sorted({source.rpartition("-")[2] for source in plan.sources}))
    build_site(
        samples, cache=samples / "packages", languages=languages, sections=sections, say=lambda line: console.print(f"samples: {line}")
    )


def _order(api: AirflowApi) -> list[str]:
    """Task ids in the order in which they can run."""
    downstream = {t["task_id"]: set(t["downstream_task_ids"]) for t in api.call("GET", f"/dags/{DAG_ID}/tasks")["tasks"]}
    order: list[str] = []
    while downstream:
        waiting = set().union(*downstream.values())
        ready = sorted(name for name in downstream if name not in waiting)
        order += ready
        for name in ready:
            del downstream[name]
    return order


def _explain(api: AirflowApi, services: LocalServices, run_id: str, task: dict[str, object], console: Console) -> None:
    """Show why a task did not succeed: the end of its remote log, and where the rest is."""
    name = str(task["task_id"])
    console.print(f"\n[bold red]{name}: {task['state']}[/]")
    if task["state"] != "failed":
        return
    try:
        sid = api.xcom(DAG_ID, run_id, name, "ray_job")["submission_id"]
        lines = RayJobs.of(services.settings).logs(sid).splitlines()
    except HeadraceError as exc:
        lines = [f"(no remote log: {exc})"]
    console.print("\n".join(lines[-TAIL_LINES:]), markup=False)
    console.print(f"whole log: {services.airflow.address}/dags/{DAG_ID}/runs/{run_id}/tasks/{name}", soft_wrap=True)
