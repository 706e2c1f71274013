"""Identity of a Linux process: its number and its start time, so that a reused number is never mistaken for it (proc(5))."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MARK_ENV = "HEADRACE_SERVICE"
"""Environment variable by which the processes of a local service are known (`services.process`)."""
_STATE, _GROUP, _START = 0, 2, 19
"""Fields of /proc/PID/stat, counted from the one after the name."""


def born(pid: int) -> str:
    """Start time of a living process in clock ticks since boot ('' if it is gone or a zombie)."""
    fields = _fields(pid)
    return "" if not fields or fields[_STATE] in "ZX" else fields[_START]


def boot() -> str:
    """Id of this boot of the machine: start times of two boots are not comparable."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def living_members(group: int) -> Iterator[int]:
    """Processes of a process group that are not zombies."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            fields = _fields(int(entry.name))
            if fields and fields[_GROUP] == str(group) and fields[_STATE] not in "ZX":
                yield int(entry.name)


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
