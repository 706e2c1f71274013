"""What a training run tells while it goes on: the record of a step, and who is told. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace_jobs.trainer.segment import Segment


@dataclass(frozen=True)
class StepRecord:
    """A line of the metrics file. Loss in nats per token, time in seconds; tokens are unmasked labels."""

    step: int
    loss: float
    lr: float
    grad_norm: float | None
    tokens: int
    total_tokens: int
    tokens_per_second: float
    seconds: float
    phase: str


class Observer:
    """What the first rank tells of; does nothing by itself."""

    def started(self, step: int, checkpoint: Path | None, segments: tuple[Segment, ...], notes: tuple[str, ...] = ()) -> None:
        """The run goes on after `step` (0 for a fresh one); this launch is the last of its `segments`."""

    def stepped(self, record: StepRecord) -> None:
        """A step is done."""

    def saved(self, step: int, folder: Path) -> None:
        """A checkpoint is on disk."""
