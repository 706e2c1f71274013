"""Launcher `ray`: jobs of a Ray cluster, over Ray's Job REST API.

Ray refuses a second job of one submission id. Its log endpoint has no offset: every poll transfers the whole log, which is why commands on
Ray print tens of lines, not thousands.

What it costs: a trivial job takes 2-3 s on Ray. Right after its start the head answers 500 until its job agent is up; requests are retried
for `RETRY_FOR_S`.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx

from headrace_lake.errors import ConfigError, ServiceError
from headrace_lake.jobs.owner import Owner
from headrace_lake.loopback import BearerToken
from headrace_operators.launchers.base import Launcher, Look
from headrace_operators.launchers.job import Job, LogPart, Patience, Status
from headrace_operators.launchers.spec import JobSpec, typed_command

if TYPE_CHECKING:
    from headrace_lake.jobs.ledger import JobLedger
    from headrace_lake.settings import Settings

RETRY_FOR_S = 60.0
"""How long 500s and refused connections are retried; a Ray head on 2 busy cores needs up to 30 s (measured 5-11 s idle)."""
_EXIT_CODE = re.compile(r"^Job entrypoint command failed with exit code (-?\d+)\b")


class RayLauncher(Launcher):
    """Ray's Job API at one address, authenticated by a token file.

    Args:
        user: whose Ray it is, where another user of this machine runs it; the token is sent to no other user's port.
    """

    name = "ray"
    on = "Ray"
    called = "Ray job"
    way_back = "the Ray head was restarted: retry the task"

    def __init__(
        self,
        address: str,
        token_file: str | Path,
        *,
        timeout_s: float = 30.0,
        retry_for_s: float = RETRY_FOR_S,
        ledger: JobLedger | None = None,
        user: str = "",
    ) -> None:
        super().__init__(address.rstrip("/"), ledger)
        self.user = user
        self._retry_for_s = retry_for_s
        self.token_file = Path(token_file)
        self._timeout = timeout_s

    @classmethod
    def at(cls, settings: Settings, place: Mapping[str, str], ledger: JobLedger | None, patience: Patience) -> RayLauncher:
        """The cluster that a settings file or an earlier `place` names."""
        ray = settings.ray
        token_file = place.get("token_file") or settings.resolve(ray.token_file)
        address = place.get("address") or ray.address
        return cls(address, token_file, timeout_s=patience.answer_s, retry_for_s=patience.retry_s, ledger=ledger, user=ray.user)

    def place(self) -> dict[str, str]:
        """Address and the token's path; the token itself never."""
        return {"launcher": self.name, "address": self.address, "token_file": str(self.token_file.resolve())}

    @property
    def where(self) -> str:
        """`Ray at ADDRESS`."""
        return f"Ray at {self.address}"

    # -- requests ------------------------------------------------------------------------------------------------------

    def _auth(self) -> BearerToken:
        return BearerToken(self.token_file, [self.user] if self.user else [])

    def _request(self, method: str, path: str, *, body: Any = None, retry_for_s: float | None = None) -> httpx.Response:
        with httpx.Client(auth=self._auth(), timeout=self._timeout, trust_env=False) as client:
            deadline = time.monotonic() + (self._retry_for_s if retry_for_s is None else retry_for_s)
            while True:
                response, why = None, ""
                try:
                    response = client.request(method, f"{self.address}{path}", json=body)
                    why = response.text[:300]
                except httpx.TransportError as exc:
                    why = f"{type(exc).__name__}: {exc}"
                if response is not None and response.status_code < 500:
                    return self._checked(response)
                if response is not None and "already exists" in response.text:
                    return response
                if time.monotonic() > deadline:
                    raise self._failing(method, path, why)
                time.sleep(0.5)

    async def _arequest(self, client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
        deadline = time.monotonic() + RETRY_FOR_S
        while True:
            response, why = None, ""
            try:
                response = await client.request(method, f"{self.address}{path}")
                why = response.text[:300]
            except httpx.TransportError as exc:
                why = f"{type(exc).__name__}: {exc}"
            if response is not None and response.status_code < 500:
                return self._checked(response)
            if time.monotonic() > deadline:
                raise self._failing(method, path, why)
            await asyncio.sleep(0.5)

    def _failing(self, method: str, path: str, why: str) -> ServiceError:
        return ServiceError(f"{self.where}: {method} {path} kept failing: {why}", "check `headrace services status`")

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.status_code in (401, 403):
            raise ServiceError(f"{self.where} refused the token of {self.token_file}", "use the token of the cluster that runs there")
        if response.status_code >= 400 and response.status_code != 404:
            raise ServiceError(f"{self.where} answered {response.status_code}: {response.text[:300]}", "mend the request")
        return response

    def alive(self) -> bool:
        """Does the head answer, and take our token?"""
        try:
            return self._request("GET", "/api/version", retry_for_s=0).status_code == 200
        except ServiceError:
            return False

    def has_node(self) -> bool:
        """Has a node registered? The job API answers some seconds earlier, and a head whose node never comes gives up."""
        try:
            answer = self._request("GET", "/api/v0/nodes", retry_for_s=0).json()
            return any(node.get("state") == "ALIVE" for node in answer["data"]["result"]["result"])
        except (ServiceError, ValueError, KeyError, TypeError):
            return False

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def plan(self, spec: JobSpec, owner: Owner, submission_id: str = "") -> dict[str, Any]:
        """Method, URL and body of the request; the token is added when it is sent.

        Raises:
            ConfigError: the job asks for several nodes.
        """
        if spec.nodes != 1:
            raise ConfigError(
                f"the job asks for {spec.nodes} nodes, and Ray starts a job's command on one", "start Ray tasks from it, or set nodes to 1"
            )
        sid, waits = submission_id or spec.submission_id(1), self.ledger is not None
        reserved = {"cpus": spec.cpus, "gpus": spec.gpus}
        body: dict[str, Any] = {
            "entrypoint": shlex.join(spec.words(waits=waits)),
            "submission_id": sid,
            "metadata": owner.metadata(),
            "runtime_env": {"env_vars": spec.environment(owner, sid, waits=waits)},
            **{f"entrypoint_num_{kind}": number for kind, number in reserved.items() if number},
        }
        if spec.memory_bytes:
            body["entrypoint_memory"] = spec.memory_bytes
        return {"method": "POST", "url": f"{self.address}/api/jobs/", "json": body}

    def send(self, request: Mapping[str, Any]) -> bool:
        """Post the request; Ray refuses an id that it knows."""
        path = str(request["url"]).removeprefix(self.address)
        return self._request(request["method"], path, body=request["json"]).status_code < 300

    def describe(self, submission_id: str) -> Job | None:
        """The job of this id, or None."""
        response = self._request("GET", f"/api/jobs/{submission_id}")
        return None if response.status_code == 404 else job_of(response.json())

    def jobs(self) -> list[Job]:
        """Every job that was submitted (not interactive drivers)."""
        rows = self._request("GET", "/api/jobs/").json()
        return [job_of(row) for row in rows if row.get("submission_id")]

    def log_from(self, submission_id: str, offset: int) -> LogPart:
        """What the command has printed since so many characters."""
        response = self._request("GET", f"/api/jobs/{submission_id}/logs")
        return _part("" if response.status_code == 404 else str(response.json().get("logs") or ""), offset)

    def cancel(self, submission_id: str) -> None:
        """Ask Ray to stop the job; returns at once."""
        self._request("POST", f"/api/jobs/{submission_id}/stop")

    def _watching(self, submission_id: str) -> AbstractAsyncContextManager[Look]:
        return self._connected(submission_id)

    @asynccontextmanager
    async def _connected(self, submission_id: str) -> AsyncIterator[Look]:
        async with httpx.AsyncClient(auth=self._auth(), timeout=self._timeout, trust_env=False) as client:

            async def look(offset: int) -> tuple[Job | None, LogPart]:
                response = await self._arequest(client, "GET", f"/api/jobs/{submission_id}")
                if response.status_code == 404:
                    return None, LogPart("", offset)
                job = job_of(response.json())
                log = (await self._arequest(client, "GET", f"/api/jobs/{submission_id}/logs")).json()
                return job, _part(str(log.get("logs") or ""), offset)

            yield look


def _part(log: str, offset: int) -> LogPart:
    return LogPart(log[offset:], max(offset, len(log)))


def job_of(row: Mapping[str, Any]) -> Job:
    """A job from Ray's description of it (`JobDetails`)."""
    message, code = str(row.get("message") or ""), row.get("driver_exit_code")
    if code is None and (told := _EXIT_CODE.match(message)):
        code = int(told[1])
    return Job(
        submission_id=str(row["submission_id"]),
        status=cast(Status, str(row["status"])),
        message=message,
        metadata={str(k): str(v) for k, v in (row.get("metadata") or {}).items()},
        started=row["start_time"] / 1000 if row.get("start_time") else None,
        ended=row["end_time"] / 1000 if row.get("end_time") else None,
        entrypoint=typed_command(str(row.get("entrypoint") or "")),
        exit_code=code,
    )
