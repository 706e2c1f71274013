"""Launcher `local`: each job is a process of this machine, in a session of its own, with its log in a file.

A job is a folder, `FOLDER/SUBMISSION_ID` with the files that `keeper` names. They are all that is known of it, so any process of this
machine that can read the folder describes it, reads its log and cancels it, also after whoever submitted it has ended. The folder is made
whole beside its place and renamed there: of several who submit one id, one does. A process is known by its number, its start time and the
machine's boot, so a number that was given to another process since is never signalled.

It reserves nothing: what a job says of CPUs, GPUs and memory is not looked at. Jobs that have ended are forgotten after `KEPT_FOR_S`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace_lake.errors import ConfigError, ServiceError
from headrace_lake.jobs.owner import Owner
from headrace_lake.storage.private_folder import private_folder
from headrace_operators.job_log import last_words
from headrace_operators.launchers import keeper
from headrace_operators.launchers.base import Launcher
from headrace_operators.launchers.job import Job, LogPart, Patience, Status
from headrace_operators.launchers.log_file import read_part
from headrace_operators.launchers.spec import JobSpec, typed_command
from headrace_operators.process_identity import MARK_ENV, boot, born

if TYPE_CHECKING:
    from headrace_lake.jobs.ledger import JobLedger
    from headrace_lake.settings import Settings

START_WITHIN_S = 15.0
"""A job whose keeper has not noted itself for so long was never started: whoever submitted it was killed meanwhile."""
KEPT_FOR_S = 30 * 86_400.0
_NOT_INHERITED = ("AIRFLOW__", "_AIRFLOW_", MARK_ENV)
"""Variables that begin so stay with the submitter: Airflow's own settings, secrets among them, and the mark by which a service's processes
are ended with it."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TAIL_BYTES = 4096


