"""Process groups: one process by itself, or the world that a launcher describes in RANK and WORLD_SIZE.

Processes find each other through MASTER_ADDR and MASTER_PORT (torchrun and others) or, on one host, through a file
(HEADRACE_RENDEZVOUS, set by `launch.local`): no port is opened for it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from headrace_jobs.model.layout import ParallelConfig
from headrace_jobs.trainer.threads import use_free_cores
from headrace_lake.errors import ConfigError

RENDEZVOUS = "HEADRACE_RENDEZVOUS"
_undo: list[Callable[[], object]] = []
"""Called by `stop`, the last first."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def world_size() -> int:
    """Processes that the launcher started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's number among them."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def process_groups(parallel: ParallelConfig, *, seed: int, threads: int = 0) -> Iterator[None]:
    """Megatron's process groups for a layout, and seeded random numbers; all of it undone at the end.

    Raises:
        ConfigError: the world does not divide by the layout.
    """
    world = world_size()
    if world % parallel.model_ranks:
        raise ConfigError(
            f"{world} process(es), but the layout needs a multiple of {parallel.model_ranks} "
            f"(tensor {parallel.tensor} x pipeline {parallel.pipeline} x context {parallel.context})",
            f"start {parallel.model_ranks} processes with torchrun, or change 'train.parallel'",
        )
    _start(parallel, seed=seed, threads=threads)
    try:
        yield
    finally:
        stop()


def single_process(*, seed: int = 1) -> None:
    """Groups of one process, for scoring; stays until `stop`. Groups that are there already stay as they are."""
    import torch.distributed as dist

    if not dist.is_initialized():
        _start(ParallelConfig(), seed=seed, threads=0, alone=True)


def at_stop(undo: Callable[[], object]) -> None:
    """Have something undone when the groups are taken down: what would keep them, and with them a model, alive."""
    _undo.append(undo)


def stop() -> None:
    """Take the groups and the stand-ins down, and give freed memory back; nothing where nothing is up."""
    import torch.distributed as dist

    from headrace_jobs.portable import shim

    if not (dist.is_initialized() or shim.installed() or _undo):
        return
    from megatron.core import parallel_state

    while _undo:
        _undo.pop()()
    parallel_state.destroy_model_parallel()
    _forget_groups()
    if dist.is_initialized():
        dist.destroy_process_group()
    shim.remove()
    _give_freed_memory_back()


def _forget_groups() -> None:
    """Let go of the groups that Megatron-Core 0.16 forgets: two of its variables, and those in the arguments that `lru_cache` keeps."""
    from megatron.core import parallel_state
    from megatron.core.models.common.embeddings.rotary_pos_embedding import RotaryEmbedding

    for name in ("_INTRA_PARTIAL_DATA_PARALLEL_GROUP_WITH_CP", "_INTRA_PARTIAL_DATA_PARALLEL_GROUP_WITH_CP_GLOO"):
        if hasattr(parallel_state, name):
            setattr(parallel_state, name, None)
    for method in vars(RotaryEmbedding).values():
        clear = getattr(method, "cache_clear", None)
        if clear is not None:
            clear()


def _keep_freed_memory() -> None:
    """Have glibc keep freed blocks instead of giving them back: logits and gradients of the full vocabulary are tens of
    megabytes, freed and asked for again hundreds of times a second, and half of the time went into page faults."""
    import ctypes

    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


@cache
def _leave_imports_out_of_collections() -> None:
    """Once in a process, before its first model: have Python's collector pass over what is there, which lives as long as the process.
    torch, Megatron and what they import make 400,000 objects, and Megatron has all of them looked at in every save and load."""
    gc.freeze()


def _give_freed_memory_back() -> None:
    """Return what `_keep_freed_memory` had glibc keep: half a gigabyte of a small model's training."""
    import ctypes

    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def _start(parallel: ParallelConfig, *, seed: int, threads: int, alone: bool = False) -> None:
    import torch
    import torch.distributed as dist
    from torch._C._distributed_c10d import FileStore, HashStore

    from headrace_jobs.portable import shim

    shim.quiet_imports()
    on_cpu = shim.install()
    from megatron.core import parallel_state, tensor_parallel

    _leave_imports_out_of_collections()
    if on_cpu:
        _keep_freed_memory()
    local = 1 if alone else int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size())))
    use_free_cores(local, threads=threads)
    if not on_cpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "gloo" if on_cpu else "nccl"
    if alone or world_size() == 1:
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    elif os.environ.get(RENDEZVOUS):
        store = FileStore(os.environ[RENDEZVOUS], world_size())
        dist.init_process_group(backend, store=store, rank=rank(), world_size=world_size())
    else:
        dist.init_process_group(backend)
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tensor,
        pipeline_model_parallel_size=parallel.pipeline,
        context_parallel_size=parallel.context,
    )
    torch.manual_seed(seed)
    tensor_parallel.model_parallel_cuda_manual_seed(seed)
