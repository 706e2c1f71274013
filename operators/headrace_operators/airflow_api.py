"""A small client for Airflow's REST API (v2): trigger, follow, clear, backfill, answer gates, read task logs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from headrace_lake.errors import ServiceError
from headrace_lake.lines import last_line
from headrace_lake.loopback import OwnListener

RUN_ENDED = frozenset({"success", "failed"})
_DAG_POLL_S = 1.0


class AirflowApi:
    """One user's session with one Airflow."""

    def __init__(self, address: str, user: str, password: str, *, timeout_s: float = 60.0) -> None:
        self.address = address.rstrip("/")
        self.user = user
        self._password = password
        self._client = httpx.Client(base_url=self.address, timeout=timeout_s, trust_env=False, auth=OwnListener())
        self._token = ""

    @classmethod
    def of_passwords(cls, address: str, passwords_file: Path, user: str = "admin") -> AirflowApi:
        """A session of a local user."""
        try:
            passwords = json.loads(passwords_file.read_text(encoding="ascii"))
        except FileNotFoundError as exc:
            raise ServiceError(f"{passwords_file}: no such file", "start Airflow with `headrace services up`") from exc
        if user not in passwords:
            raise ServiceError(f"{passwords_file}: no user '{user}'", f"known users: {', '.join(passwords)}")
        return cls(address, user, passwords[user])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """One API call under `/api/v2`; returns the decoded JSON (None for an empty answer).

        Raises:
            ServiceError: Airflow refused, with its own words, or cannot be reached.
        """
        for attempt in (1, 2):
            if not self._token:
                self._login()
            try:
                response = self._client.request(
                    method, f"/api/v2{path}", json=body, params=params, headers={"Authorization": f"Bearer {self._token}"}
                )
            except httpx.TransportError as exc:
                raise ServiceError(f"Airflow at {self.address}: {exc}", "start it with `headrace services up`") from exc
            if response.status_code == 401 and attempt == 1:
                self._token = ""  # expired: once more with a fresh one
                continue
            break
        if response.status_code >= 400:
            raise ServiceError(f"Airflow: {method} {path} answered {response.status_code}: {_detail(response)}", "see the Airflow UI")
        return response.json() if response.content else None

    def _login(self) -> None:
        try:
            response = self._client.post("/auth/token", json={"username": self.user, "password": self._password})
        except httpx.TransportError as exc:
            raise ServiceError(f"Airflow at {self.address}: {exc}", "start it with `headrace services up`") from exc
        if response.status_code >= 400:
            raise ServiceError(f"Airflow refused user '{self.user}': {_detail(response)}", "check the password file")
        self._token = response.json()["access_token"]

    # -- DAGs and runs ---------------------------------------------------------------------------------

    def wait_for_dag(self, dag_id: str, within_s: float = 90.0) -> None:
        """Wait until the DAG processor has registered a DAG.

        Raises:
            ServiceError: it did not; names the import errors.
        """
        asking = Retrying(
            retry=retry_if_exception_type(ServiceError), stop=stop_after_delay(within_s), wait=wait_fixed(_DAG_POLL_S), reraise=True
        )
        try:
            asking(self.call, "GET", f"/dags/{dag_id}")
        except ServiceError:
            errors = self.call("GET", "/importErrors")["import_errors"]
            shown = "; ".join(f"{e['filename']}: {last_line(e['stack_trace'])}" for e in errors) or "no import errors"
            raise ServiceError(f"DAG '{dag_id}' did not appear in Airflow: {shown}", "mend the DAG file") from None

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run this DAG."""
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, logical_date: datetime | None = None) -> str:
        """Start a run with parameters; returns its id."""
        body = {"logical_date": logical_date.isoformat() if logical_date else None, "conf": dict(conf or {})}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """A run as Airflow describes it."""
        return dict(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}"))

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=200)["task_instances"])

    def follow(
        self, dag_id: str, run_id: str, *, within_s: float = math.inf, poll_s: float = 1.0
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yield (run state, task instances) until the run has ended.

        Raises:
            ServiceError: it has not ended within `within_s`.
        """
        deadline = time.monotonic() + within_s
        while True:
            state = str(self.run(dag_id, run_id)["state"])
            yield state, self.tasks(dag_id, run_id)
            if state in RUN_ENDED:
                return
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"run {run_id} of {dag_id} has not ended after {within_s:.0f} s (state {state})", "look at it in the Airflow UI"
                )
            time.sleep(poll_s)

    def wait(self, dag_id: str, run_id: str, *, within_s: float) -> str:
        """Wait for the end of a run; returns its state."""
        return [state for state, _ in self.follow(dag_id, run_id, within_s=within_s)][-1]

    def clear(self, dag_id: str, run_id: str, task_ids: list[str], *, downstream: bool = True) -> None:
        """Clear tasks of a run, so that they run again (running ones are stopped)."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": task_ids, "include_downstream": downstream, "only_failed": False}
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task success or failed by hand."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", {"new_state": state})

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a whole run success or failed; its running tasks are stopped."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": state})

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """A value that a task left."""
        return self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}")["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """The task's log as the UI shows it, remote lines included."""
        answer = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}", full_content=True)
        return "\n".join(_log_line(line) for line in answer["content"])

    # -- backfills and gates -------------------------------------------------------------------------------

    def backfill(self, dag_id: str, first: datetime, last: datetime, conf: Mapping[str, Any], *, active_runs: int = 1) -> int:
        """Start a backfill over the data intervals that begin in [first, last]; returns its id.

        Raises:
            ServiceError: the DAG is paused. Airflow would accept the backfill, queue its runs, and start none of them.
        """
        if self.call("GET", f"/dags/{dag_id}")["is_paused"]:
            raise ServiceError(
                f"DAG '{dag_id}' is paused: Airflow would queue the runs of a backfill and never start them",
                "unpause it first (its toggle in the UI, or `headrace backfill --unpause`)",
            )
        body = self._backfill(dag_id, first, last, conf, active_runs)
        return int(self.call("POST", "/backfills", body)["id"])

    def backfill_days(self, dag_id: str, first: datetime, last: datetime, conf: Mapping[str, Any]) -> list[datetime]:
        """Logical dates of the runs that such a backfill would make; makes nothing."""
        answer = self.call("POST", "/backfills/dry_run", self._backfill(dag_id, first, last, conf, 1))
        return [datetime.fromisoformat(each["logical_date"]) for each in answer["backfills"]]

    def active_backfill(self, dag_id: str) -> dict[str, Any] | None:
        """The backfill of a DAG that has not ended; there can be one."""
        found = self.call("GET", "/backfills", dag_id=dag_id, limit=100, order_by="-id")["backfills"]
        return next((dict(each) for each in found if each["completed_at"] is None), None)

    @staticmethod
    def _backfill(dag_id: str, first: datetime, last: datetime, conf: Mapping[str, Any], active_runs: int) -> dict[str, Any]:
        return {
            "dag_id": dag_id,
            "from_date": first.astimezone(UTC).isoformat(),
            "to_date": last.astimezone(UTC).isoformat(),
            "run_backwards": False,
            "dag_run_conf": dict(conf),
            "max_active_runs": active_runs,
            "reprocess_behavior": "completed",
        }

    def runs(self, dag_id: str, **params: Any) -> list[dict[str, Any]]:
        """Runs of a DAG."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns", limit=100, **params)["dag_runs"])

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str, params: Mapping[str, Any] | None = None) -> None:
        """Answer a waiting gate as this session's user."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self.call("PATCH", path, {"chosen_options": [option], "params_input": dict(params or {})})


def _detail(response: httpx.Response) -> str:
    try:
        detail = response.json().get("detail")
    except (ValueError, AttributeError):
        detail = response.text
    return str(detail)[:400]


def _log_line(line: Any) -> str:
    """One line of a task log; the exception that ended a task stands in a field of its own."""
    if isinstance(line, str):
        return line
    errors = [f"{e.get('exc_type')}: {e.get('exc_value')}" for e in line.get("error_detail") or []]
    return "\n".join([str(line.get("event", "")), *errors])
