"""`headrace train` in the lake's terms: a run under its fingerprint, adopted when finished, resumed when not.

    RUNS/train/RECIPE-FINGERPRINT/     metrics.jsonl, loss.png, run.html, checkpoints/, recorded/ (see checkpoint.py)

A run has one identity for its whole life: mix, model, optimizer, schedule, seed and batch. Code, layout, hosts and the precision that
`auto` came to may change from launch to launch and are recorded for each (`segment.py`): a run of months survives upgrades, fewer nodes
and another layout. The artifacts `run` and `checkpoint` are recorded when a launch has come to `max_steps` or the mix's end; a larger
`max_steps` goes on from there. What is on disk before that serves only to resume.
"""

from __future__ import annotations

import fcntl
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_jobs.mix.compile import Mix, compile_mix
from headrace_jobs.mix.recipe import load_recipe
from headrace_jobs.model.build import check_layout
from headrace_jobs.model.config import ModelConfig, load_model_config
from headrace_jobs.trainer import checkpoint
from headrace_jobs.trainer.config import TrainConfig, train_config
from headrace_jobs.trainer.metrics import LAST_STEPS, METRICS, append_metrics, cut_metrics, mean_loss, read_metrics, write_page
from headrace_jobs.trainer.observer import Observer, StepRecord
from headrace_jobs.trainer.parallel import world_size
from headrace_jobs.trainer.plan import RunPlan
from headrace_jobs.trainer.progress import Progress
from headrace_jobs.trainer.segment import Segment, changes
from headrace_lake.errors import InputError, LakeError
from headrace_lake.fingerprint import digest_of, file_digest
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.storage.storage import explained

MIX_END, MAX_STEPS = "mix", "max_steps"
"""What ended a run: its mix, or the step that was asked for."""


@dataclass(frozen=True)
class Outcome:
    """A finished run and its last checkpoint."""

    action: str
    run: Artifact
    checkpoint: Artifact


def train_recipe(lake: Lake, recipe: str, *, settings: Path | None = None) -> Outcome:
    """Train a recipe on its newest mix, or adopt or resume that training.

    Args:
        settings: the settings file, for the processes that a parallel layout starts.

    Raises:
        ConfigError: recipe, model, layout or batch do not fit.
        LakeError: another process is training the same run.
        InputError: the loss is not finite, or nothing is tokenised.
    """
    chosen = load_recipe(lake.settings, recipe)
    config = train_config(chosen.train, recipe=chosen.name)
    model = load_model_config(lake.settings, config.model)
    check_layout(model, config.parallel)
    mix, _ = compile_mix(lake, chosen, known=True)
    plan = run_plan(lake, mix, config, model)
    found = _finished(lake, plan)
    if found is not None:
        return Outcome("adopted", *found)
    with _alone(plan):
        started = checkpoint.newest_valid(plan.checkpoints, run=plan.fingerprint)
        if world_size() == 1 and config.parallel.model_ranks > 1:
            from headrace_jobs.trainer.local import launch

            launch(plan, recipe, processes=config.parallel.model_ranks, settings=settings)
        else:
            train_here(lake, mix, plan)
        run, last = _record(lake, mix, plan)
    return Outcome("computed" if started is None else "resumed", run, last)


def run_plan(lake: Lake, mix: Mix, config: TrainConfig, model: ModelConfig) -> RunPlan:
    """Identity and place of a run."""
    start = lake.settings.resolve(config.start_from).resolve() if config.start_from else None
    fingerprint = digest_of(
        {
            "kind": "run",
            "inputs": {"mix": mix.fingerprint, "start": checkpoint.certificate(start).root if start else None},
            "params": {"train": config.identity() | {"start_from": None}, "model": model.model_dump(mode="json")},
        }
    )
    folder = lake.settings.resolve(lake.settings.runs).resolve() / "train" / f"{mix.recipe.name}-{fingerprint[:16]}"
    return RunPlan(fingerprint, folder, config, model, start_from=start)


def train_here(lake: Lake, mix: Mix, plan: RunPlan) -> None:
    """Train in this process, which is one of the world's."""
    from headrace_jobs.trainer.loop import train  # and with it torch

    last = min((x for x in (plan.stop_after, plan.config.max_steps) if x is not None), default=None)
    progress = Progress(mix.recipe.name, total_tokens=mix.recipe.tokens, log_every=plan.config.log_every, last_step=last)
    try:
        train(plan, mix, lake, Recorder(plan, progress))
    finally:
        progress.stop()


