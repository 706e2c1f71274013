"""Precision by measurement: fp32 or bf16, whichever the processor really multiplies faster.

A CPU without AVX512-BF16 or AMX emulates bf16: products of a tiny model's softmax ran at 0.5 GFLOP/s on a processor that does 6 in fp32 at
the same time. What a processor's flags say does not help (oneDNN and ATen can be told to use less, a virtual machine may hide or
lack it), so the products themselves are timed: a few milliseconds at the start of a run.

    python -m headrace_jobs.model.precision MODEL [--base FOLDER]    # what would be chosen here, as one JSON line

`auto` in a model file takes bf16 where it is at least `WORTHWHILE` times as fast, else fp32, which is more exact. A precision that the file
names is kept; where it is the slower one by `SLOWER` that is said with both figures. On GPUs the answer is whether they have bf16.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from headrace_jobs.model.config import ModelConfig
from headrace_lake.foreign_text import one_line
from headrace_lake.strict import StrictModel

Precision = Literal["fp32", "bf16"]

WORTHWHILE = 1.5
"""bf16 is taken if it is so many times as fast. Around the products other work stays the same, and rounding to 8 bits has its price."""
SLOWER = 1.25
"""A precision that was asked for and takes so many times as long as the other one is warned about; less may be noise."""
PROBE_FLOPS = 1.2e7
"""Of one product: 0.2 ms in fp32 at 60 GFLOP/s, 24 ms at the 0.5 GFLOP/s of emulated bf16."""
PROBE_TOKENS = 128
REPEATS = 5
PROBE_SECONDS = 0.1
"""One measurement begins no repetition after so long: it must not become what it warns of."""


class Measured(StrictModel):
    """Speeds of one shape of product, forward and both backward.

    Attributes:
        shape: tokens x width x rows.
        fp32, bf16: GFLOP/s; 0 where the processor has no such product.
    """

    shape: str
    fp32: float
    bf16: float


class Choice(StrictModel):
    """One precision and why.

    Attributes:
        use: `layers` (parameters and activations) or `softmax` (the logits' products).
        asked: what the model file says.
        why: the reason, with figures, for people.
        warning: set where what was asked for is the slower one.
    """

    use: Literal["layers", "softmax"]
    asked: Literal["fp32", "bf16", "auto"]
    chosen: Precision
    measured: Measured
    why: str
    warning: str = ""


def decide(use: Literal["layers", "softmax"], asked: str, measured: Measured) -> Choice:
    """The choice that follows from measured speeds: a pure function, so that every rank and every later reader comes to the same."""
    fp32, bf16 = measured.fp32, measured.bf16
    figures = f"bf16 {_speed(bf16)}, fp32 {_speed(fp32)} at {measured.shape}"
    if asked == "auto":
        faster, ratio = ("bf16", bf16 / max(fp32, 1e-9)) if bf16 >= fp32 else ("fp32", fp32 / max(bf16, 1e-9))
        why = f"{faster} is {_times(ratio)} times as fast ({figures})" if bf16 else f"no bf16 here ({figures})"
        return Choice(use=use, asked="auto", chosen="bf16" if bf16 >= WORTHWHILE * fp32 else "fp32", measured=measured, why=why)
    chosen: Precision = "bf16" if asked == "bf16" else "fp32"
    mine, other = (bf16, fp32) if chosen == "bf16" else (fp32, bf16)
    warning = ""
    if mine * SLOWER < other and chosen == "bf16":
        what = f"takes {_times(other / mine)} times as long as fp32" if mine else "it does not have"
        warning = f"the model asks for bf16 {_where(use)}, which {what} on this processor ({figures}); 'auto' would take fp32"
    return Choice(use=use, asked=chosen, chosen=chosen, measured=measured, why=f"the model file asks for it ({figures})", warning=warning)


def measure(model: ModelConfig) -> list[Measured]:
    """Time the products of the layers and of the softmax, in this order, on one core: their number decides nothing."""
    import torch

    if torch.cuda.is_available():
        gpu, has = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(including_emulation=False)
        # Tensor cores multiply bf16 at least twice as fast as fp32 (NVIDIA's data sheets since Ampere); nothing is timed.
        return [Measured(shape=gpu, fp32=1, bf16=2 * has)] * 2
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_time(model.hidden_size, model.ffn_size), _time(model.hidden_size, model.vocabulary)]
    finally:
        torch.set_num_threads(threads)


def choices(model: ModelConfig, measured: list[Measured]) -> tuple[Choice, Choice]:
    """The precision of the layers and that of the softmax."""
    layers, softmax = measured
    return decide("layers", model.precision, layers), decide("softmax", model.softmax_precision, softmax)


def resolved(model: ModelConfig, made: tuple[Choice, Choice]) -> ModelConfig:
    """The model with what was chosen in place of `auto`."""
    return model.model_copy(update={"precision": made[0].chosen, "softmax_precision": made[1].chosen})


def _where(use: str) -> str:
    return "for its layers" if use == "layers" else "for its softmax"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def _speed(gflops: float) -> str:
    return f"{gflops:,.0f} GFLOP/s" if gflops >= 10 else f"{gflops:.1f} GFLOP/s"


def _time(width: int, rows: int) -> Measured:
    import torch

    tokens = PROBE_TOKENS
    rows = max(64, min(rows, int(PROBE_FLOPS / (2 * tokens * width))))
    flops = 6 * tokens * width * rows
    speeds = {}
    # The bf16 buffers are as the softmax uses them: written by one product, read by the other two.
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        hidden_TH = torch.ones(tokens, width, dtype=dtype)
        weight_VH = torch.ones(rows, width, dtype=dtype)
        out_TV = torch.empty(tokens, rows, dtype=dtype)

        def products(h: Any = hidden_TH, w: Any = weight_VH, out: Any = out_TV) -> None:
            torch.mm(h, w.t(), out=out)
            torch.mm(out, w)
            torch.mm(out.t(), h)

        with torch.no_grad():
            speeds[name] = flops / _median_seconds(products) / 1e9
    return Measured(shape=f"{tokens} x {width} x {rows}", fp32=round(speeds["fp32"], 2), bf16=round(speeds["bf16"], 2))


def _median_seconds(work: Callable[[], None]) -> float:
    """Processor seconds of one repetition: other programs on the core do not count. Nor does the first one, in which kernels are made,
    unless it alone uses up the time."""
    began = time.thread_time()
    work()
    taken = [time.thread_time() - began]
    while len(taken) <= REPEATS and time.thread_time() - began < PROBE_SECONDS:
        again = time.thread_time()
        work()
        taken.append(time.thread_time() - again)
    return max(1e-9, statistics.median(taken[1:] or taken))


def main(argv: list[str] | None = None) -> None:
    """Print the choices for a model on this machine, as one JSON list."""
    import orjson

    from headrace_jobs.model.config import load_model_config
    from headrace_lake.errors import HeadraceError
    from headrace_lake.settings import Settings

    parser = argparse.ArgumentParser(prog="headrace_jobs.model.precision")
    parser.add_argument("model")
    parser.add_argument("--base", type=Path, default=Path.cwd(), help="folder that holds megatron_jobs/configs; this one by default")
    words = parser.parse_args(argv)
    try:
        model = load_model_config(Settings(base=words.base.resolve()), words.model)
    except HeadraceError as exc:
        print(f"headrace: {one_line(str(exc))}", file=sys.stderr)
        sys.exit(exc.exit_code)
    print(orjson.dumps([choice.model_dump() for choice in choices(model, measure(model))]).decode())


if __name__ == "__main__":
    main()
