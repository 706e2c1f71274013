"""The run of one process: from a compiled mix, or its newest valid checkpoint, to the last token.

What is not training is an `Observer`: it writes metrics, shows progress, records artifacts. A loss or gradient that is
not finite stops the run before the next checkpoint, so the newest one on disk is a sound one.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import numpy as np

from headrace_jobs.mix.compile import Mix
from headrace_jobs.mix.loader import PackedLoader
from headrace_jobs.model.precision import resolved
from headrace_jobs.trainer import checkpoint
from headrace_jobs.trainer.observer import Observer, StepRecord
from headrace_jobs.trainer.parallel import process_groups
from headrace_jobs.trainer.plan import RunPlan
from headrace_jobs.trainer.segment import Segment, begin_segment, joined
from headrace_jobs.trainer.state import TrainState, build_state
from headrace_jobs.trainer.step import train_step
from headrace_jobs.trainer.vocabulary import set_rows, settle_rows, used_ids
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake


def train(plan: RunPlan, mix: Mix, lake: Lake, observer: Observer) -> TrainState:
    """Train until the mix, `max_steps` or `stop_after` ends; every process of the world calls it.

    Raises:
        ConfigError: layout, batch or vocabulary do not fit.
        InputError: the loss is not finite.
    """
    config = plan.config
    if plan.model.vocabulary < mix.vocabulary:
        raise ConfigError(
            f"model {plan.model.name}: vocabulary {plan.model.vocabulary} is below the mix's {mix.vocabulary}", f"use {mix.vocabulary}"
        )
    with process_groups(config.parallel, seed=config.seed, threads=config.threads):
        import torch.distributed as dist
        from megatron.core import parallel_state  # not before the stand-ins are in place

        rank, ranks = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
        try:
            micro_batches = config.micro_batches(ranks)
        except ValueError as exc:
            raise ConfigError(f"recipe {mix.recipe.name}, train: {exc}", "correct the value") from exc
        segment = begin_segment(plan.model, config)
        model = resolved(plan.model, (segment.layers, segment.softmax))
        used = used_ids(mix, lake, vocabulary=model.vocabulary) if config.share_unused_ids else None
        state = build_state(config, model, total_tokens=sum(p.tokens for p in mix.phases), used=used)
        loader = PackedLoader(
            mix, lake, sequence_length=config.sequence_length, micro_batch=config.micro_batch, data_rank=rank, data_ranks=ranks
        )
        first = dist.get_rank() == 0
        if first:
            checkpoint.sweep(plan.checkpoints)
        dist.barrier()
        start = checkpoint.newest_valid(plan.checkpoints, run=plan.fingerprint) or plan.start_from
        before: tuple[Segment, ...] = ()
        if start is not None:
            about = checkpoint.load(state, start)
            loader.load_state_dict(about.loader)
            before = about.segments
        state.segments = joined(before, segment, step=state.steps)
        notes = (set_rows(state.bare, used),) if used is not None else ()
        watcher = observer if first else Observer()
        watcher.started(state.steps, start, state.segments, notes)
        _steps(plan, mix, state, loader, micro_batches, watcher)
    return state


def _steps(plan: RunPlan, mix: Mix, state: TrainState, loader: PackedLoader, micro_batches: int, observer: Observer) -> None:
    config = plan.config
    last = min(x for x in (plan.stop_after, config.max_steps, math.inf) if x is not None)
    saved = state.steps
    while state.steps < last:
        began = time.perf_counter()
        phase = loader.phase
        batches = list(islice(loader, micro_batches))
        if not batches:
            break
        batches += [_blank(batches[0])] * (micro_batches - len(batches))
        result = train_step(state, batches)
        seconds = time.perf_counter() - began
        if not math.isfinite(result.loss) or (result.grad_norm is not None and not math.isfinite(result.grad_norm)):
            kept = f"the newest checkpoint is of step {saved}" if saved else "the run left no checkpoint"
            raise InputError(
                f"step {state.steps}: loss {result.loss}, gradient norm {result.grad_norm}; {kept}",
                f"lower 'train.optimizer.lr', or look at the batch after {state.tokens - result.tokens} tokens",
            )
        fields = asdict(result) | {"step": state.steps, "total_tokens": state.tokens, "seconds": seconds, "phase": phase}
        observer.stepped(StepRecord(**fields, tokens_per_second=result.tokens / seconds))
        if state.steps % config.checkpoint_every == 0:
            saved = _save(plan, mix, state, loader, observer)
    if saved != state.steps:
        _save(plan, mix, state, loader, observer)


def _save(plan: RunPlan, mix: Mix, state: TrainState, loader: PackedLoader, observer: Observer) -> int:
    import torch.distributed as dist

    if state.used is not None:
        settle_rows(state.bare)
    about = checkpoint.CheckpointState(
        run=plan.fingerprint,
        step=state.steps,
        tokens=state.tokens,
        eod=mix.eod,
        tokenizer_digest=mix.tokenizer_digest,
        model=state.model_config,
        train=plan.config,
        world=dist.get_world_size(),
        loader=loader.state_dict(),
        schedule=state.scheduler.state_dict(),
        segments=state.segments,
    )
    folder = checkpoint.save(state, about, plan.checkpoints)
    if dist.get_rank() == 0:
        observer.saved(state.steps, folder)
        checkpoint.sweep(plan.checkpoints, keep=plan.config.keep)
    return state.steps


def _blank(batch: Any) -> Any:
    """A micro batch of padding, so that the last global batch has its full number."""
    return replace(batch, loss_mask_BS=np.zeros_like(batch.loss_mask_BS), segments_BS=np.full_like(batch.segments_BS, -1), spans=[])
