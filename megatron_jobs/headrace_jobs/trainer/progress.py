"""Progress of a run: a live bar at a terminal, plain lines elsewhere (a job's log). Both show step, loss, speed and time left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from headrace_jobs.trainer.observer import Observer, StepRecord
from headrace_jobs.trainer.pace import EARLY_SECONDS, EARLY_STEPS, Pace, Share, duration, estimate
from headrace_jobs.trainer.segment import Segment, changes
from headrace_lake.terminal.console import text_console

LINE_SECONDS = 30.0
"""A log says something at least this often, however slow the steps are, and once in `log_every` steps."""


class Progress(Observer):
    """Shows steps.

    Args:
        last_step: step after which the run ends although tokens are left.
        console: where to; standard error by default.
    """

    def __init__(self, name: str, *, total_tokens: int, log_every: int, last_step: int | None = None, console: Any = None) -> None:

        self.name = name
        self.total = total_tokens
        self.every = log_every
        self.pace = Pace(total_tokens, last_step)
        self.console = console or text_console(stderr=True)
        self.bar: Any = None
        self.task: Any = None
        self._segment: Segment | None = None
        self._share: Share | None = None
        self._began = self._said = 0.0
        self._estimated = False

    def started(self, step: int, checkpoint: Path | None, segments: tuple[Segment, ...], notes: tuple[str, ...] = ()) -> None:
        self._say(f"train {self.name}: " + ("from the start" if checkpoint is None else f"after step {step}, from {checkpoint.name}"))
        now = self._segment = segments[-1]
        self._say(now.line())
        for choice in (now.layers, now.softmax):
            self._say(f"  {choice.use}: {choice.chosen} ({choice.asked} in the model file); {choice.why}")
            if choice.warning:
                self._say(f"warning: {choice.warning}")
        for text in (*changes(segments[-2:]), *filter(None, notes)):
            self._say(text)
        self._began = self._said = time.monotonic()
        if self.console.is_terminal:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
            self.bar = Bar(*columns, console=self.console)
            self.task = self.bar.add_task("", total=self.total)
            self.bar.start()

    def stepped(self, record: StepRecord) -> None:
        self.pace.stepped(record.tokens, record.seconds)
        figures = f"loss {record.loss:.4f} {self.pace.tokens_per_second:,.0f} tokens/s"
        if self.pace.steps == 1:  # it says nothing about the next ones
            self._share = Share(self._segment.threads) if self._segment else None
        else:
            figures += f", {duration(self.pace.seconds_left(step=record.step, total_tokens=record.total_tokens))} left"
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.task, completed=record.total_tokens, description=f"step {record.step} {figures}")
        elif record.step == 1 or record.step % self.every == 0 or now - self._said >= LINE_SECONDS:
            self._said = now
            norm = "" if record.grad_norm is None else f", gradient {record.grad_norm:.2f}"
            share = record.total_tokens / self.total
            self._say(f"step {record.step} ({share:.0%}) phase {record.phase} {figures}{norm}, lr {record.lr:.2e}")
        if not self._estimated and (self.pace.steps >= EARLY_STEPS or now - self._began >= EARLY_SECONDS):
            self._estimated = True
            if self._segment is not None and self._share is not None:
                self._say(estimate(self.pace, self._segment, self._share.now(), step=record.step, total_tokens=record.total_tokens))

    def saved(self, step: int, folder: Path) -> None:
        self._say(f"checkpoint of step {step}: {folder}")

    def stop(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)
