"""Stand-ins for the CUDA calls that Megatron-Core makes unconditionally. Installed by entry points, only without CUDA; but the
optimizer's (4) also with CUDA where neither Apex nor Transformer Engine is.

Megatron-Core 0.16 runs on CPU tensors but for four habits, each met here once:

1. State calls (`torch.cuda.current_device()`, streams, RNG state): replaced by their CPU counterparts or by nothing.
2. Literal `device="cuda"`, `.cuda()`, `pin_memory=True`: `CudaToCpu` rewrites them on the way into torch.
3. `tensor.type() == "torch.cuda.FloatTensor"` in gradient clipping: `CudaToCpu` answers with the CUDA name.
4. Without Apex or Transformer Engine the optimizer falls back to torch's AdamW, whose state (a step per parameter) the
   checkpoint code cannot reload: `FusedAdam` has the layout it expects.

`remove` undoes everything, so that a test process can go on without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch.overrides import TorchFunctionMode

_undo: list[Callable[[], None]] = []
_modes: list[TorchFunctionMode] = []


def install() -> bool:
    """Make Megatron-Core run on CPU; returns False, doing nothing, where CUDA is present. Idempotent."""
    if installed():
        return True
    if torch.cuda.is_available():
        if not _undo:
            _patch_optimizer()
        return False
    cpu = torch.device("cpu")
    cuda: dict[str, Any] = {
        "current_device": lambda: cpu,
        "set_device": _nothing(),
        "device_count": lambda: 1,
        "synchronize": _nothing(),
        "empty_cache": _nothing(),
        "current_stream": lambda *args: _Stream(),
        "default_stream": lambda *args: _Stream(),
        "Stream": _Stream,
        "Event": _Event,
        "stream": lambda stream: contextlib.nullcontext(),
        "manual_seed": lambda seed: torch.default_generator.manual_seed(int(seed)) and None,
        "manual_seed_all": _nothing(),  # torch.manual_seed calls it after seeding the CPU's generator
        "get_rng_state": lambda *args, **kwargs: torch.get_rng_state(),
        "set_rng_state": lambda state, *args, **kwargs: torch.set_rng_state(state),
        "memory_allocated": lambda *args: 0,
        "max_memory_allocated": lambda *args: 0,
        "memory_reserved": lambda *args: 0,
        "is_current_stream_capturing": lambda: False,
    }
    for name, value in cuda.items():
        _replace(torch.cuda, name, value)
    _replace(torch.cuda.random, "get_rng_state", cuda["get_rng_state"])
    _replace(torch.cuda.random, "set_rng_state", cuda["set_rng_state"])
    _replace(torch.cuda.nvtx, "range_push", _nothing())
    _replace(torch.cuda.nvtx, "range_pop", _nothing())
    barrier = dist.barrier
    _replace(dist, "barrier", lambda group=None, async_op=False, device_ids=None: barrier(group=group, async_op=async_op))
    # Megatron decorates its fused functions with torch.compile at import. No path on the CPU calls them, and importing the
    # compiler costs seconds.
    _replace(torch, "compile", lambda model=None, **options: model if model is not None else lambda function: function)
    mode = CudaToCpu()
    mode.__enter__()  # type: ignore[no-untyped-call]
    _modes.append(mode)
    _undo.append(lambda: _modes.pop().__exit__(None, None, None))  # type: ignore[no-untyped-call]
    _patch_optimizer()
    _patch_random()
    return True


def remove() -> None:
    """Undo `install`."""
    while _undo:
        _undo.pop()()


def installed() -> bool:
    """Whether the stand-ins are active."""
    return bool(_modes)


def _nothing() -> Callable[..., None]:
    """A new function that does nothing. New each time: torch._dynamo refuses one function under two names."""
    return lambda *args, **kwargs: None


def _replace(owner: Any, name: str, value: Any) -> None:
    before = getattr(owner, name)
    setattr(owner, name, value)
    _undo.append(lambda: setattr(owner, name, before))


def _patch_optimizer() -> None:
    """Megatron's Adam, after the torch level is in place (importing Megatron already calls it), unless a fused one is there."""
    import megatron.core.optimizer as optimizer
    import megatron.core.optimizer.distrib_optimizer as distributed

    if not optimizer.USING_PYTORCH_OPTIMIZER:
        return
    from headrace_jobs.portable.adam import FusedAdam

    _replace(optimizer, "Adam", FusedAdam)
    _replace(optimizer, "USING_PYTORCH_OPTIMIZER", False)
    _replace(distributed, "Adam", FusedAdam)
    _replace(distributed, "HAVE_APEX_OR_TE", True)
    _replace(distributed, "USING_APEX_OPTIMIZER", True)


def _patch_random() -> None:
    """Megatron's states of random numbers."""
    import megatron.core.tensor_parallel.random as random

    _replace(random, "_set_cuda_rng_state", lambda new_state, device=-1, graph_safe=False: torch.set_rng_state(new_state))
    _replace(random, "_get_cuda_rng_state", lambda device="cuda", clone=False, graph_safe=False: torch.get_rng_state())


class CudaToCpu(TorchFunctionMode):
    """Rewrites CUDA devices in torch calls to the CPU."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        named = dict(kwargs or {})
        if _is_cuda(named.get("device")):
            named["device"] = "cpu"
        if named.get("pin_memory"):
            named["pin_memory"] = False
        if func is torch.Tensor.cuda or func is torch.Tensor.pin_memory:
            return args[0]
        if func is torch.Tensor.record_stream:
            return None
        if func is torch.Tensor.to and len(args) > 1 and isinstance(args[1], str | torch.device) and _is_cuda(args[1]):
            args = (args[0], "cpu", *args[2:])
        if func is torch.Tensor.type and len(args) == 1 and not named:
            return str(func(*args)).replace("torch.", "torch.cuda.", 1)
        return func(*args, **named)


def _is_cuda(device: object) -> bool:
    if isinstance(device, torch.device):
        return device.type == "cuda"
    if isinstance(device, str):
        return device.startswith("cuda")
    return isinstance(device, int) and not isinstance(device, bool)


class _Event:
    """A CUDA event on a machine without streams: everything has already happened."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def record(self, *args: Any) -> None: ...

    def wait(self, *args: Any) -> None: ...

    def synchronize(self) -> None: ...

    def query(self) -> bool:
        return True

    def elapsed_time(self, other: object) -> float:
        return 0.0


class _Stream:
    """A CUDA stream on a machine without streams."""

    cuda_stream = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def wait_stream(self, *args: Any) -> None: ...

    def wait_event(self, *args: Any) -> None: ...

    def synchronize(self) -> None: ...

    def record_event(self, event: _Event | None = None) -> _Event:
        return event or _Event()

    def query(self) -> bool:
        return True


def quiet_imports() -> None:
    """Megatron warns that Apex and Transformer Engine are missing and that torch renamed functions; here that is not news."""
    import logging
    import warnings

    for message in (
        r".*(Apex|Transformer Engine|transformer_engine).*",
        r"full scope is deprecated.*",
        r"`torch\.distributed\.\w+` is deprecated.*",
        r"The \.grad attribute of a Tensor that is not a leaf.*",
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("megatron").setLevel(logging.ERROR)
