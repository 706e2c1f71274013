"""The local Airflow: scheduler, DAG processor, triggerer and API server as four processes, PostgreSQL, a LocalExecutor.

Why not `airflow standalone`: it also starts two log servers that listen on every interface; the API server reads local
log files without them, so here they are left out (`--skip-serve-logs`) and everything listens on loopback only.
It also leaves orphans on SIGTERM.

What it costs: about 1 GB of memory, 20-60 s until ready on 2 cores.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from headrace_lake.errors import ServiceError
from headrace_operators.services.process import Daemon, free_port, port_in_use
from headrace_operators.services.secret_file import write_once

COMPONENTS: dict[str, list[str]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
KEPT_RUNNING = ("scheduler", "dag-processor", "triggerer")
"""Components that end with an error when the database was away, and are started again (`keep_running`). The API server goes on."""
READY_WITHIN_S = 150.0
"""Measured 15-60 s on 2 busy cores."""
PARALLELISM = 4
"""Worker processes: each holds an idle Airflow of about 100 MB, and our tasks only submit and defer."""
RUNNER_SILENT_S = 60
"""A task runner that has not been heard of for so long is dead: its task is retried (Airflow's default is 300)."""
REPORT_EVERY_S = 1
"""How often a task runner reports. Its supervisor may also look for the end of it so often only (Airflow's default is 5), and until then
the task holds its place."""
TRIGGERER_SILENT_S = 15
"""The same for the triggerer, which reports every 2 s: another one then takes over what it watched."""
ORPHANS_EVERY_S = 20
"""How often the scheduler looks for tasks that a killed scheduler had queued (Airflow's default is 300)."""
USERS = {"admin": "admin", "reviewer": "op"}
"""Local users and roles; two, because who triggers a run may not approve its gate."""


class LocalAirflow:
    """Start, probe and stop one Airflow.

    Args:
        folder: AIRFLOW_HOME (database, logs, passwords, configuration).
        address: where the API server and the UI listen, `http://127.0.0.1:PORT`.
        configuration: further `AIRFLOW__SECTION__KEY` variables.
        database: SQLAlchemy address of its database, which must be running when Airflow starts; asked for at the moment of use, because
            it may hold a password.
    """

    def __init__(
        self, folder: Path, address: str, dags: Path, configuration: Mapping[str, str] | None = None, *, database: Callable[[], str]
    ) -> None:
        self.folder = folder.resolve()
        self.address = address.rstrip("/")
        self.dags = dags.resolve()
        self.configuration = dict(configuration or {})
        self.database = database
        self.daemons = {name: Daemon(f"airflow-{name}", self.folder / "run", signal.SIGINT, 15.0) for name in COMPONENTS}

    @property
    def passwords_file(self) -> Path:
        """User → password, readable by its owner only."""
        return self.folder / "simple_auth_manager_passwords.json.generated"

    def environment(self) -> dict[str, str]:
        """Airflow's configuration as environment variables."""
        url = urlsplit(self.address)
        return {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__API__BASE_URL": self.address,
            "AIRFLOW__API__HOST": str(url.hostname),
            "AIRFLOW__API__PORT": str(url.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__EXPOSE_CONFIG": "False",
            "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "headrace_operators.services.executor.ResumingLocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.folder / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.passwords_file),
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database(),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.folder / "logs"),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": str(ORPHANS_EVERY_S),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(RUNNER_SILENT_S),
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(TRIGGERER_SILENT_S),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": str(REPORT_EVERY_S),
            **self.configuration,
        }

    def healthy(self) -> bool:
        """Are all four components ours, alive and reporting?"""
        if any(daemon.pid() is None for daemon in self.daemons.values()):
            return False
        return self._reporting()

    def answering(self) -> bool:
        """Does the API server take requests?"""
        try:
            return httpx.get(f"{self.address}/api/v2/version", timeout=5.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _reporting(self) -> bool:
        try:
            health = httpx.get(f"{self.address}/api/v2/monitor/health", timeout=5.0, trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def start(self, env: Mapping[str, str], cwd: Path) -> None:
        """Start what does not run and wait until each component reports healthy; what is healthy is kept.

        Raises:
            ServiceError: the port is taken, or a component did not come up.
        """
        if self.healthy():
            return
        environment = {**env, **self.environment()}
        url = urlsplit(self.address)
        if url.hostname != "127.0.0.1" or url.port is None:
            raise ServiceError(f"airflow.address {self.address} is not a loopback address with a port", "write http://127.0.0.1:PORT")
        server = self.daemons["api-server"]
        if server.busy(url.port, READY_WITHIN_S):
            with suppress(ServiceError):
                server.wait_until(self.answering, READY_WITHIN_S)
                self._start_missing(environment, cwd)  # somebody killed a component: the others go on working
                return
        self.stop()
        if port_in_use(url.port):
            raise ServiceError(f"port {url.port} (airflow.address) is in use", "stop what listens there or change airflow.address")
        write_passwords(self.passwords_file)
        self._migrate(environment, cwd)
        self._start_missing(environment, cwd)

    def _start_missing(self, environment: Mapping[str, str], cwd: Path) -> None:
        for name, words in COMPONENTS.items():
            if self.daemons[name].pid() is None:
                self.daemons[name].stop()  # forgets the dead one
                keeper = [sys.executable, "-m", "headrace_operators.services.keep_running"] if name in KEPT_RUNNING else []
                self.daemons[name].start([*keeper, _airflow(), *words], environment, cwd)
        self.daemons["api-server"].wait_until(self._ready, READY_WITHIN_S)

    def _ready(self) -> bool:
        for daemon in self.daemons.values():
            if daemon.pid() is None:
                raise ServiceError(f"{daemon.name} ended while starting: {daemon.tail()}", f"read {daemon.log_file}")
        return self._reporting()

    def _migrate(self, env: Mapping[str, str], cwd: Path) -> None:
        """Create or upgrade the tables; skipped when this version has done so in this very database, for it takes 10 s to find out."""
        from importlib.metadata import version

        mark = self.folder / f"db-{version('apache-airflow-core')}.ready"
        if mark.exists() and mark.read_text(encoding="ascii") == _revision(self.database()) != "":
            return
        migrate = Daemon("airflow-migrate", self.folder / "run", signal.SIGTERM, 5.0)
        migrate.wait_ended()  # one that an interrupted command began: two at once would spoil the database
        migrate.start([_airflow(), "db", "migrate"], env, cwd)
        if migrate.wait() != 0:
            raise ServiceError(f"airflow db migrate failed: {migrate.tail()}", f"read {migrate.log_file}")
        migrate.pid_file.unlink(missing_ok=True)
        mark.write_text(_revision(self.database()), encoding="ascii")

    def stop(self) -> bool:
        """Stop all components, at the same time; returns whether any ran."""
        for daemon in self.daemons.values():
            daemon.ask_to_stop()
        stopped = [daemon.stop() for daemon in self.daemons.values()]
        return any(stopped)


def _airflow() -> str:
    return str(Path(sys.executable).parent / "airflow")


def _revision(database: str) -> str:
    """Revision of Airflow's tables as Alembic notes it; empty if there are none."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import ProgrammingError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        with create_engine(database, poolclass=NullPool).connect() as connection:
            return str(connection.execute(text("select version_num from alembic_version")).scalar() or "")
    except ProgrammingError:  # no such table
        return ""
    except SQLAlchemyError as exc:
        said = " ".join(str(getattr(exc, "orig", None) or type(exc).__name__).split())[:300]
        raise ServiceError(f"Airflow's database does not let us in: {said}", "correct airflow.database, or start that server") from exc


def write_passwords(file: Path) -> None:
    """Random passwords for the local users, once."""
    write_once(file, json.dumps({user: secrets.token_urlsafe(12) for user in USERS}))
