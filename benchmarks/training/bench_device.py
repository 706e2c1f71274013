"""Training on one GPU: the same losses as on a processor, a checkpoint that goes on as if nothing had been, and speed.

    python benchmarks/training/bench_device.py [--model 1b --steps 20]

1. Six steps of the tiny model in fp32 on the processor, with a checkpoint after the third; the GPU loads it and makes the other three
   on the same batches. The losses must agree to 1e-3 relative (sums are made in another order).
2. The tiny model in bf16: its loss must fall below that of guessing; a checkpoint, two more steps, the checkpoint loaded into a fresh model
   and the same two steps again, whose losses must agree.
3. `--model` in its own precision: the loss must fall; tokens a second after a warm-up, model FLOPs utilisation of the GPU's dense bf16
   peak, and peak memory.

Tokens are made up, each its predecessor plus one or a jump.
Needs CUDA; everything else runs in CI on processors. Transformer Engine is used where it is installed, else
`headrace_jobs.portable.layers`.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from headrace_jobs.model.build import uses_transformer_engine
from headrace_jobs.model.config import MODELS, ModelConfig
from headrace_jobs.trainer import checkpoint
from headrace_jobs.trainer.config import TrainConfig
from headrace_jobs.trainer.parallel import process_groups
from headrace_jobs.trainer.state import TrainState, build_state
from headrace_jobs.trainer.step import train_step
from headrace_lake.strict import load_yaml

CHECKOUT = Path(__file__).parents[2]
TINY = TrainConfig.model_validate({"sequence_length": 256, "micro_batch": 4, "global_batch": 8, "optimizer": {"lr": 1e-3}})
SPREAD = 1000
"""Tokens are drawn from so many ids."""
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 FLOP/s (NVIDIA's data sheets, SXM)."""


