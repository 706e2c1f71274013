"""`headrace poc`: build the samples, start the services, run the DAG `poc` or attach to a run that is under way, report.

Nothing is faked: the DAG's tasks are the commands of the handbook, run as remote jobs. A second run adopts everything by
fingerprint. The services stay up afterwards, so that the run can be looked at in the Airflow UI.

The command only watches: services and run live in processes of their own. Ended by Ctrl-C, SIGTERM or `kill -9` in any phase and started
again, it attaches to the run that is active and never triggers a second one beside it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace_lake.errors import HeadraceError, ServiceError
from headrace_lake.lines import data_lines
from headrace_lake.settings import SETTINGS_FILE
from headrace_lake.terminal.console import text_console
from headrace_lake.terminal.interrupt import Interrupted, interruptible
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.launchers import launcher_of
from headrace_operators.operator_env import SETTINGS_ENV
from headrace_operators.poc.compiling import Compiling
from headrace_operators.poc.note import NoteFile
from headrace_operators.poc.plan import PocPlan, load_poc_plan, plan_digest
from headrace_operators.poc.progress import Follower
from headrace_operators.poc.report import print_report
from headrace_operators.poc.runs import DAG_ID, active_runs, one_at_a_time, remote_job, stop_run
from headrace_operators.poc.upkeep import Upkeep
from headrace_operators.services.local import LocalServices

TAIL_LINES = 25
PLAIN_WIDTH = 150
"""Columns where the output goes to a file or a pipe."""


def run_poc(folder: Path, root: Path, *, down: bool = False, fresh: bool = False) -> int:
    """Run the proof of concept; returns the exit code: 0 only if every task succeeded and every acceptance check holds.

    Args:
        down: stop the services at the end.
        fresh: stop a run that is active and start a new one.

    Raises:
        HeadraceError: samples or services could not be had.
    """
    return Poc(folder, LocalServices(folder, root), down=down, fresh=fresh).run()


def stop_poc(folder: Path, root: Path) -> int:
    """Stop the active runs with their remote jobs, then the services; the lake stays."""
    if not (folder / SETTINGS_FILE).exists():
        text_console(highlight=False).print(f"nothing was ever started in {folder}", markup=False, soft_wrap=True)
        return 0
    poc = Poc(folder, LocalServices(folder, root))
    with one_at_a_time(folder, poc.say):
        api = poc.airflow_if_up()
        if api is not None:
            for run in active_runs(api):
                stop_run(api, poc.launcher, run["dag_run_id"], poc.say)
            poc.note.forget()
            api.close()
        elif (known := poc.note.read()) is not None:
            poc.say(f"Airflow does not run, so run {known.run_id} is left as it is: `{poc.command()}` goes on with it, --fresh does not")
        poc.services.down(say=poc.say)
    return 0


class Poc:
    """One command over the services of a folder.

    Args:
        folder: as the user named it, for the commands that are shown.
        down, fresh: see `run_poc`.
    """

    def __init__(self, folder: Path, services: LocalServices, *, down: bool = False, fresh: bool = False) -> None:
        self.folder, self.down, self.fresh = folder, down, fresh
        self.console = text_console(highlight=False)
        if not self.console.is_terminal:
            self.console = text_console(highlight=False, width=PLAIN_WIDTH)
        began = time.monotonic()
        self.clock: Callable[[], float] = lambda: time.monotonic() - began
        self.services = services
        os.environ[SETTINGS_ENV] = str(self.services.settings_file)
        self.launcher = launcher_of(self.services.settings)
        self.note = NoteFile(self.services.folder)
        self.run_id = ""
        self.compiling = Compiling(self.services.folder / "compile.log")

    def say(self, line: str) -> None:
        """A line with the seconds since the command began."""
        self.console.print(f"{self.clock():6.1f} s  {line}", markup=False, soft_wrap=True)

    def command(self, *options: str) -> str:
        """This very command as it can be pasted, with other options."""
        program = sys.argv[0] if os.path.basename(sys.argv[0]) == "headrace" else "headrace"
        program = os.path.relpath(program) if os.path.isabs(program) and program.startswith(os.getcwd() + os.sep) else program
        where = [] if self.folder == Path("var/poc") else ["--folder", str(self.folder)]
        return " ".join([program, "poc", *where, *options])

    def run(self) -> int:
        """All of it; returns the exit code, 128 and the signal's number where a signal ended it."""
        with interruptible():
            try:
                return self._run()
            except Interrupted as exc:
                self._farewell(exc)
                return exc.exit_code
            finally:
                self.compiling.end()
                if self.down:
                    self.services.down(say=self.console.print)

    def _run(self) -> int:
        plan = load_poc_plan()
        known = self.note.read()
        with one_at_a_time(self.folder, self.say):
            api, attached = self._begin(plan, under_way=known is not None)
        follower = Follower(api, self.launcher, self.run_id, _order(api), self.console, self.clock, self.note)
        if attached:
            self._say_attached(api, follower)
        state = follower.follow(Upkeep(self.services, api, self.run_id, self.say))
        self.note.forget()
        return self._report(api, plan, state)

    # -- beginning ---------------------------------------------------------------------------------------------------

    def _begin(self, plan: PocPlan, *, under_way: bool) -> tuple[AirflowApi, bool]:
        """Services that run, and `run_id` of a run that is active or was just triggered; whether it was attached to."""
        api = self.airflow_if_up()
        runs = active_runs(api) if api is not None else []
        for run in runs[:1]:
            self.say(f"run {run['dag_run_id']} is {run['state']} since {str(run.get('start_date') or run.get('queued_at'))[11:19]} UTC")
        if not ((runs or under_way) and self.services.site.available()):
            self.say("samples: looking at the packages and pages")
            self.build_samples(plan)
        self.services.up(say=self.say)
        api = api or AirflowApi.of_passwords(self.services.airflow.address, self.services.airflow.passwords_file)
        api.wait_for_dag(DAG_ID)
        runs = active_runs(api)
        if runs:
            why = "--fresh was given" if self.fresh else self._not_ours(runs[0])
            if not why:
                self._choose(runs, plan)
                api.unpause(DAG_ID)
                return api, True
            self.say(f"{why}: a new run is started")
            for run in runs:
                stop_run(api, self.launcher, run["dag_run_id"], self.say)
        api.unpause(DAG_ID)
        self.run_id = api.trigger(DAG_ID, {"base_url": self.services.site.address, "plan": plan_digest(plan)})
        self.note.write(self.run_id, {})
        self.say(f"run {self.run_id}: {self.address}")
        return api, False

    def airflow_if_up(self) -> AirflowApi | None:
        """A session with Airflow if it answers now."""
        airflow = self.services.airflow
        if airflow.daemons["api-server"].pid() is None or not airflow.answering():
            return None
        with suppress(ServiceError):
            return AirflowApi.of_passwords(airflow.address, airflow.passwords_file)
        return None

    @property
    def address(self) -> str:
        """The run's page."""
        return f"{self.services.airflow.address}/dags/{DAG_ID}/runs/{self.run_id}"

    def _not_ours(self, run: dict[str, Any]) -> str:
        """Why an active run cannot come to a good end here; empty if it can."""
        theirs, ours = (run.get("conf") or {}).get("base_url"), self.services.site.address
        return "" if theirs in (None, ours) else f"run {run['dag_run_id']} fetches from {theirs}, and the sample site is at {ours} now"

    def _choose(self, runs: list[dict[str, Any]], plan: PocPlan) -> None:
        self.run_id = runs[0]["dag_run_id"]
        for other in runs[1:]:
            self.say(f"run {other['dag_run_id']} is {other['state']} too and goes on after it; `{self.command('--fresh')}` stops all")
        digest = (runs[0].get("conf") or {}).get("plan")
        if digest not in (None, plan_digest(plan)):
            self.say(f"policies/poc.yaml was changed since this run was started; `{self.command('--fresh')}` starts one with the new plan")

    def _say_attached(self, api: AirflowApi, follower: Follower) -> None:
        state = str(api.run(DAG_ID, self.run_id)["state"])
        self.say(f"attached to run {self.run_id}: {self.address}")
        self.say(follower.attach_line(state, api.tasks(DAG_ID, self.run_id)))

    def build_samples(self, plan: PocPlan) -> None:
        """Build the sample site; what was fetched and laid out before is kept."""
        from headrace_governance.acquire.samples.build import build_site

        samples = self.services.site.samples
        if not (self.services.folder / "lake").exists():
            self.say("kernels: compiling in the background, a minute or two of one core")
            self.compiling.start()
        sections = tuple(sorted({source.rpartition("-")[0] for source in plan.sources}))
        languages = tuple(sorted({source.rpartition("-")[2] for source in plan.sources}))
        build_site(
            samples, cache=samples / "packages", languages=languages, sections=sections, say=lambda line: self.say(f"samples: {line}")
        )

    # -- ending ------------------------------------------------------------------------------------------------------

    def _farewell(self, interrupted: Interrupted) -> None:
        """What goes on running, and how to stop it."""
        self.console.print()
        self.say(f"{interrupted} received: this command ends")
        if self.down:
            self.say(f"--down was given, so the services stop as well; `{self.command()}` goes on where they stopped")
            return
        if self.run_id:
            self.say(f"the run goes on in Airflow at {self.address}")
        elif not self.services.airflow.daemons["api-server"].pid():
            self.say("no run was started yet")
        self.say(f"{'attach again' if self.run_id else 'go on'}:  {self.command()}")
        self.say(f"stop all:      {self.command('--stop')}")

    def _report(self, api: AirflowApi, plan: PocPlan, state: str) -> int:
        tasks = api.tasks(DAG_ID, self.run_id)
        unwell = [task for task in tasks if task["state"] != "success"]
        for task in sorted(unwell, key=lambda task: task["state"] != "failed"):
            self._explain(api, task)
        missed = print_report(self.services, api, plan, self.run_id, self.console, seconds=self.clock())
        api.close()
        for check in missed:
            self.console.print(f"headrace poc: not met: {check.name}: {check.found}", style="bold red", markup=False, soft_wrap=True)
        return 0 if state == "success" and not missed else 1

    def _explain(self, api: AirflowApi, task: dict[str, Any]) -> None:
        """Show why a task did not succeed: the end of its remote log, and where the rest is."""
        name = str(task["task_id"])
        self.console.print(f"\n[bold red]{name}: {task['state']}[/]")
        if task["state"] != "failed":
            return
        sid = remote_job(api, self.run_id, name)
        try:
            lines = data_lines(self.launcher.logs(sid)) if sid else ["(it was never submitted)"]
        except HeadraceError as exc:
            lines = [f"(no remote log: {exc})"]
        self.console.print("\n".join(lines[-TAIL_LINES:]), markup=False)
        self.console.print(f"whole log: {self.address}/tasks/{name}", soft_wrap=True)


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