class LocalLauncher(Launcher):
    """Processes of this machine.

    Args:
        folder: where the jobs' folders lie; made when the first job is submitted.
        cwd: working folder of the commands.
    """

    name = "local"
    on = "this machine"
    called = "local job"

    def __init__(self, folder: Path, cwd: Path, *, ledger: JobLedger | None = None) -> None:
        super().__init__(str(folder), ledger)
        self.folder = folder
        self.cwd = cwd
        self._ended: dict[str, Job] = {}

    @classmethod
    def at(cls, settings: Settings, place: Mapping[str, str], ledger: JobLedger | None, patience: Patience) -> LocalLauncher:
        """The jobs' folder that a settings file or an earlier `place` names."""
        folder = Path(place.get("folder") or settings.resolve(settings.jobs.folder))
        return cls(folder.absolute(), settings.base.absolute(), ledger=ledger)

    def place(self) -> dict[str, str]:
        """The folder."""
        return {"launcher": self.name, "folder": str(self.folder)}

    @property
    def where(self) -> str:
        """`this machine, in FOLDER`."""
        return f"this machine, in {self.folder}"

    def alive(self) -> bool:
        """Nothing has to run."""
        return True

    # -- submitting ----------------------------------------------------------------------------------------------------

    def plan(self, spec: JobSpec, owner: Owner, submission_id: str = "") -> dict[str, Any]:
        """Words, variables, working folder and place of the job, as `request.json` holds them.

        Raises:
            ConfigError: the job asks for several nodes.
        """
        if spec.nodes != 1:
            raise ConfigError(f"the job asks for {spec.nodes} nodes, and launcher 'local' has this machine", "set nodes to 1")
        sid, waits = submission_id or spec.submission_id(1), self.ledger is not None
        # `python` and `headrace` are those of the environment that we run in.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {
            "submission_id": sid,
            "folder": str(self.folder / sid),
            "argv": spec.words(waits=waits),
            "env": {"PATH": path, **spec.environment(owner, sid, waits=waits)},
            "cwd": str(self.cwd),
            "metadata": owner.metadata(),
        }

    def send(self, request: Mapping[str, Any]) -> bool:
        """Make the job's folder and start its keeper, which starts the command.

        Raises:
            ServiceError: the keeper did not start.
        """
        job = Path(request["folder"])
        private_folder(self.folder)
        self._forget_old()
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        try:
            keeper.write(made, keeper.REQUEST, dict(request))
            (made / keeper.LOG).touch(mode=0o600)
            made.rename(job)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            if job.exists():
                return False
            raise
        env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        with (job / keeper.LOG).open("ab") as log:
            words = [sys.executable, "-I", keeper.__file__, str(job)]
            started = subprocess.run(
                words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/", check=False
            )
        if started.returncode:
            raise ServiceError(f"{self.called} {job.name} was not started: {_last_words(job)}", f"read {job / keeper.LOG}")
        return True

    def _forget_old(self) -> None:
        """Remove the folders of jobs that ended long ago, and what was left half made."""
        before = time.time() - KEPT_FOR_S
        for folder in self.folder.iterdir():
            with suppress(OSError):  # somebody else removes it too
                if folder.stat().st_mtime < before and (folder.name.startswith(".") or self._is_over(folder.name)):
                    # Renamed first: half a folder must not bear a job's id.
                    shutil.rmtree(folder.rename(self.folder / f".old-{folder.name.lstrip('.')}"), ignore_errors=True)

    def _is_over(self, submission_id: str) -> bool:
        job = self.describe(submission_id)
        return job is not None and job.terminal

    # -- looking -------------------------------------------------------------------------------------------------------

    def describe(self, submission_id: str) -> Job | None:
        """The job of this id, from its files and the table of processes."""
        if submission_id in self._ended:
            return self._ended[submission_id]
        folder = self._of(submission_id)
        request = _read(folder, keeper.REQUEST) if folder is not None else None
        if folder is None or request is None:
            return None
        ended, process = _read(folder, keeper.ENDED), _read(folder, keeper.PROCESS)
        if ended is None and not (_kept(folder) or _lives(process)):
            ended = _read(folder, keeper.ENDED) or _lost(folder)  # its keeper may have noted the end since our look
        job = Job(
            submission_id,
            "PENDING" if process is None else "RUNNING",
            "",
            request["metadata"],
            started=process["at"] if process is not None else None,
            entrypoint=typed_command(shlex.join(request["argv"])),
        )
        if ended is None:
            return job
        status, message = _outcome(folder, ended)
        job = replace(job, status=status, message=message, ended=ended["at"], exit_code=ended["exit_code"])
        self._ended[submission_id] = job
        return job

    def jobs(self) -> list[Job]:
        """Every job that the folder holds."""
        names = [entry.name for entry in self.folder.iterdir()] if self.folder.is_dir() else []
        return [job for name in sorted(names) if (job := self.describe(name)) is not None]

    def log_from(self, submission_id: str, offset: int) -> LogPart:
        """What the command has printed since so many bytes."""
        job, folder = self.describe(submission_id), self._of(submission_id)
        if job is None or folder is None:
            return LogPart("", offset)
        return read_part(folder / keeper.LOG, offset, complete=job.terminal)

    def cancel(self, submission_id: str) -> None:
        """Have the keeper end the command's process group; without a keeper it is ended here, which takes up to three seconds."""
        folder, job = self._of(submission_id), self.describe(submission_id)
        if folder is None or job is None or job.terminal:
            return
        (folder / keeper.CANCELLED).touch()  # a keeper that has not noted itself yet starts nothing
        kept = _read(folder, keeper.KEEPER)
        if kept is not None and _lives(kept):
            with suppress(ProcessLookupError):
                os.kill(kept["pid"], signal.SIGTERM)
            return
        process = _read(folder, keeper.PROCESS)
        if process is not None and _lives(process):
            keeper.end_what_is_left(process["pid"])

    def _of(self, submission_id: str) -> Path | None:
        return self.folder / submission_id if _ID.fullmatch(submission_id) else None


def _read(folder: Path, name: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads((folder / name).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _lives(process: Mapping[str, Any] | None) -> bool:
    """Is this very process alive, in this boot of the machine?"""
    return process is not None and born(process["pid"]) == process["born"] and boot() == process["boot"]


def _kept(folder: Path) -> bool:
    """Is somebody there who will note the end; or could still come, as the job was submitted just now?"""
    noted = _read(folder, keeper.KEEPER)
    if noted is not None:
        return _lives(noted)
    return time.time() - (folder / keeper.REQUEST).stat().st_mtime < START_WITHIN_S


def _lost(folder: Path) -> dict[str, Any]:
    """The end of a job whose processes are gone and have left no word of it."""
    return {"exit_code": None, "stopped": (folder / keeper.CANCELLED).exists(), "at": None}


def _outcome(folder: Path, ended: Mapping[str, Any]) -> tuple[Status, str]:
    """State and message of an ended job."""
    code = ended["exit_code"]
    if ended["stopped"]:
        return "STOPPED", "stopped when it was asked to"
    if code == 0:
        return "SUCCEEDED", ""
    if code is None and not (folder / keeper.KEEPER).exists():
        why = "the command was never started: whoever submitted it was killed meanwhile"
    elif code is None:
        why = "the command is gone and nobody has seen how it ended: it and its keeper were killed, or the machine was restarted"
    elif code < 0:
        why = f"the command was killed by {_signal(-code)}"
    else:
        why = f"the command ended with exit code {code}"
    said = _last_words(folder)
    return "FAILED", f"{why}; last words: {said}" if said else why


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(folder: Path) -> str:
    file = folder / keeper.LOG
    return last_words(read_part(file, max(0, file.stat().st_size - _TAIL_BYTES), complete=True).text)
