"""Child processes that outlive the command that started them: pid file, log file, readiness, stop by pid.

A pid file holds the pid and the process's start time in clock ticks, so a recycled pid is never mistaken for ours. Whatever a service
starts inherits a mark in its environment, also in a session of its own; stopping a service ends all that bear its mark.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from headrace_lake.errors import ServiceError
from headrace_lake.lines import last_line
from headrace_lake.storage.private_folder import private_folder
from headrace_operators.process_identity import MARK_ENV, born

_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Processes started by this very process: they must be waited for, or they stay as zombies."""


def free_port(host: str = "127.0.0.1") -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def port_in_use(port: int, host: str = "127.0.0.1") -> bool:
    """Does anybody accept connections on this port?"""
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex((host, port)) == 0


LEFT_WITHIN_S = 5.0
"""How long what a service left behind may take to end on SIGTERM."""


@dataclass(frozen=True)
class RunAs:
    """An unprivileged user that a process of root gives its rights up for."""

    name: str
    uid: int
    gid: int

    @classmethod
    def first_known(cls, names: Sequence[str]) -> RunAs:
        """The first of these users that this machine has.

        Raises:
            ServiceError: it has none of them.
        """
        for name in names:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(name, entry.pw_uid, entry.pw_gid)
        raise ServiceError(f"this machine has none of the users {', '.join(names)}", f"make one: useradd --system {names[0]}")

    def reaches(self, file: Path) -> bool:
        """May this user enter every folder above a file, and execute it?"""
        return all(self._may_execute(path) for path in (file, *file.parents))

    def _may_execute(self, path: Path) -> bool:
        found = path.stat()
        own, group = found.st_uid == self.uid, found.st_gid == self.gid
        return bool(found.st_mode & (stat.S_IXUSR if own else stat.S_IXGRP if group else stat.S_IXOTH))

    def become(self) -> None:
        """Give root's rights up, for good: groups, then group, then user."""
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)


