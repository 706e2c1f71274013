"""Checkpoints: Megatron's torch_dist format, complete or absent, read without running anything.

    RUN/checkpoints/step-00000120/     appears by one rename, when all of it is on disk
        .metadata, __0_0.distcp, ...   weights `MODEL_KEYS`, optimizer moments: torch.distributed.checkpoint
        common.pt, metadata.json       the optimizer's parameter groups; Megatron's version of the format
        state.json                     `CheckpointState`: step, tokens, ModelConfig, TrainConfig, layout, loader, schedule
        certificate.json               `Certificate`: BLAKE2b of every other file, step, run; written last
    RUN/checkpoints/.partial-step-...  being written; swept when a run starts

Keys of the weights are Megatron's, without a prefix: `embedding.word_embeddings.weight` [vocabulary, hidden],
`decoder.layers.self_attention.linear_qkv.weight` [layers, ...] (one tensor over all layers), `decoder.final_layernorm.weight`,
and `output_layer.weight` unless tied. The optimizer's begin with `optimizer.`. `load_weights(folder)` returns the former as
plain tensors in one process, whatever layout wrote them; that is what an exporter wants, with `read_state(folder).model`.

A checkpoint loads at any tensor, pipeline and data parallel size. Random-number states are per rank and are restored only
where the layout is the same.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace_jobs.model.config import ModelConfig
from headrace_jobs.trainer.config import TrainConfig
from headrace_jobs.trainer.safe_loading import safe_loading
from headrace_jobs.trainer.segment import Segment
from headrace_jobs.trainer.writing import in_this_process
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import digest_of, file_digest
from headrace_lake.storage.storage import explained
from headrace_lake.strict import StrictModel, parse

if TYPE_CHECKING:
    from headrace_jobs.trainer.state import TrainState

CERTIFICATE = "certificate.json"
STATE = "state.json"
PARTIAL = ".partial-"
MODEL_KEYS = ("embedding.", "decoder.", "output_layer.")
_SHARDING = {"distrib_optim_sharding_type": "fully_reshardable"}


class CheckpointState(StrictModel):
    """What a checkpoint says about itself, apart from tensors.

    Attributes:
        run: fingerprint of the run.
        loader: state of the packed loader after this step.
        schedule: state of Megatron's parameter scheduler; it counts tokens.
        model: as it was trained last, its precision chosen.
        world: processes that wrote it.
        segments: launches of the run so far.
        eod: the end-of-document token, with which every document begins.
    """

    version: int = 1
    run: str
    step: int
    tokens: int
    eod: int
    tokenizer_digest: str
    model: ModelConfig
    train: TrainConfig
    world: int = 1
    loader: dict[str, Any]
    schedule: dict[str, Any]
    segments: tuple[Segment, ...] = ()


class Certificate(StrictModel):
    """Proof that a folder is complete and undamaged.

    Attributes:
        files: relative name → BLAKE2b-128 of the bytes.
        root: digest of `files`.
    """

    version: int = 1
    run: str
    step: int
    files: dict[str, str]
    root: str


def step_folder(checkpoints: Path, step: int) -> Path:
    """Where a step's checkpoint lies."""
    return checkpoints / f"step-{step:08d}"


def save(state: TrainState, about: CheckpointState, checkpoints: Path) -> Path:
    """Write a checkpoint; every rank calls it. It is there when this returns, or not at all.

    Raises:
        StorageError: no space.
    """
    import torch.distributed as dist
    from megatron.core import dist_checkpointing

    final = step_folder(checkpoints, about.step)
    partial = checkpoints / f"{PARTIAL}{final.name}"
    first = dist.get_rank() == 0
    if first:
        shutil.rmtree(partial, ignore_errors=True)
        with explained(str(checkpoints)):
            partial.mkdir(parents=True)
    dist.barrier()
    with explained(str(partial)), _quiet():
        weights = _model_sharded(state.bare)
        content = {**weights, "optimizer": state.optimizer.sharded_state_dict(weights, is_loading=False, metadata=_SHARDING), **_random()}
        with in_this_process():
            dist_checkpointing.save(content, str(partial))
        dist.barrier()
        if first:
            (partial / STATE).write_text(about.model_dump_json(indent=1) + "\n", encoding="utf-8")
            certify(partial, run=about.run, step=about.step)
            _sync(partial)
            if final.exists():
                shutil.rmtree(final)
            partial.rename(final)
            _sync_folder(checkpoints)
    dist.barrier()
    return final


def load(state: TrainState, folder: Path) -> CheckpointState:
    """Weights, moments, schedule and random numbers of a checkpoint into a run; returns the rest (the loader's state).

    Raises:
        InputError: damaged, of another shape, or asking to run code.
    """
    import torch
    from megatron.core import dist_checkpointing, tensor_parallel

    certificate(folder)
    about = read_state(folder)
    same_layout = about.train.parallel == state.config.parallel and about.world == torch.distributed.get_world_size()
    with safe_loading(folder), _quiet():
        wanted = _model_sharded(state.bare)
        content = {**wanted, "optimizer": state.optimizer.sharded_state_dict(wanted, is_loading=True, metadata=_SHARDING)}
        if same_layout:
            content |= _random()
        loaded = dist_checkpointing.load(content, str(folder))
    # The optimizer comes last: of a run in bf16 it holds the weights in fp32, and a launch in fp32 goes on from those.
    state.bare.load_state_dict({k: v for k, v in loaded.items() if k in wanted}, strict=False)
    state.optimizer.load_state_dict(loaded.pop("optimizer"))
    random = loaded.pop("random", None)
    state.scheduler.load_state_dict(about.schedule)
    if random is not None:
        torch.set_rng_state(random["torch"])
        tensor_parallel.get_cuda_rng_tracker().set_states(random["tracker"])
    state.steps, state.tokens = about.step, about.tokens
    return about


