"""Progress that people see: a Rich bar at a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LOG_EVERY_SECONDS = 5.0


class Progress(Protocol):
    """Reports work done."""

    def advance(self, amount: int = 1, note: str = "") -> None: ...


class _Lines:
    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, 0
        self.started = self.last = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.last >= _LOG_EVERY_SECONDS or self.done >= self.total > 0:
            self.last = now
            of = f"/{self.total}" if self.total else ""
            print(f"{self.title}: {self.done}{of} {self.unit}, {now - self.started:.0f} s {note}".rstrip(), file=sys.stderr, flush=True)


@contextmanager
def progress(title: str, total: int, unit: str = "parts") -> Iterator[Progress]:
    """Show the progress of `total` units (0 if unknown) until the block ends."""
    if not sys.stderr.isatty():
        yield _Lines(title, total, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total or None, note="")

        class _Bar:
            def advance(self, amount: int = 1, note: str = "") -> None:
                bar.update(task, advance=amount, note=note)

        yield _Bar()
