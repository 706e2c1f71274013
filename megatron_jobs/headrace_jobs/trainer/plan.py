"""What to train and where to keep it. Needs no torch: a finished run is adopted, and ranks are launched, without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace_jobs.model.config import ModelConfig
from headrace_jobs.trainer.config import TrainConfig


@dataclass(frozen=True)
class RunPlan:
    """What to train and where to keep it.

    Attributes:
        fingerprint: identity of the run; a checkpoint of another run is never resumed.
        folder: of the run, on a file system that all its processes see.
        stop_after: end after this step although tokens are left, leaving a checkpoint; the run stays unfinished.
        start_from: a checkpoint whose weights, moments and position a new run begins with.
    """

    fingerprint: str
    folder: Path
    config: TrainConfig
    model: ModelConfig
    stop_after: int | None = None
    start_from: Path | None = None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"
