"""What a run holds in memory: model, optimizer and schedule, made of Megatron's own parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_jobs.model.build import build_model
from headrace_jobs.model.config import ModelConfig
from headrace_jobs.trainer.config import TrainConfig
from headrace_jobs.trainer.parallel import at_stop
from headrace_jobs.trainer.segment import Segment
from headrace_jobs.trainer.vocabulary import clear_unused


@dataclass
class TrainState:
    """A run between two steps.

    Attributes:
        bare: the model without its wrappers.
        model: the same inside Megatron's DistributedDataParallel.
        used: ids that the mix uses, bool [vocabulary], where the others share a row.
        segments: launches of the run so far, this one last.
        steps, tokens: done so far; tokens are unmasked labels over all ranks.
    """

    config: TrainConfig
    model_config: ModelConfig
    bare: Any
    model: Any
    optimizer: Any
    scheduler: Any
    used: npt.NDArray[np.bool_] | None = None
    segments: tuple[Segment, ...] = ()
    steps: int = 0
    tokens: int = 0


def build_state(
    config: TrainConfig, model_config: ModelConfig, *, total_tokens: int, used: npt.NDArray[np.bool_] | None = None
) -> TrainState:
    """Fresh weights and moments. Process groups must exist, and the model's precision must be chosen.

    Args:
        used: ids that the mix uses; the rows of all others start at zero.
        total_tokens: of the whole run; the schedule counts tokens, so padding does not age it.
    """
    import torch
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
    from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
    from megatron.core.transformer.module import Float16Module

    o, parallel = config.optimizer, config.parallel
    bare = build_model(model_config, parallel, sequence_length=config.sequence_length)
    if used is not None:
        clear_unused(bare, used)
    bf16 = model_config.precision == "bf16"
    inner = Float16Module(bare.config, bare) if bf16 else bare
    layout = DistributedDataParallelConfig(
        use_distributed_optimizer=parallel.distributed_optimizer,
        overlap_grad_reduce=torch.cuda.is_available(),
        overlap_param_gather=torch.cuda.is_available() and parallel.distributed_optimizer,
        grad_reduce_in_fp32=True,
        average_in_collective=False,
    )
    model = DistributedDataParallel(bare.config, layout, inner)
    optimizer = get_megatron_optimizer(
        OptimizerConfig(
            optimizer="adam",
            lr=o.lr,
            min_lr=o.min_lr,
            decoupled_lr=o.embedding_lr,
            decoupled_min_lr=o.min_lr if o.embedding_lr is not None else None,
            weight_decay=o.weight_decay,
            adam_beta1=o.beta1,
            adam_beta2=o.beta2,
            adam_eps=o.eps,
            clip_grad=o.clip_grad,
            bf16=bf16,
            params_dtype=torch.bfloat16 if bf16 else torch.float32,
            use_distributed_optimizer=parallel.distributed_optimizer,
            overlap_param_gather=layout.overlap_param_gather,
        ),
        [model],
    )
    # The schedules of Megatron read these from the model's config; `calculate_per_token_loss` was set when it was made.
    bare.config.finalize_model_grads_func = finalize_model_grads
    bare.config.grad_scale_func = optimizer.scale_loss
    if layout.overlap_grad_reduce:
        bare.config.no_sync_func = model.no_sync
    at_stop(partial(_let_go, bare.config, model))
    return TrainState(config, model_config, bare, model, optimizer, _scheduler(config, optimizer, total_tokens), used)


def _let_go(config: Any, model: Any) -> None:
    """Cut the circle of model, hooks on gradients and optimizer, which runs through C++ where Python's collector does not see it.

    Without this no model that was trained ever goes, nor do its process groups: each of gloo keeps three threads, which wake 100 times a
    second.
    """
    config.finalize_model_grads_func = config.grad_scale_func = config.no_sync_func = None
    model.grad_accs.clear()


def _scheduler(config: TrainConfig, optimizer: Any, total_tokens: int) -> Any:
    from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

    o, s = config.optimizer, config.schedule
    total = max(2, total_tokens)
    return OptimizerParamScheduler(
        optimizer,
        init_lr=0.0,
        max_lr=o.lr,
        min_lr=o.min_lr,
        lr_warmup_steps=min(total - 1, round(s.warmup * total)),
        lr_decay_steps=total,
        lr_decay_style={"wsd": "WSD"}.get(s.kind, s.kind),
        start_wd=o.weight_decay,
        end_wd=o.weight_decay,
        wd_incr_steps=total,
        wd_incr_style="constant",
        wsd_decay_steps=max(1, round(s.decay * total)) if s.kind == "wsd" else None,
        lr_wsd_decay_style="linear" if s.kind == "wsd" else None,
        # Resuming reads the position from the checkpoint and the shape from the recipe, which is part of the run's identity.
        use_checkpoint_opt_param_scheduler=False,
        override_opt_param_scheduler=True,
    )


def learning_rate(state: TrainState) -> float:
    """Of the layers' matrices, as the next step will use it."""
    return float(state.scheduler.get_lr({}))