def batches(config: TrainConfig, step: int) -> list[Any]:
    """The micro batches of a step: two documents a row."""
    made = []
    for micro in range(config.global_batch // config.micro_batch):
        rng = np.random.default_rng([step, micro])
        shape = (config.micro_batch, config.sequence_length + 1)
        jumps = np.where(rng.random(shape) < 0.1, rng.integers(0, SPREAD, shape), 1)
        ids = np.cumsum(jumps, axis=1) % SPREAD
        segments = (np.arange(config.sequence_length) >= config.sequence_length // 2).astype(np.int64)[None].repeat(config.micro_batch, 0)
        positions = np.arange(config.sequence_length)[None].repeat(config.micro_batch, 0) % (config.sequence_length // 2)
        made.append(
            SimpleNamespace(
                tokens_BS=ids[:, :-1],
                labels_BS=ids[:, 1:],
                positions_BS=positions,
                loss_mask_BS=np.ones_like(segments, dtype=np.float32),
                segments_BS=segments,
            )
        )
    return made


def model_config(name: str) -> ModelConfig:
    """A shipped model."""
    model = load_yaml(CHECKOUT / MODELS / f"{name}.yaml", ModelConfig)
    # What a file leaves open is fp32 here: the first part compares two devices to 1e-3.
    fixed = {k: "fp32" for k in ("precision", "softmax_precision") if getattr(model, k) == "auto"}
    return model.model_copy(update=fixed)


def steps(state: TrainState, count: int) -> list[float]:
    """The losses of the next steps."""
    return [train_step(state, batches(state.config, state.steps)).loss for _ in range(count)]


def save(state: TrainState, folder: Path) -> Path:
    """A checkpoint of a state."""
    about = checkpoint.CheckpointState(
        run="0" * 32,
        step=state.steps,
        tokens=state.tokens,
        eod=0,
        tokenizer_digest="0" * 32,
        model=state.model_config,
        train=state.config,
        world=1,
        loader={},
        schedule=state.scheduler.state_dict(),
    )
    return checkpoint.save(state, about, folder)


def on_processor(folder: Path) -> None:
    """Three steps, a checkpoint, three more; the losses of the latter are printed last."""
    with process_groups(TINY.parallel, seed=1):
        state = build_state(TINY, model_config("tiny"), total_tokens=1_000_000)
        steps(state, 3)
        save(state, folder)
        print(*steps(state, 3))


def same_as_processor(folder: Path) -> bool:
    """Whether the GPU goes on from the processor's checkpoint as the processor does."""
    command = [sys.executable, __file__, "--processor", str(folder)]
    answer = subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, stdout=subprocess.PIPE, text=True, check=True).stdout
    there = [float(x) for x in answer.splitlines()[-1].split()]
    with process_groups(TINY.parallel, seed=1):
        state = build_state(TINY, model_config("tiny"), total_tokens=1_000_000)
        checkpoint.load(state, checkpoint.step_folder(folder, 3))
        here = steps(state, 3)
    apart = max(abs(a / b - 1) for a, b in zip(here, there, strict=True))
    print(f"tiny, fp32: losses of steps 4 to 6 on the processor {there}, on the GPU {here}, {apart:.1e} apart at most", flush=True)
    return apart < 1e-3


def learns_and_resumes(folder: Path) -> bool:
    """Whether a loss in bf16 falls and a checkpoint goes on with the same losses."""
    model, total = model_config("tiny").model_copy(update={"precision": "bf16"}), 300 * TINY.global_batch * TINY.sequence_length
    with process_groups(TINY.parallel, seed=1):
        state = build_state(TINY, model, total_tokens=total)
        losses = steps(state, 200)
        saved = save(state, folder)
        went_on = steps(state, 2)
    with process_groups(TINY.parallel, seed=2):
        again = build_state(TINY, model, total_tokens=total)
        checkpoint.load(again, saved)
        resumed = steps(again, 2)
    apart = max(abs(a / b - 1) for a, b in zip(resumed, went_on, strict=True))
    print(f"tiny, bf16: loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps; went on {went_on}, resumed {resumed}, "
          f"{apart:.1e} apart at most", flush=True)  # fmt: skip
    return losses[-1] < math.log(SPREAD) and apart < 1e-3


def speed(name: str, count: int, micro_batch: int, sequence: int) -> bool:
    """Print how fast a model trains; whether its loss falls."""
    import torch

    model = model_config(name)
    config = TrainConfig.model_validate({"sequence_length": sequence, "micro_batch": micro_batch, "global_batch": 2 * micro_batch})
    with process_groups(config.parallel, seed=1):
        state = build_state(config, model, total_tokens=count * config.global_batch * sequence)
        losses = steps(state, 3)
        torch.cuda.synchronize()
        started = time.perf_counter()
        losses += steps(state, count - 3)
        torch.cuda.synchronize()
        rate = (count - 3) * config.global_batch * sequence / (time.perf_counter() - started)
    peak = next((p for gpu, p in PEAK.items() if gpu in torch.cuda.get_device_name()), math.nan)
    utilisation, memory = rate * model.flops_per_token(sequence) / peak, torch.cuda.max_memory_allocated() / 2**30
    print(
        f"{name}, {model.precision}, {model.num_parameters() / 1e9:.2f} G parameters, micro batches of {micro_batch} x {sequence}: "
        f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {count} steps; {rate:,.0f} tokens/s, MFU {utilisation:.1%}, "
        f"peak memory {memory:.1f} GiB",
        flush=True,
    )
    return losses[-1] < losses[0]


def main() -> int:
    """Run both checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="1b")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--micro-batch", type=int, default=2)
    parser.add_argument("--sequence", type=int, default=2048)
    parser.add_argument("--processor", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.processor:
        on_processor(words.processor)
        return 0
    import torch

    if not torch.cuda.is_available():
        print("no GPU: this benchmark is of one", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Transformer Engine: {uses_transformer_engine()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        same = same_as_processor(Path(folder) / "fp32")
        learns = learns_and_resumes(Path(folder) / "bf16")
    falls = speed(words.model, words.steps, words.micro_batch, words.sequence)
    print(f"same as the processor: {same}; learns and resumes: {learns}; {words.model} learns: {falls}")
    return 0 if same and learns and falls else 1


if __name__ == "__main__":
    raise SystemExit(main())
