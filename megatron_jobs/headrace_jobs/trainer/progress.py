"""Progress of a run: a live bar at a terminal, plain lines elsewhere (a job's log)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace_jobs.trainer.loop import Observer, StepRecord


class Progress(Observer):
    """Shows steps; `log_every` steps apart where there is no terminal."""

    def __init__(self, name: str, *, total_tokens: int, log_every: int) -> None:
        from rich.console import Console

        self.name = name
        self.total = total_tokens
        self.every = log_every
        self.console = Console()
        self.bar: Any = None
        self.task: Any = None

    def started(self, step: int, checkpoint: Path | None) -> None:
        text = "from the start" if checkpoint is None else f"after step {step}, from {checkpoint.name}"
        self.console.print(f"train {self.name}: {text}", highlight=False, soft_wrap=True)
        if self.console.is_terminal:
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
            self.bar = Bar(*columns, console=self.console)
            self.task = self.bar.add_task("", total=self.total)
            self.bar.start()

    def stepped(self, record: StepRecord) -> None:
        norm = "" if record.grad_norm is None else f" gradient {record.grad_norm:.2f}"
        speed = f"{record.tokens_per_second:,.0f} tokens/s"
        text = f"step {record.step} phase {record.phase} loss {record.loss:.4f}{norm} lr {record.lr:.2e} {speed}"
        if self.bar is not None:
            self.bar.update(self.task, completed=record.total_tokens, description=text)
        elif record.step == 1 or record.step % self.every == 0:
            share = record.total_tokens / self.total
            self.console.print(f"{text}, {record.total_tokens:,} tokens ({share:.0%})", highlight=False, soft_wrap=True)

    def saved(self, step: int, folder: Path) -> None:
        self.console.print(f"checkpoint of step {step}: {folder}", highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