def load_weights(folder: Path) -> dict[str, Any]:
    """All weights as plain tensors in this process, under Megatron's keys (see above); no optimizer state."""
    from headrace_jobs.trainer.parallel import single_process

    certificate(folder)
    single_process()
    from megatron.core import dist_checkpointing  # not before the stand-ins are in place

    with safe_loading(folder), _quiet():
        wanted = {k: v for k, v in dist_checkpointing.load_tensors_metadata(str(folder)).items() if k.startswith(MODEL_KEYS)}
        loaded = dist_checkpointing.load(wanted, str(folder), validate_access_integrity=False)
    return {k: loaded[k] for k in wanted}


def load_into(wanted: dict[str, Any], folder: Path) -> None:
    """Fill a model's sharded weights (`model_state_dict`) from a checkpoint, in place."""
    from megatron.core import dist_checkpointing

    certificate(folder)
    with safe_loading(folder), _quiet():
        wanted |= {k: v for k, v in dist_checkpointing.load(dict(wanted), str(folder)).items() if k in wanted}


def read_state(folder: Path) -> CheckpointState:
    """The checkpoint's own description."""
    file = folder / STATE
    try:
        return parse(json.loads(file.read_text(encoding="utf-8")), CheckpointState, where=str(file))
    except (OSError, ValueError) as exc:
        raise InputError(f"checkpoint {folder}: {STATE} cannot be read", "use an older checkpoint, or train again") from exc


def certify(folder: Path, *, run: str, step: int) -> Certificate:
    """Write the certificate of a folder that is complete."""
    files = {name: file_digest(folder / name) for name in _names(folder)}
    made = Certificate(run=run, step=step, files=files, root=digest_of(files))
    (folder / CERTIFICATE).write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return made


def certificate(folder: Path) -> Certificate:
    """The checked certificate of a checkpoint.

    Raises:
        InputError: none, or a file is missing, new or changed; names it.
    """
    file = folder / CERTIFICATE
    try:
        found = parse(json.loads(file.read_text(encoding="utf-8")), Certificate, where=str(file))
    except (OSError, ValueError) as exc:
        raise InputError(f"checkpoint {folder} has no certificate", "it was never finished: use another one") from exc
    names = set(_names(folder))
    for name in sorted(names | set(found.files)):
        if name not in names:
            raise InputError(f"checkpoint {folder}: {name} is missing", "use an older checkpoint, or train again")
        if file_digest(folder / name) != found.files.get(name):
            raise InputError(f"checkpoint {folder}: {name} was changed since it was written", "use an older checkpoint, or train again")
    return found


def newest_valid(checkpoints: Path, *, run: str) -> Path | None:
    """The newest checkpoint of a run whose certificate holds; damaged ones are passed over."""
    for folder in sorted(checkpoints.glob("step-*"), reverse=True):
        try:
            if certificate(folder).run == run:
                return folder
        except InputError as exc:
            warnings.warn(str(exc), stacklevel=2)
    return None


def sweep(checkpoints: Path, *, keep: int | None = None) -> list[str]:
    """Delete what killed saves left, and with `keep` all but the newest checkpoints and those that were recorded; returns their names."""
    gone = sorted(checkpoints.glob(f"{PARTIAL}*"))
    if keep is not None:
        gone += [f for f in sorted(checkpoints.glob("step-*"))[:-keep] if not _mark(f).exists()]
    for folder in gone:
        shutil.rmtree(folder)
    return [folder.name for folder in gone]


def keep_recorded(folder: Path) -> None:
    """Have `sweep` leave a checkpoint that the lake has a record of: evaluations, gates and releases may name it."""
    mark = _mark(folder)
    mark.parent.mkdir(exist_ok=True)
    mark.touch()


def _mark(folder: Path) -> Path:
    # Outside of the folder, whose certificate names every file within, and of what is listed as checkpoints.
    return folder.parent.parent / "recorded" / folder.name


def model_state_dict(bare: Any) -> dict[str, Any]:
    """Sharded weights of a model: what `dist_checkpointing.load` fills."""
    return _model_sharded(bare)


def _model_sharded(bare: Any) -> dict[str, Any]:
    # Layers of Transformer Engine keep FP8 scales in `_extra_state`; others carry an empty object, which is left out.
    return {k: v for k, v in bare.sharded_state_dict().items() if not k.endswith("_extra_state") or getattr(v, "data", None) is not None}


def _random() -> dict[str, Any]:
    """Random-number states as one object per rank; tensors only, so that they load with `weights_only`."""
    import torch
    import torch.distributed as dist
    from megatron.core import tensor_parallel
    from megatron.core.dist_checkpointing.mapping import ShardedObject

    states = {"torch": torch.get_rng_state(), "tracker": tensor_parallel.get_cuda_rng_tracker().get_states()}
    return {"random": ShardedObject("random", states, (dist.get_world_size(),), (dist.get_rank(),))}


def _names(folder: Path) -> Iterator[str]:
    return (p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != CERTIFICATE)


def _sync(folder: Path) -> None:
    """Have every byte on disk before the rename tells anybody."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as f:
                os.fsync(f.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that torch and Megatron raise about each other's older names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|megatron)\..*")
        yield
