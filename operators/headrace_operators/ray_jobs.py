"""A small client for Ray's Job REST API: submit under a fingerprint, adopt, follow, stop.

What it guarantees
- A job's submission id is `headrace-<16 hex digits of (argv, settings, slice, fingerprint)>-<attempt>`. Whoever asks
  for the same work asks for the same id, and Ray refuses a second job of one id: the same work never runs twice at once.
- `ensure` decides between *attach* (it runs already), *done* (this very task's job finished while nobody watched) and
  *submit* (nothing there, or earlier attempts ended badly, or an earlier run's success must be asked again: the command
  itself adopts finished work by fingerprint in the lake, so asking again is cheap).
- With a ledger (`headrace_lake.job_ledger`, in the lake's catalog) a submitted job waits until its trigger confirms it, is stopped when the
  last task that follows it lets go, and commits nothing after it was stopped, however late its submission arrives.
- Logs are read by offset, so a follower prints each line once. Ray's REST endpoint has no offset of its own: every poll
  transfers the whole log, which is why commands on Ray print tens of lines, not thousands.

What it costs: a trivial job takes 2-3 s on Ray. Right after its start the head answers 500 until its job agent is up;
requests are retried for `RETRY_FOR_S`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx

from headrace_lake.errors import ServiceError
from headrace_lake.job_owner import Owner
from headrace_lake.lines import data_lines
from headrace_lake.loopback import BearerToken
from headrace_lake.receipts import ORIGIN_ENV, Origin
from headrace_lake.settings import RaySettings, Settings
from headrace_operators.job_log import error_line, last_words, result_of

if TYPE_CHECKING:
    from headrace_lake.job_ledger import JobLedger

__all__ = ["Ensured", "Job", "JobRequest", "Owner", "RayJobs", "error_line", "last_words", "result_of", "settings_digest"]

JOB_ENV, CONFIRM_ENV = "HEADRACE_JOB", "HEADRACE_CONFIRM_WITHIN_S"
"""As `headrace_lake.job_start` reads them."""
CONFIRM_WITHIN_S = 20.0
WAITING = ("python", "-m", "headrace_lake.job_start", "--")
"""Put before the words of a command that begins when it is confirmed."""

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
RETRY_FOR_S = 60.0
"""How long 500s and refused connections are retried; a Ray head on 2 busy cores needs up to 30 s (measured 5-11 s idle)."""
STOP_WITHIN_S = 30.0
"""How long a stopped job may take to end: Ray sends SIGTERM, and SIGKILL after 3 s."""
Decision = Literal["submitted", "attached", "done"]


@dataclass(frozen=True)
class JobRequest:
    """One command line to run on the cluster.

    Attributes:
        argv: the command, word by word; quoted by `shlex.join`, never by hand.
        identity: what makes this work the same work (settings digest, slice, fingerprint ...), with argv.
        cpus: CPUs reserved for the command itself. Zero leaves them to the Ray tasks it starts.
        confirm_within_s: how long the job waits for its trigger, then it gives up; a triggerer takes a task up within 1-3 s.
    """

    argv: Sequence[str]
    identity: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    cpus: float = 0.0
    confirm_within_s: float = CONFIRM_WITHIN_S

    @property
    def entrypoint(self) -> str:
        """The command as the one string that Ray's API takes."""
        return shlex.join(self.argv)

    @property
    def stem(self) -> str:
        """Submission id without its attempt."""
        text = json.dumps({"argv": list(self.argv), "identity": dict(self.identity)}, sort_keys=True, ensure_ascii=False)
        return f"headrace-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Job:
    """A job as Ray reports it; times are Unix seconds.

    Attributes:
        entrypoint: its command line, without what makes it wait for its confirmation.
    """

    submission_id: str
    status: str
    message: str
    metadata: Mapping[str, str]
    started: float | None = None
    ended: float | None = None
    entrypoint: str = ""

    @property
    def ended_well(self) -> bool:
        """Did the command exit with 0?"""
        return self.status == "SUCCEEDED"

    @property
    def terminal(self) -> bool:
        """Has it ended?"""
        return self.status in TERMINAL


@dataclass(frozen=True)
class Ensured:
    """What `ensure` did: the job to follow, whether this caller submitted it, and who the caller is."""

    job: Job
    decision: Decision
    owned: bool
    owner: Owner


