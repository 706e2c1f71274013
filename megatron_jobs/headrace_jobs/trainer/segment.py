"""Segments: what was particular to each launch of a run, above all the precision that this launch's processor made it choose.

A run keeps one identity (mix, model, optimizer, schedule, seed) over all its launches; a launch on another machine may choose another
precision where the model file says `auto`, and use another number of threads. Every checkpoint carries the list, and the run's record and
page show it, so a change in the middle of a run can be found afterwards.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_jobs.model.precision import Choice, Measured, choices, measure
from headrace_lake.lines import data_lines
from headrace_lake.strict import StrictModel

if TYPE_CHECKING:
    from headrace_jobs.model.config import ModelConfig


class Segment(StrictModel):
    """One launch.

    Attributes:
        after_step: the launch went on after this step; 0 for a fresh run.
        layers, softmax: precision of both, and why.
        processor: name of the first rank's processor.
        capability: the instruction set that torch's own kernels use there.
        threads: of each process.
        processes: of the world.
    """

    after_step: int = 0
    layers: Choice
    softmax: Choice
    processor: str
    capability: str
    threads: int
    processes: int

    def line(self) -> str:
        """For people."""
        both = f"layers {self.layers.chosen}, softmax {self.softmax.chosen}"
        return f"precision: {both}; {self.threads} thread(s) x {self.processes} process(es) on {self.processor} ({self.capability})"


def begin_segment(model: ModelConfig) -> Segment:
    """Measure and choose; process groups and threads must be set. The first rank measures, all choose by its figures."""
    import torch
    import torch.distributed as dist

    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    speeds = torch.zeros(4, dtype=torch.float64, device=device)
    measured: list[Measured] = []
    if dist.get_rank() == 0:
        measured = measure(model)
        speeds = torch.tensor([x for m in measured for x in (m.fp32, m.bf16)], dtype=torch.float64, device=device)
    dist.broadcast(speeds, 0)
    if not measured:
        fp32, bf16, softmax_fp32, softmax_bf16 = speeds.tolist()
        shape = "the first rank"
        measured = [Measured(shape=shape, fp32=fp32, bf16=bf16), Measured(shape=shape, fp32=softmax_fp32, bf16=softmax_bf16)]
    layers, softmax = choices(model, measured)
    gpu = torch.cuda.is_available()
    return Segment(
        layers=layers,
        softmax=softmax,
        processor=torch.cuda.get_device_name() if gpu else processor_name(),
        capability="CUDA" if gpu else torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        processes=dist.get_world_size(),
    )


def joined(before: Sequence[Segment], now: Segment, *, step: int) -> tuple[Segment, ...]:
    """The segments of a run that goes on after `step` with another launch; one that left no step of its own is dropped."""
    return (*(s for s in before if s.after_step < step), now.model_copy(update={"after_step": step}))


def changes(segments: Sequence[Segment]) -> Iterator[str]:
    """Where a run's precision changed, for people."""
    for a, b in pairwise(segments):
        for use in ("layers", "softmax"):
            before, after = getattr(a, use), getattr(b, use)
            if before.chosen != after.chosen:
                yield f"precision of the {use} changes after step {b.after_step}: {before.chosen} to {after.chosen}, since {after.why}"


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """As the kernel calls it."""
    try:
        for line in data_lines(cpuinfo.read_text(encoding="utf-8", errors="replace")):
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.machine()
