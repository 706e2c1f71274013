"""Training runs as they stand: from their records in the lake, and from the metrics files of those that are not finished. No torch needed.

    finished     the artifact `run` with its record and metrics; its checkpoints and evaluations hang on it
    unfinished   RUNS/train/RECIPE-FINGERPRINT/metrics.jsonl: a run that goes on now, or that stopped and resumes when asked again

Cost: a run's metrics file, about 200 bytes a step, parsed once for each change of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from headrace_jobs.trainer.pace import Pace
from headrace_lake.errors import HeadraceError, InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact

METRICS = "metrics.jsonl"
LAST_STEPS = 10
"""As `trainer.metrics`: the last loss is the mean over the tokens of so many steps."""
SILENT_S = 180.0
"""A run whose file is older, and older than ten of its steps, is taken for stopped."""
_LAST_LINE = 8192
"""Bytes that the last step's line has at most."""


@dataclass(frozen=True)
class Point:
    """A line of the metrics file; loss in nats per token."""

    step: int
    loss: float
    tokens: int
    total_tokens: int
    seconds: float
    lr: float
    phase: str
    grad_norm: float | None = None


@dataclass
class Run:
    """One training run.

    Attributes:
        id: recipe and the beginning of the fingerprint, the name of its folder.
        artifact: its record, None while it is unfinished.
        silent_s: seconds since an unfinished run wrote its last step.
        total_tokens: what the run is to reach, None where its recipe is not known here.
    """

    id: str
    recipe: str
    points: tuple[Point, ...]
    artifact: Artifact | None = None
    silent_s: float = 0.0
    total_tokens: int | None = None
    segments: Sequence[dict[str, Any]] = field(default_factory=tuple)

    @property
    def running(self) -> bool:
        """Does it seem to go on now?"""
        slow = 10 * max((p.seconds for p in self.points[-5:]), default=0.0)
        return self.artifact is None and self.silent_s < max(SILENT_S, slow)

    @property
    def last_loss(self) -> float:
        """Mean over the tokens of the last steps."""
        return _mean(self.points[-LAST_STEPS:])

    @property
    def seconds_left(self) -> float | None:
        """At the speed of its last steps."""
        if not self.points or self.total_tokens is None:
            return None
        pace = Pace(self.total_tokens)
        for p in self.points:
            pace.stepped(p.tokens, p.seconds)
        return pace.seconds_left(step=self.points[-1].step, total_tokens=self.points[-1].total_tokens)


def training_runs(lake: Lake, artifacts: Sequence[Artifact], *, now: float) -> list[Run]:
    """All runs, those that go on first, then the newest first.

    Args:
        artifacts: of the lake, oldest first.
        now: Unix time that silence is measured against.
    """
    newest = {a.fingerprint: a for a in artifacts if a.kind == "run"}  # one that went on was recorded again
    finished = [_finished(lake, a) for a in reversed(newest.values()) if not _goes_on(a)]
    known = {run.id for run in finished}
    folder = lake.settings.resolve(lake.settings.runs) / "train"
    open_ones = [f for f in sorted(folder.glob(f"*/{METRICS}")) if f.parent.name not in known]
    unfinished = [_unfinished(lake, file, now) for file in open_ones]
    return [*sorted(unfinished, key=lambda run: run.silent_s), *finished]


def _goes_on(artifact: Artifact) -> bool:
    """Whether a run was taken further than its record says."""
    file = Path(artifact.path) / METRICS
    try:
        with file.open("rb") as f:
            f.seek(max(0, file.stat().st_size - _LAST_LINE))
            last = f.read().rstrip(b"\n").rpartition(b"\n")[2]
        return int(orjson.loads(last)["step"]) > int(artifact.payload["steps"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return False  # gone, or its last line is being written


def _finished(lake: Lake, artifact: Artifact) -> Run:
    folder = Path(artifact.path)
    file = folder / METRICS
    stored = artifact.payload.get("files", {}).get("jsonl")
    points: tuple[Point, ...] = ()
    if stored:
        try:
            points = _stored_points(lake, stored)
        except HeadraceError:
            points = ()
    if not points and file.exists():
        points = _read(file)
    return Run(
        folder.name or artifact.fingerprint[:16], artifact.name, points, artifact, segments=tuple(artifact.payload.get("segments") or ())
    )


def _unfinished(lake: Lake, file: Path, now: float) -> Run:
    recipe = file.parent.name.rpartition("-")[0]
    return Run(
        file.parent.name,
        recipe,
        _read(file),
        silent_s=max(0.0, now - file.stat().st_mtime),
        total_tokens=_total_tokens(lake, recipe),
        segments=_segments(file.parent / "checkpoints"),
    )


def _total_tokens(lake: Lake, recipe: str) -> int | None:
    from headrace_jobs.mix.recipe import load_recipe

    try:
        return load_recipe(lake.settings, recipe).tokens
    except HeadraceError:
        return None


def _segments(checkpoints: Path) -> tuple[dict[str, Any], ...]:
    """Launches, as the newest checkpoint tells them."""
    states = sorted(checkpoints.glob("step-*/state.json"))
    try:
        return tuple(orjson.loads(states[-1].read_bytes()).get("segments") or ()) if states else ()
    except (OSError, ValueError, AttributeError):
        return ()


def _read(file: Path) -> tuple[Point, ...]:
    try:
        about = file.stat()
        return _parsed(str(file), about.st_mtime_ns, about.st_size)
    except OSError:
        return ()


@lru_cache(maxsize=32)
def _parsed(file: str, changed: int, size: int) -> tuple[Point, ...]:
    return points(Path(file).read_bytes())


@lru_cache(maxsize=32)
def _object_points(root: str, path: str, data: bytes) -> tuple[Point, ...]:
    return points(data)


def _stored_points(lake: Lake, path: str) -> tuple[Point, ...]:
    return _object_points(lake.storage.root, path, lake.storage.read_bytes(path))


def points(data: bytes) -> tuple[Point, ...]:
    """The steps of a metrics file; a line that a kill cut short is left out."""
    found = []
    for line in data.split(b"\n"):
        try:
            row = orjson.loads(line)
            if isinstance(row["step"], int) and isinstance(row["loss"], int | float):
                found.append(Point(**{k: row.get(k) for k in Point.__dataclass_fields__}))
        except (ValueError, TypeError, KeyError):
            continue
    return tuple(found)


def find_run(runs: Sequence[Run], run_id: str) -> Run:
    """The run of an id.

    Raises:
        InputError: there is none.
    """
    found = next((run for run in runs if run.id == run_id), None)
    if found is None:
        raise InputError(f"no training run '{run_id}'", "the page Training lists those that are known here")
    return found


def evaluations(run: Run, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Evaluations of the run's checkpoints, oldest first."""
    if run.artifact is None:
        return []
    mine = {a.fingerprint for a in artifacts if a.kind == "checkpoint" and run.artifact.fingerprint in a.parents}
    return [a for a in artifacts if a.kind == "evaluation" and mine & set(a.parents)]


def _mean(some: Sequence[Point]) -> float:
    tokens = sum(p.tokens for p in some)
    return sum(p.loss * p.tokens for p in some) / tokens if tokens else math.nan
