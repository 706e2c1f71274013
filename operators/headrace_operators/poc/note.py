"""What the last `headrace poc` of a folder saw of its run, in `FOLDER/run.json`.

It is there to be told at once: before Airflow has answered, which takes a busy machine seconds, and where its processes are gone. So this
module imports next to nothing. Airflow's database is what counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class RunNote:
    """One look at a run.

    Attributes:
        seen_at: `HH:MM:SS`, UTC.
        doing: task → what it was doing and since when.
    """

    run_id: str
    seen_at: str
    doing: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """For people."""
        doing = "; ".join(f"{name} {what}" for name, what in self.doing.items()) or "no task begun"
        return f"run {self.run_id} had not ended when last looked at, {self.seen_at} UTC: {doing}"


class NoteFile:
    """The note of a folder; absent when no run is known to be under way."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "run.json"

    def read(self) -> RunNote | None:
        """The note, or None; a damaged one counts as none."""
        try:
            found = json.loads(self.file.read_bytes())
            return RunNote(str(found["run_id"]), str(found["seen_at"]), {str(k): str(v) for k, v in found["doing"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, run_id: str, doing: Mapping[str, str]) -> None:
        """Replace the note."""
        note = {"run_id": run_id, "seen_at": f"{datetime.now(UTC):%H:%M:%S}", "doing": dict(doing)}
        part = self.file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(note), encoding="utf-8")
        os.replace(part, self.file)

    def forget(self) -> None:
        """The run has ended."""
        self.file.unlink(missing_ok=True)