class Recorder(Observer):
    """Writes the metrics file and passes everything on to the display."""

    def __init__(self, plan: RunPlan, display: Observer) -> None:
        self.file = plan.folder / METRICS
        self.display = display

    def started(self, step: int, checkpoint: Path | None, segments: tuple[Segment, ...], notes: tuple[str, ...] = ()) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        cut_metrics(self.file, step)
        self.display.started(step, checkpoint, segments, notes)

    def stepped(self, record: StepRecord) -> None:
        append_metrics(self.file, record)
        self.display.stepped(record)

    def saved(self, step: int, folder: Path) -> None:
        self.display.saved(step, folder)


def _finished(lake: Lake, plan: RunPlan) -> tuple[Artifact, Artifact] | None:
    """Run and checkpoint, if both are recorded, the checkpoint is still sound, and the run has come as far as is asked for."""
    run = lake.find_artifact("run", fingerprint=plan.fingerprint)
    if run is None:
        return None
    last_step = plan.config.max_steps
    if last_step is not None and run.payload["steps"] > last_step:
        raise InputError(
            f"run {plan.folder.name} has come to step {run.payload['steps']} already, beyond 'max_steps' {last_step}",
            "raise 'max_steps', or name another 'seed' for a run of its own",
        )
    if run.payload["ended"] != MIX_END and (last_step is None or run.payload["steps"] < last_step):
        return None
    last = lake.find_artifact("checkpoint", fingerprint=run.payload["checkpoint"])
    if last is None:
        return None
    try:
        return (run, last) if checkpoint.certificate(Path(last.path)).root == last.digest else None
    except InputError:
        return None


def _record(lake: Lake, mix: Mix, plan: RunPlan) -> tuple[Artifact, Artifact]:
    folder = checkpoint.newest_valid(plan.checkpoints, run=plan.fingerprint)
    records = read_metrics(plan.folder / METRICS)
    if folder is None or not records:
        raise InputError(f"run {plan.folder.name} left no checkpoint", "run it again")
    proof = checkpoint.certificate(folder)
    segments = checkpoint.read_state(folder).segments
    step_fingerprint = digest_of({"kind": "checkpoint", "run": plan.fingerprint, "step": proof.step})
    title, vocabulary = f"run {plan.folder.name}", plan.model.vocabulary
    page = write_page(records, plan.folder, title=title, vocabulary=vocabulary, notes=_notes(segments))
    files = [plan.folder / METRICS, *page]
    last_loss = mean_loss(records[-LAST_STEPS:])
    payload: dict[str, Any] = {
        "checkpoint": step_fingerprint,
        "first_loss": records[0].loss,
        "last_loss": last_loss,
        "steps": records[-1].step,
        "ended": MIX_END if plan.config.max_steps is None or records[-1].step < plan.config.max_steps else MAX_STEPS,
        "tokens": records[-1].total_tokens,
        "seconds": round(sum(r.seconds for r in records), 3),
        "vocabulary": plan.model.vocabulary,
        "parameters": plan.model.num_parameters(),
        "train": plan.config.model_dump(mode="json"),
        "model": plan.model.model_dump(mode="json"),
        "segments": [s.model_dump(mode="json") for s in segments],
        "files": {file.suffix[1:]: lake.put_object(file, kind="run", suffix=file.suffix) for file in files},
        "summary": f"{records[-1].step} steps, loss {records[0].loss:.3f} to {last_loss:.3f} "
        f"({math.log(plan.model.vocabulary) - last_loss:.2f} nats below ln V)",
    }
    run = Artifact(
        kind="run",
        name=mix.recipe.name,
        fingerprint=plan.fingerprint,
        digest=file_digest(plan.folder / METRICS),
        path=str(plan.folder),
        parents=(mix.fingerprint,),
        payload=payload,
    )
    last = Artifact(
        kind="checkpoint",
        name=f"{mix.recipe.name}-{folder.name}",
        fingerprint=step_fingerprint,
        digest=proof.root,
        path=str(folder),
        parents=(plan.fingerprint,),
        payload={"step": proof.step, "tokens": payload["tokens"], "summary": f"step {proof.step} of run {plan.fingerprint[:16]}"},
    )
    checkpoint.keep_recorded(folder)
    # The run goes first: whoever finds the checkpoint finds its run.
    lake.record_artifact(run)
    lake.record_artifact(last)
    return run, last


def _notes(segments: Sequence[Segment]) -> list[str]:
    """What the page says about launches and their precision."""
    lines = [f"from step {s.after_step + 1}: {s.line()}. Layers: {s.layers.why}. Softmax: {s.softmax.why}." for s in segments]
    return lines + list(changes(segments))


@contextmanager
def _alone(plan: RunPlan) -> Iterator[None]:
    """At most one training of a run on this file system; the lock goes with the process."""
    with explained(str(plan.folder)):
        plan.folder.mkdir(parents=True, exist_ok=True)
        with open(plan.folder / "lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise LakeError(f"run {plan.folder.name} is being trained by another process", "wait for it, or stop it") from exc
            yield
