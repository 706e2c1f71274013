"""Job specification: one command line, what makes it the same work, what it needs; the same for every launcher.

A job's submission id is `headrace-<16 hex digits of (argv, settings, slice, fingerprint)>-<attempt>`. Whoever asks for the same work asks
for the same id, so the same work never runs twice at once. The launcher is not part of it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace_lake.jobs.owner import Owner
from headrace_lake.receipts import ORIGIN_ENV, Origin
from headrace_lake.settings import SETTINGS_ENV, Settings

HEADRACE = ("python", "-m", "headrace_cli", "--json-result")
"""The program where the job runs: the wheel is installed there; its last line of output is the result."""
JOB_ENV, CONFIRM_ENV = "HEADRACE_JOB", "HEADRACE_CONFIRM_WITHIN_S"
"""As `headrace_lake.jobs.start` reads them."""
CONFIRM_WITHIN_S = 20.0
WAITING = ("python", "-m", "headrace_lake.jobs.start", "--")
"""Put before the words of a command that begins when it is confirmed."""


@dataclass(frozen=True)
class JobSpec:
    """One command line to run.

    Attributes:
        argv: the command, word by word; a launcher that needs one string quotes it by `shlex.join`, never by hand.
        identity: what makes this work the same work (settings digest, slice, fingerprint ...), with argv.
        env: variables for the command, beside those that every job gets. Never secrets: a launcher may show them.
        cpus: CPUs reserved for the command itself. Zero leaves them to the tasks that it starts.
        confirm_within_s: how long the job waits for its trigger, then it gives up; a triggerer takes a task up within 1-3 s.
        gpus: GPUs reserved for the command itself, on each node.
        memory_bytes: memory reserved for it, on each node; zero reserves none.
        nodes: machines that the command is started on at once.
    """

    argv: Sequence[str]
    identity: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    cpus: float = 0.0
    confirm_within_s: float = CONFIRM_WITHIN_S
    gpus: float = 0.0
    memory_bytes: int = 0
    nodes: int = 1

    @property
    def entrypoint(self) -> str:
        """The command as one string."""
        return shlex.join(self.argv)

    @property
    def stem(self) -> str:
        """Submission id without its attempt."""
        text = json.dumps({"argv": list(self.argv), "identity": dict(self.identity)}, sort_keys=True, ensure_ascii=False)
        return f"headrace-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def submission_id(self, attempt: int) -> str:
        """Id of one of the jobs that do this work, one after the other.

        Args:
            attempt: counted from 1.
        """
        return f"{self.stem}-{attempt}"

    def words(self, *, waits: bool) -> list[str]:
        """What a launcher starts.

        Args:
            waits: whether the command begins only when its job is confirmed in the ledger.
        """
        return [*(WAITING if waits else ()), *self.argv]

    def environment(self, owner: Owner, submission_id: str, *, waits: bool) -> dict[str, str]:
        """Variables that a launcher adds to what its jobs inherit."""
        waiting = {JOB_ENV: submission_id, CONFIRM_ENV: f"{self.confirm_within_s:.0f}"} if waits else {}
        return {"PYTHONUNBUFFERED": "1", ORIGIN_ENV: _origin(owner, submission_id), **self.env, **waiting}


def headrace_spec(
    settings: Settings,
    file: str,
    argv: Sequence[str],
    *,
    program: Sequence[str] = HEADRACE,
    slice_text: str = "",
    fingerprint: str = "",
    env: Mapping[str, str] | None = None,
    cpus: float = 0.0,
    confirm_within_s: float = CONFIRM_WITHIN_S,
) -> JobSpec:
    """The job of one `headrace` command.

    Args:
        file: the settings file, which the command finds by its environment; empty for the defaults.
        argv: the command's words after `headrace`.
    """
    identity = {"settings": settings_digest(settings), "slice": slice_text, "fingerprint": fingerprint}
    variables = dict(env or {})
    if file:
        variables.setdefault(SETTINGS_ENV, file)
    return JobSpec([*program, *argv], identity, variables, cpus, confirm_within_s)


def settings_digest(settings: Settings) -> str:
    """Digest of the settings that decide where work reads and writes: all but the launcher's. Secrets are references in them."""
    return hashlib.sha256(settings.model_dump_json(exclude={"jobs"}).encode()).hexdigest()[:16]


def typed_command(entrypoint: str) -> str:
    """A job's command line without what makes it wait for its confirmation."""
    return entrypoint.removeprefix(shlex.join(WAITING)).strip()


def _origin(owner: Owner, job: str) -> str:
    """What the command writes into its receipts of whom it worked for."""
    told = Origin(dag_id=owner.dag_id, run_id=owner.run_id, task_id=owner.task_id, map_index=str(owner.map_index), job=job)
    return told.model_dump_json()