@dataclass(frozen=True)
class Daemon:
    """One background process.

    Attributes:
        stop_signal: what makes it end in good order.
        stop_within_s: how long that may take before its process group is killed.
    """

    name: str
    folder: Path
    stop_signal: int = signal.SIGTERM
    stop_within_s: float = 20.0

    @property
    def log_file(self) -> Path:
        """Standard output and error of the process."""
        return self.folder / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Where its pid and start time are kept."""
        return self.folder / f"{self.name}.pid"

    @property
    def mark(self) -> str:
        """What `MARK_ENV` holds in every process of this service."""
        return str(self.pid_file.resolve())

    def family(self) -> list[psutil.Process]:
        """Living processes that this service has started, directly or not, and itself."""
        return list(_marked(f"{MARK_ENV}={self.mark}".encode()))

    def pid(self) -> int | None:
        """The pid if the process that we started is alive."""
        try:
            pid_text, since = self.pid_file.read_text(encoding="ascii").split()
        except (FileNotFoundError, ValueError):
            return None
        pid = int(pid_text)
        return pid if born(pid) == since else None

    @property
    def died(self) -> bool:
        """It was started and has ended by itself, or was killed. A command that stops it takes the pid file away."""
        return self.pid_file.exists() and self.pid() is None

    @property
    def stopped(self) -> bool:
        """No command has started it since it was last stopped."""
        return not self.pid_file.exists()

    def busy(self, port: int, within_s: float) -> bool:
        """Alive, and either started less than `within_s` ago or listening on its port: slow to answer, not broken.

        So it is given time before it is replaced: an interrupted command may have started it, or its machine is busy.
        """
        pid = self.pid()
        if pid is None:
            return False
        with Path("/proc/uptime").open(encoding="ascii") as file:
            up_s = float(file.read().split()[0])
        age_s = up_s - int(born(pid) or 0) / os.sysconf("SC_CLK_TCK")
        return age_s < within_s or port_in_use(port)

    def start(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, run_as: RunAs | None = None) -> int:
        """Start it in its own session, output to the log file; returns the pid."""
        private_folder(self.folder)

        def before_program() -> None:
            # The child notes its own pid: a parent that is killed now leaves no process that nobody finds.
            self.pid_file.write_text(f"{os.getpid()} {born(os.getpid())}", encoding="ascii")
            # A command run in the background inherits an ignored SIGINT, and Python then never hears ours.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if run_as is not None:
                run_as.become()

        try:
            with self.log_file.open("ab") as log:
                child = subprocess.Popen(
                    list(argv),
                    env={**env, MARK_ENV: self.mark},
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=before_program,
                )
        except FileNotFoundError as exc:
            self.pid_file.unlink(missing_ok=True)
            raise ServiceError(f"{self.name}: program '{argv[0]}' is not installed", "run `make venv`") from exc
        _CHILDREN[child.pid] = child
        return child.pid

    def wait_until(self, ready: Callable[[], bool], within_s: float) -> None:
        """Poll `ready` until it holds.

        Raises:
            ServiceError: the process ended or the time is over; names the log file and its last line.
        """
        deadline = time.monotonic() + within_s
        while not ready():
            if self.pid() is None:
                raise ServiceError(f"{self.name} ended while starting: {self.tail()}", f"read {self.log_file}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} was not ready within {within_s:.0f} s: {self.tail()}", f"read {self.log_file}")
            time.sleep(0.3)

    def wait(self) -> int:
        """Wait for the end of a process that this very process started; returns its exit code."""
        pid = int(self.pid_file.read_text(encoding="ascii").split()[0])
        return _CHILDREN.pop(pid).wait()

    def wait_ended(self) -> None:
        """Wait for the end of a process that any command started."""
        while (pid := self.pid()) is not None:
            _reap(pid)
            time.sleep(0.2)

    def ask_to_stop(self) -> None:
        """Send the stop signal and return at once; `stop` then waits for the end."""
        pid = self.pid()
        if pid is not None:
            _send(os.kill, pid, self.stop_signal)

    def stop(self) -> bool:
        """Stop it by pid; returns whether it was running. What it started, or left behind when it was killed, goes too."""
        pid = self.pid()
        if pid is not None:
            _send(os.kill, pid, self.stop_signal)
            deadline = time.monotonic() + self.stop_within_s
            while self.pid() is not None and time.monotonic() < deadline:
                _reap(pid)
                time.sleep(0.1)
            # Its own session is its own group: what it left behind there goes with it.
            _send(os.killpg, pid, signal.SIGKILL)
            if pid in _CHILDREN:
                _CHILDREN.pop(pid).wait()
        else:
            self._end_orphans()
        self._end_family()
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def _end_family(self) -> None:
        """End what left its session: a job's command, for one, which Ray starts in a session of its own."""
        for end in (psutil.Process.terminate, psutil.Process.kill):
            left = self.family()
            for process in left:
                with suppress(psutil.Error):
                    end(process)
            if not psutil.wait_procs(left, timeout=LEFT_WITHIN_S)[1] and not self.family():
                return

    def _end_orphans(self) -> None:
        try:
            pid = int(self.pid_file.read_text(encoding="ascii").split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        _reap(pid)
        # Linux gives no new process the number of a group that still lives; if a process bears it, the group is not ours.
        if not born(pid):
            _send(os.killpg, pid, signal.SIGKILL)

    def tail(self) -> str:
        """The last line of its log."""
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return last_line(text, "(empty log)")[:300]


def _marked(words: bytes) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:  # gone, or another user's
            continue
        if words in environment.split(b"\0"):
            yield process


def _send(kill: Callable[[int, int], None], pid: int, number: int) -> None:
    try:
        kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _reap(pid: int) -> None:
    """Collect our own ended child, else it stays a zombie."""
    child = _CHILDREN.get(pid)
    if child is not None and child.poll() is not None:
        del _CHILDREN[pid]
