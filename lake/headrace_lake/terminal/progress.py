"""Progress of long commands on standard error: a bar at a terminal, a plain line now and then in a log. With rate and time left.

One facility for all commands: what counts units calls `advance`, what knows totals calls `update`. A line comes at `FIRST_SECONDS`, then
ever more rarely, and also while nothing moves, so that a log shows a slow command to be alive.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from headrace_lake.foreign_text import log_line

FIRST_SECONDS = 10.0
AT_MOST_SECONDS = 60.0
_GROWTH = 1.5


class Progress(Protocol):
    """Reports work done."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """So much more is done."""
        ...

    def update(self, done: int, total: int = 0, note: str = "") -> None:
        """So much is done of so much (0 if that is not known)."""
        ...


class _Count:
    """What is done, and how fast."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done, self.note = 0, ""
        self.began = time.monotonic()

    def line(self) -> str:
        """Such as `fetch a/b: 120/900 pages (13 %), 2.1 pages/s, 6 min left`."""
        seconds = time.monotonic() - self.began
        said = f"{self.title}: {self.done:,}{f'/{self.total:,}' if self.total else ''} {self.unit}"
        if self.total:
            said += f" ({self.done / self.total:.0%})"
        if self.done and seconds > 0:
            rate = self.done / seconds
            said += f", {number(rate)} {self.unit}/s"
            if self.total > self.done:
                said += f", {duration((self.total - self.done) / rate)} left"
        return f"{said}, after {duration(seconds)}{f'; {self.note}' if self.note else ''}"


class _Lines(_Count):
    """Lines in a log."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        super().__init__(title, total, unit)
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._said = False
        # The work is one blocking call a part: only another thread can say that it goes on.
        self._speaker = threading.Thread(target=self._speak, name="progress", daemon=True)
        self._speaker.start()

    def advance(self, amount: int = 1, note: str = "") -> None:
        with self._lock:
            self.done += amount
            self.note = note

    def update(self, done: int, total: int = 0, note: str = "") -> None:
        with self._lock:
            self.done, self.total, self.note = done, total, note

    def _speak(self) -> None:
        pause = FIRST_SECONDS
        while not self._ended.wait(pause):
            self._say()
            pause = min(AT_MOST_SECONDS, pause * _GROWTH)

    def _say(self) -> None:
        with self._lock:
            line = self.line()
        self._said = True
        print(log_line(line), file=sys.stderr, flush=True)

    def end(self) -> None:
        """No more lines; whoever has read some is told the end as well."""
        self._ended.set()
        self._speaker.join()
        if self._said:
            self._say()


@contextmanager
def progress(title: str, total: int, unit: str = "parts") -> Iterator[Progress]:
    """Show the progress of `total` units (0 if unknown) until the block ends."""
    if not sys.stderr.isatty():
        lines = _Lines(title, total, unit)
        try:
            yield lines
        finally:
            lines.end()
        return
    with _bar(title, total, unit) as bar:
        yield bar


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{number(speed)} {unit}/s" if speed else f"{unit}")

    columns: tuple[Any, ...] = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as rich:
        task = rich.add_task(escape(title), total=total or None, note="")

        class Bar:
            def advance(self, amount: int = 1, note: str = "") -> None:
                rich.update(task, advance=amount, note=note)

            def update(self, done: int, total: int = 0, note: str = "") -> None:
                rich.update(task, completed=done, total=total or None, note=note)

        yield Bar()


def number(value: float) -> str:
    """A rate with two or three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2 h 10 min`."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 99 else f"{minutes // 60} h {minutes % 60} min"