def settings_digest(settings: Settings) -> str:
    """Digest of the settings that decide where work reads and writes (secrets are references, not values)."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]


class RayJobs:
    """Ray's Job API at one address, authenticated by a token file.

    Args:
        ledger: of the lake that the jobs write to. Without one a job starts at once, and nothing but Ray's own stop ends it.
        user: whose Ray it is, where another user of this machine runs it; the token is sent to no other user's port.
    """

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
        self.ledger = ledger
        self.user = user
        self._retry_for_s = retry_for_s
        self.address = address.rstrip("/")
        self.token_file = Path(token_file)
        self._timeout = timeout_s

    @classmethod
    def of(cls, settings: Settings) -> RayJobs:
        """The cluster that a settings file names, with the ledger of its lake."""
        from headrace_lake.job_ledger import JobLedger  # SQLAlchemy: no DAG file needs it

        ray: RaySettings = settings.ray
        return cls(ray.address, settings.resolve(ray.token_file), ledger=JobLedger.of(settings), user=ray.user)

    def _auth(self) -> BearerToken:
        return BearerToken(self.token_file, [self.user] if self.user else [])

    # -- requests ---------------------------------------------------------------------------------

    def _request(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, retry_for_s: float | None = None
    ) -> httpx.Response:
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
                    raise ServiceError(f"Ray at {self.address}: {method} {path} kept failing: {why}", "check `headrace services status`")
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
                raise ServiceError(f"Ray at {self.address}: {method} {path} kept failing: {why}", "check `headrace services status`")
            await asyncio.sleep(0.5)

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.status_code in (401, 403):
            raise ServiceError(
                f"Ray at {self.address} refused the token of {self.token_file}", "use the token of the cluster that runs there"
            )
        if response.status_code >= 400 and response.status_code != 404:
            raise ServiceError(f"Ray at {self.address} answered {response.status_code}: {response.text[:300]}", "mend the request")
        return response

    def _async_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(auth=self._auth(), timeout=self._timeout, trust_env=False)

    # -- the API ----------------------------------------------------------------------------------

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

    def job(self, submission_id: str) -> Job | None:
        """The job of this id, or None."""
        response = self._request("GET", f"/api/jobs/{submission_id}")
        return None if response.status_code == 404 else _job(response.json())

    def jobs(self) -> list[Job]:
        """Every job that was submitted (not interactive drivers)."""
        rows = self._request("GET", "/api/jobs/").json()
        return [_job(row) for row in rows if row.get("submission_id")]

    def logs(self, submission_id: str) -> str:
        """Everything the command has printed so far."""
        response = self._request("GET", f"/api/jobs/{submission_id}/logs")
        return "" if response.status_code == 404 else str(response.json().get("logs") or "")

    def stop(self, submission_id: str) -> None:
        """Ask Ray to stop the job; returns at once."""
        self._request("POST", f"/api/jobs/{submission_id}/stop")

    def stop_and_wait(self, submission_id: str, within_s: float = STOP_WITHIN_S) -> None:
        """Stop the job and wait until it has ended.

        Raises:
            ServiceError: it still runs after `within_s`.
        """
        self.stop(submission_id)
        deadline = time.monotonic() + within_s
        while True:
            job = self.job(submission_id)
            if job is None or job.terminal:
                return
            if time.monotonic() > deadline:
                raise ServiceError(f"Ray job {submission_id} did not stop within {within_s:.0f} s", "look at the cluster's dashboard")
            time.sleep(0.3)

    def ensure(
        self,
        request: JobRequest,
        owner: Owner,
        *,
        say: Callable[[str], None] = lambda _: None,
        claim: Callable[[str], None] = lambda _: None,
    ) -> Ensured:
        """Make sure that the work of `request` is running or done, once. With a ledger, a job that is submitted waits for `confirm`.

        Args:
            claim: told each id before it is submitted or followed, so that whoever is killed meanwhile knows what to stop.

        Returns: the job to follow. `attached` jobs of other tasks are not owned: their own task stops them.
        """
        attempt = 0
        while True:
            attempt += 1
            sid = f"{request.stem}-{attempt}"
            job = self.job(sid)
            claim(sid)
            if job is None and not self._may_submit(sid, owner):
                job = self.job(sid)  # somebody else has submitted it since our look, or the id is spent
                if job is None:
                    self._over(sid)
                    continue
            if job is None:
                if self._submit(request, owner, sid) is None:
                    attempt -= 1  # somebody else submitted this id between our look and our request: look again
                    continue
                return Ensured(Job(sid, "PENDING", "", owner.metadata()), "submitted", True, owner)
            if not job.terminal:
                if self._may_follow(job, owner, say):
                    return Ensured(job, "attached", owner.same_task(job.metadata), owner)
                continue
            self._over(sid)
            if job.ended_well and owner.same_generation(job.metadata):
                return Ensured(job, "done", True, owner)

    def _over(self, sid: str) -> None:
        """Ray says that the job has ended, or has forgotten it (a new head): a process of it that lives on commits nothing more."""
        if self.ledger is not None:
            self.ledger.ended(sid)

    def _may_submit(self, sid: str, owner: Owner) -> bool:
        return self.ledger is None or self.ledger.ask(sid, owner) == "asked"

    def _may_follow(self, job: Job, owner: Owner, say: Callable[[str], None]) -> bool:
        """Take part in a job that runs; one that is being stopped, or is this task's from before it was cleared, is waited for instead."""
        sid, cleared = job.submission_id, owner.same_task(job.metadata) and not owner.same_generation(job.metadata)
        if self.ledger is None or self.ledger.entry(sid) is None:
            stopped = cleared
        else:
            stopped = self.ledger.release_older(sid, owner, f"{owner} was cleared") if cleared else False
            stopped = stopped or self.ledger.join(sid, owner) not in ("asked", "confirmed")
        if stopped:
            why = "belongs to this task before it was cleared: stopping it" if cleared else "is being stopped: waiting for its end"
            say(f"{sid} {why}")
            self.stop_and_wait(sid)
        return not stopped

    def _submit(self, request: JobRequest, owner: Owner, sid: str) -> httpx.Response | None:
        waits = self.ledger is not None
        waiting = {JOB_ENV: sid, CONFIRM_ENV: f"{request.confirm_within_s:.0f}"} if waits else {}
        body: dict[str, Any] = {
            "entrypoint": shlex.join([*(WAITING if waits else ()), *request.argv]),
            "submission_id": sid,
            "metadata": owner.metadata(),
            "runtime_env": {"env_vars": {"PYTHONUNBUFFERED": "1", ORIGIN_ENV: _origin(owner, sid), **request.env, **waiting}},
        }
        if request.cpus:
            body["entrypoint_num_cpus"] = request.cpus
        response = self._request("POST", "/api/jobs/", body=body)
        return response if response.status_code < 300 else None

    # -- following (the triggerer's side) ------------------------------------------------------------

    async def follow(self, submission_id: str, *, poll_s: float = 1.0) -> AsyncIterator[str | Job]:
        """Yield each new complete log line while the job runs, and at last the ended job itself.

        Raises:
            ServiceError: the job is unknown to Ray (the head was restarted), or Ray stays unreachable.
        """
        offset = 0
        async with self._async_client() as client:
            while True:
                response = await self._arequest(client, "GET", f"/api/jobs/{submission_id}")
                if response.status_code == 404:
                    raise ServiceError(f"Ray job {submission_id} is gone", "the Ray head was restarted: retry the task")
                job = _job(response.json())
                text = (await self._arequest(client, "GET", f"/api/jobs/{submission_id}/logs")).json().get("logs") or ""
                end = len(text) if job.terminal else text.rfind("\n") + 1
                if end > offset:
                    for line in data_lines(text[offset:end]):
                        yield line
                    offset = end
                if job.terminal:
                    yield job
                    return
                await asyncio.sleep(poll_s)

    async def astop(self, submission_id: str) -> None:
        """`stop` for an event loop."""
        async with self._async_client() as client:
            await self._arequest(client, "POST", f"/api/jobs/{submission_id}/stop")


def _origin(owner: Owner, job: str) -> str:
    """What the command writes into its receipts of whom it worked for."""
    told = Origin(dag_id=owner.dag_id, run_id=owner.run_id, task_id=owner.task_id, map_index=str(owner.map_index), job=job)
    return told.model_dump_json()


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        submission_id=str(row["submission_id"]),
        status=str(row["status"]),
        message=str(row.get("message") or ""),
        metadata={str(k): str(v) for k, v in (row.get("metadata") or {}).items()},
        started=row["start_time"] / 1000 if row.get("start_time") else None,
        ended=row["end_time"] / 1000 if row.get("end_time") else None,
        entrypoint=str(row.get("entrypoint") or "").removeprefix(shlex.join(WAITING)).strip(),
    )
