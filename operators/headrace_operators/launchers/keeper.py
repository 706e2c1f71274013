"""Keeper of one local job: starts its command in a session of its own, waits for its end, and writes down how it ended.

Started by `launchers.local` as `python -I keeper.py FOLDER`; it outlives whoever submitted the job, so an end that nobody watched is known
too. SIGTERM to the keeper means: stop the job (SIGTERM to the command's process group, SIGKILL after `KILL_AFTER_S`). What a command leaves
behind in its group is ended with it.

What it costs: one Python process with the standard library only, about 15 MB, that sleeps until its command ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace_operators.process_identity import boot, born, living_members

REQUEST, KEEPER, PROCESS, CANCELLED, ENDED, LOG = "request.json", "keeper.json", "process.json", "cancelled", "ended.json", "log"
"""Files of a job's folder."""
KILL_AFTER_S = 3.0
"""Between SIGTERM and SIGKILL, as on Ray."""
NOT_FOUND = 127
"""A shell's exit code where the program is missing or cannot be executed."""
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM}
_LOOK_EVERY_S, _LOOK_SOON_S = 60.0, 0.1


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Write a file of the job's folder so that nobody reads half of it."""
    part = folder / f".{name}.part"
    part.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    part.replace(folder / name)


def process(pid: int) -> dict[str, Any]:
    """What a process is known by."""
    return {"pid": pid, "born": born(pid), "boot": boot()}


def end_group(group: int, number: int) -> None:
    """Send a signal to a process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def main(folder: Path) -> int:
    """Become a process of its own; returns in the one that was started, when the keeper has noted itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    noted, note = os.pipe()
    if os.fork():
        os.close(note)
        os.read(noted, 1)  # nothing comes: the other end is closed
        return 0 if (folder / KEEPER).exists() else 1
    os.setsid()
    os.close(noted)
    write(folder, KEEPER, process(os.getpid()))
    os.close(note)
    keep(folder)
    os._exit(0)


def keep(folder: Path) -> None:
    """Run the command and note its end."""
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    if (folder / CANCELLED).exists():
        _ended(folder, None, stopped=True)
        return
    try:
        child = subprocess.Popen(
            request["argv"],
            env={**os.environ, **request["env"]},
            cwd=request["cwd"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, []),
        )
    except OSError as exc:
        print(f"headrace: {request['argv'][0]}: {exc.strerror}: {exc.filename}", file=sys.stderr, flush=True)
        _ended(folder, NOT_FOUND, stopped=False)
        return
    try:
        write(folder, PROCESS, {**process(child.pid), "at": time.time()})
    except OSError:  # nobody would find it
        end_group(child.pid, signal.SIGKILL)
        raise
    stopped = _wait(child.pid, folder)
    # The ended command is a zombie until it is waited for, so its group's number cannot be anybody else's yet.
    end_what_is_left(child.pid)
    _ended(folder, child.wait(), stopped=stopped)


def _wait(pid: int, folder: Path) -> bool:
    """Wait for the command's end; returns whether it was told to stop."""
    killed_at: float | None = None
    stopped = False
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        told = signal.sigtimedwait(_SIGNALS, _LOOK_SOON_S if stopped else _LOOK_EVERY_S)
        if not stopped and ((told is not None and told.si_signo == signal.SIGTERM) or (folder / CANCELLED).exists()):
            stopped, killed_at = True, time.monotonic() + KILL_AFTER_S
            end_group(pid, signal.SIGTERM)
        if killed_at is not None and time.monotonic() > killed_at:
            end_group(pid, signal.SIGKILL)
    return stopped


def end_what_is_left(group: int) -> None:
    """End what lives of a process group: SIGTERM, and SIGKILL after `KILL_AFTER_S`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if any(living_members(group)):
            end_group(group, number)
        deadline = time.monotonic() + KILL_AFTER_S
        while any(living_members(group)) and time.monotonic() < deadline:
            time.sleep(_LOOK_SOON_S)


def _ended(folder: Path, exit_code: int | None, *, stopped: bool) -> None:
    write(folder, ENDED, {"exit_code": exit_code, "stopped": stopped, "at": time.time()})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
