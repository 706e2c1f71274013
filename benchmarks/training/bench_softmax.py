"""Output layer of the tiny model on this processor: all rows of the vocabulary against equal rows computed once, in fp32 and bf16.

    python benchmarks/training/bench_softmax.py [--used 33920]
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 python benchmarks/training/bench_softmax.py

Prints what the precision probe chooses and how long it takes, then tokens a processor second (one thread; the best of three), forward and
backward of 1,024 tokens, and how far the loss lies from that over all rows. bf16 over all rows is left out where the processor
emulates it: it would take minutes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from headrace_jobs.model.config import MODELS, ModelConfig
from headrace_jobs.model.equal_rows import EqualRows, equal_rows
from headrace_jobs.model.linear_cross_entropy import linear_cross_entropy
from headrace_jobs.model.precision import choices, measure
from headrace_lake.strict import load_yaml

TOKENS = 1024


def seconds(
    hidden_TH: torch.Tensor, weight_VH: torch.Tensor, labels_T: torch.Tensor, dtype: torch.dtype, rows: EqualRows | None
) -> tuple[float, float]:
    """Processor seconds of a forward and backward pass, and the mean loss."""
    best, loss = float("inf"), 0.0
    for _ in range(3):
        hidden, weight = hidden_TH.clone().requires_grad_(), weight_VH.clone().requires_grad_()
        began = time.process_time()
        objective_T, _ = linear_cross_entropy(hidden, weight, labels_T, torch.ones(len(labels_T)), group=None, dtype=dtype, rows=rows)
        objective_T.sum().backward()
        best = min(best, time.process_time() - began)
        loss = float(objective_T.detach().mean())
    return best, loss


def main() -> int:
    """Print the table; whether equal rows change no loss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--used", type=int, default=33_920, help="ids in use; make poc's mix has 33,800")
    words = parser.parse_args()
    model = load_yaml(Path(__file__).parents[2] / MODELS / "tiny.yaml", ModelConfig)
    torch.set_num_threads(1)
    began = time.process_time()
    layers, softmax = choices(model, measure(model))
    print(f"{torch.backends.cpu.get_cpu_capability()}: probe took {1000 * (time.process_time() - began):.0f} ms")
    print(f"layers {layers.chosen}: {layers.why}\nsoftmax {softmax.chosen}: {softmax.why}")
    torch.manual_seed(1)
    weight_VH = 0.1 * torch.randn(model.vocabulary, model.hidden_size)
    unused_V = torch.arange(model.vocabulary) >= words.used
    weight_VH[unused_V] = 0.1 * torch.randn(model.hidden_size)
    hidden_TH = torch.randn(TOKENS, model.hidden_size)
    labels_T = torch.randint(0, words.used, (TOKENS,))
    grouped, emulated = equal_rows(weight_VH, unused_V), softmax.measured.bf16 < softmax.measured.fp32
    same = True
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        whole = None if name == "bf16" and emulated else seconds(hidden_TH, weight_VH, labels_T, dtype, None)
        once = seconds(hidden_TH, weight_VH, labels_T, dtype, grouped)
        all_rows = "not run" if whole is None else f"{TOKENS / whole[0]:7,.0f} tokens/s"
        apart = 0.0 if whole is None else abs(once[1] / whole[1] - 1)
        same = same and apart < 1e-3
        print(
            f"{name}: all {model.vocabulary:,} rows {all_rows}; {words.used:,} and one {TOKENS / once[0]:7,.0f} tokens/s; {apart:.0e} apart"
        )
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
