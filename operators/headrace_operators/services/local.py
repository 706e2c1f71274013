"""All local services of one working folder (`var/poc` by default): PostgreSQL, Ray, Airflow, the sample web site.

`up` is idempotent: what runs and is healthy is kept. Ports are chosen free once and written into the folder's
`headrace.yaml`, so every later command finds the same services. The folder is closed to other users (mode 0700).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headrace_lake.catalog_address import with_password
from headrace_lake.errors import ServiceError
from headrace_lake.settings import EMBEDDED, SETTINGS_FILE, Settings, load_settings
from headrace_lake.storage.private_folder import private_folder
from headrace_operators.launchers import launcher_of
from headrace_operators.operator_env import SETTINGS_ENV
from headrace_operators.services.airflow import LocalAirflow
from headrace_operators.services.embedded_postgres import EmbeddedPostgres
from headrace_operators.services.process import Daemon, free_port, port_in_use
from headrace_operators.services.ray_head import RayHead, token_environment
from headrace_operators.services.site import SampleSite

NAMES = ("postgres", "ray", "airflow", "site")
AIRFLOW_DATABASE, LAKE_DATABASE = "airflow", "lake"
"""Databases of the embedded PostgreSQL."""
_USUALLY = {"postgres": "a second or two", "ray": "usually 5 to 20 s", "airflow": "usually 15 to 60 s", "site": "a second or two"}


@dataclass(frozen=True)
class ServiceState:
    """One line of `services status`."""

    name: str
    healthy: bool
    address: str
    log: str


class LocalServices:
    """The services of one folder.

    Args:
        folder: where their state lives; created on first use.
        root: the checkout (holds dags/, governance/, ...).
        cpus: CPUs that Ray may hand out; the machine's by default.
        dags: another DAG folder than the checkout's (tests).
        samples: where the sample site was built; `var/samples` of the checkout by default.
        usual_ports: take 8080, 8265 and 8790 where they are free (the sample sources are declared at 8790).
        overrides: further settings for a new folder's `headrace.yaml`, such as `{"sources": "my/sources"}`.
        airflow: further variables for Airflow.
        shared_catalog: keep the catalog of a new folder's lake in the embedded PostgreSQL too; SQLite beside the lake otherwise.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        *,
        cpus: float | None = None,
        dags: Path | None = None,
        samples: Path | None = None,
        usual_ports: bool = True,
        overrides: Mapping[str, Any] | None = None,
        airflow: Mapping[str, str] | None = None,
        shared_catalog: bool = False,
    ) -> None:
        self.folder = folder.resolve()
        self.root = root.resolve()
        self.settings_file = self.folder / SETTINGS_FILE
        self.postgres = EmbeddedPostgres(self.folder / "postgres")
        if not self.settings_file.exists():
            self._write_settings(usual_ports, overrides or {}, shared_catalog)
        self.settings: Settings = load_settings(self.settings_file)
        ports = json.loads((self.folder / "ports.json").read_text(encoding="utf-8"))
        site = f"http://127.0.0.1:{ports['site']}"
        if "sample_site" not in self.settings.model_fields_set and self.settings.sample_site != site:  # written before there was the field
            with self.settings_file.open("a", encoding="utf-8") as out:
                out.write(f"sample_site: {site}\n")
            self.settings = load_settings(self.settings_file)
        token = self.settings.resolve(self.settings.ray.token_file)
        self.ray = RayHead(self.folder / "ray", self.settings.ray.address, token, cpus=cpus or os.cpu_count() or 1)
        self.airflow = LocalAirflow(
            self.folder / "airflow", self.settings.airflow.address, dags or self.root / "dags", airflow, database=self.database_address
        )
        self.site = SampleSite(samples or self.root / "var" / "samples", self.folder / "site", int(ports["site"]))

    def _write_settings(self, usual_ports: bool, overrides: Mapping[str, Any], shared_catalog: bool) -> None:
        private_folder(self.folder)
        here = self.folder.relative_to(self.root) if self.folder.is_relative_to(self.root) else self.folder
        usual = {"ray": 8265, "airflow": 8080, "site": 8790}
        ports = {name: port if usual_ports and not port_in_use(port) else free_port() for name, port in usual.items()}
        content = {
            "base": os.path.relpath(self.root, self.folder),
            "lake": {"root": str(here / "lake"), **({"catalog": self.postgres.address(LAKE_DATABASE)} if shared_catalog else {})},
            "ray": {"address": f"http://127.0.0.1:{ports['ray']}", "token_file": str(here / "ray" / "token")},
            "airflow": {"address": f"http://127.0.0.1:{ports['airflow']}", "user": "admin"},
            "runs": str(here / "runs"),
            "jobs": {"folder": str(here / "jobs")},
            "sample_site": f"http://127.0.0.1:{ports['site']}",
            **overrides,
        }
        (self.folder / "ports.json").write_text(json.dumps(ports), encoding="utf-8")
        text = "# Generated by `headrace services`: delete it to choose new ports.\n" + yaml.safe_dump(content, sort_keys=False)
        self.settings_file.write_text(text, encoding="utf-8")

    def database_address(self) -> str:
        """SQLAlchemy address of Airflow's database; one in the settings may hold a password here: never log it."""
        airflow = self.settings.airflow
        if airflow.database == EMBEDDED:
            return self.postgres.address(AIRFLOW_DATABASE)
        return with_password(airflow.database, airflow.database_password)

    @property
    def databases(self) -> list[str]:
        """What lies in the embedded PostgreSQL; empty where it is not used."""
        used = [AIRFLOW_DATABASE] if self.settings.airflow.database == EMBEDDED else []
        return used + ([LAKE_DATABASE] if self.settings.lake.catalog == self.postgres.address(LAKE_DATABASE) else [])

    def environment(self) -> dict[str, str]:
        """Environment of every service and of commands that talk to them."""
        venv_bin = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": os.pathsep.join([venv_bin, os.environ.get("PATH", "")]),
            "PYTHONUNBUFFERED": "1",
            SETTINGS_ENV: str(self.settings_file),
            **token_environment(self.ray.token_file),
        }

    def up(self, names: tuple[str, ...] = NAMES, *, say: Callable[[str], None] = lambda _: None) -> None:
        """Start what is asked for and not running.

        Raises:
            ServiceError: a port is in use or a service did not come up.
        """
        unknown = [name for name in names if name not in NAMES]
        if unknown:
            raise ServiceError(f"service '{unknown[0]}' is not known", f"known services: {', '.join(NAMES)}")
        private_folder(self.folder)
        env = self.environment()
        services: dict[str, RayHead | LocalAirflow | SampleSite] = {"ray": self.ray, "airflow": self.airflow, "site": self.site}
        began = ("airflow" in names or "postgres" in names) and self._start_database(say)
        try:
            self._start(services, names, env, say)
        except ServiceError:
            if began and "postgres" not in names and all(daemon.pid() is None for daemon in self.airflow.daemons.values()):
                self.postgres.stop()  # it was started for an Airflow that never began
            raise

    def _start(
        self,
        services: Mapping[str, RayHead | LocalAirflow | SampleSite],
        names: tuple[str, ...],
        env: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        for name in (name for name in NAMES if name in names and name in services):
            if name == "site" and not self.site.available():
                say("site: no samples built yet, nothing to serve")
                continue
            if not services[name].healthy():
                say(f"{name}: starting, {_USUALLY[name]}")
                services[name].start(env, self.root)
            say(f"{name}: ready")

    def _start_database(self, say: Callable[[str], None]) -> bool:
        """Start the embedded PostgreSQL, where it is used. Whether it did not run before."""
        before = self.airflow.folder / "airflow.db"
        if AIRFLOW_DATABASE in self.databases and before.exists() and not self.postgres.made:
            raise ServiceError(
                f"{before} is the database of an Airflow on SQLite, which an earlier version kept; Airflow has no tool that copies it",
                f"finish or give up its runs with that version, then put it aside: mv {before} {before}.old. The lake stays, and new runs "
                "adopt what it holds; the history of runs and open gates stay in the old file (docs/database.md)",
            )
        if not self.databases:
            return False
        began = not self.postgres.healthy()
        if began:
            say(f"postgres: starting, {_USUALLY['postgres']}")
        self.postgres.start(self.databases)
        say("postgres: ready")
        return began

    def died(self) -> list[str]:
        """Services of which a process has ended without being asked to; looks at pids only."""
        return [name for name, daemons in self._daemons().items() if any(daemon.died for daemon in daemons)]

    def stopped(self) -> list[str]:
        """Ray, Airflow and its database, where some command has stopped them and none has started them since."""
        return [name for name, daemons in self._daemons().items() if name != "site" and all(daemon.stopped for daemon in daemons)]

    def _daemons(self) -> dict[str, list[Daemon]]:
        database = {"postgres": [self.postgres.daemon]} if self.databases else {}
        return {**database, "ray": [self.ray.daemon], "airflow": list(self.airflow.daemons.values()), "site": [self.site.daemon]}

    def down(self, names: tuple[str, ...] = NAMES, *, say: Callable[[str], None] = lambda _: None) -> None:
        """Stop what is asked for; Airflow first, so that nothing is submitted to a dying Ray, and the database last.

        Airflow's own database stops with it; one that also holds the lake's catalog only when it is named.
        """
        stop = {"airflow": self.airflow.stop, "ray": self._stop_ray, "site": self.site.stop, "postgres": self.postgres.stop}
        wanted = {*names, "postgres"} if "airflow" in names and self.databases == [AIRFLOW_DATABASE] else set(names)
        for name, function in stop.items():
            if name in wanted:
                say(f"{name}: {'stopped' if function() else 'was not running'}")

    def _stop_ray(self) -> bool:
        """Stop Ray with its jobs; and jobs of the launcher `local`, which stand in for it. Whether Ray ran."""
        if self.settings.jobs.launcher == "local":
            launcher = launcher_of(self.settings)
            running = [job.submission_id for job in launcher.jobs() if not job.terminal]
            for sid in running:
                launcher.cancel(sid)
            for sid in running:
                launcher.cancel_and_wait(sid)
        return self.ray.stop()

    def status(self) -> list[ServiceState]:
        """State of each service."""
        database = ServiceState("postgres", True, self.settings.airflow.database, "")
        if self.databases:
            place = str(self.postgres.socket_folder)
            database = ServiceState("postgres", self.postgres.healthy(), place, str(self.postgres.daemon.log_file))
        return [
            database,
            ServiceState("ray", self.ray.healthy(), self.ray.address, str(self.ray.daemon.log_file)),
            ServiceState("airflow", self.airflow.healthy(), self.airflow.address, str(self.airflow.folder / "run")),
            ServiceState("site", self.site.healthy(), self.site.address, str(self.site.daemon.log_file)),
        ]
