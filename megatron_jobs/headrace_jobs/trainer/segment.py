"""Segments: what was particular to each launch of a run: code, layout, hosts, and the precision that its processor made it choose.

A run keeps one identity (mix, model, optimizer, schedule, seed) over all its launches; a launch may have newer code, another layout or
fewer hosts, and choose another precision where the model file says `auto`. Every checkpoint carries the list, and the run's record and
page show it, so a change in the middle of a run can be found afterwards.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from headrace_jobs.model.precision import Choice, Measured, choices, measure
from headrace_lake.fingerprint import code_digest
from headrace_lake.lines import data_lines
from headrace_lake.strict import StrictModel

if TYPE_CHECKING:
    from headrace_jobs.model.config import ModelConfig
    from headrace_jobs.trainer.config import TrainConfig

TRAINER = "headrace_jobs.trainer.loop"
"""The module whose code digest a segment records."""
_HOST_BYTES = 64
_SHOWN = 5


class Segment(StrictModel):
    """One launch.

    Attributes:
        after_step: the launch went on after this step; 0 for a fresh run.
        layers, softmax: precision of both, and why.
        processor: name of the first rank's processor.
        capability: the instruction set that torch's own kernels use there.
        threads: of each process.
        processes: of the world.
        code: digest of the trainer and what it imports; empty in segments of versions that did not say, as are the next two.
        layout: tensor, pipeline, context and data ranks, rows of a micro batch.
        hosts: names of the hosts, each with how many processes it ran.
    """

    after_step: int = 0
    layers: Choice
    softmax: Choice
    processor: str
    capability: str
    threads: int
    processes: int
    code: str = ""
    layout: dict[str, int] = Field(default_factory=dict)
    hosts: dict[str, int] = Field(default_factory=dict)

    def line(self) -> str:
        """For people."""
        both = f"layers {self.layers.chosen}, softmax {self.softmax.chosen}"
        where = f"{self.threads} thread(s) x {self.processes} process(es) on {self.processor} ({self.capability})"
        layout = f"; layout {_layout_line(self.layout)}" if self.layout else ""
        code = f"; code {self.code[:12]}" if self.code else ""
        return f"precision: {both}; {where}{layout}{code}"


def begin_segment(model: ModelConfig, config: TrainConfig) -> Segment:
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
        code=code_digest(TRAINER),
        layout={
            "tensor": config.parallel.tensor,
            "pipeline": config.parallel.pipeline,
            "context": config.parallel.context,
            "data": dist.get_world_size() // config.parallel.model_ranks,
            "micro_batch": config.micro_batch,
            "sequence": int(config.parallel.sequence),
        },
        hosts=_hosts(device),
    )


def _hosts(device: Any) -> dict[str, int]:
    """The name of every rank's host, told as numbers: an object would travel pickled."""
    import torch
    import torch.distributed as dist

    name = platform.node().encode("utf-8", "replace")[:_HOST_BYTES].ljust(_HOST_BYTES, b"\0")
    mine = torch.tensor(list(name), dtype=torch.uint8, device=device)
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine)
    names = [bytes(t.tolist()).rstrip(b"\0").decode("utf-8", "replace") for t in every]
    return dict(sorted(Counter(names).items()))


def _layout_line(layout: Mapping[str, int]) -> str:
    return " x ".join(f"{name} {n}" for name, n in layout.items() if n > 1 and name not in ("micro_batch", "sequence")) or "one process"


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
        if a.code and b.code and a.code != b.code:
            yield f"the code changes after step {b.after_step}: {a.code[:12]} to {b.code[:12]}"
        if a.layout and b.layout and a.layout != b.layout:
            told = ", ".join(f"{name} {a.layout.get(name)} to {n}" for name, n in b.layout.items() if a.layout.get(name) != n)
            yield f"the layout changes after step {b.after_step}: {told}"
        if a.hosts and b.hosts and a.hosts != b.hosts:
            gone, new = sorted(a.hosts.keys() - b.hosts.keys()), sorted(b.hosts.keys() - a.hosts.keys())
            yield f"the hosts change after step {b.after_step}: {len(a.hosts)} to {len(b.hosts)}" + (
                f" (without {', '.join(gone[:_SHOWN])}; new {', '.join(new[:_SHOWN])})" if gone or new else ""
            )


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
