"""Checkpoints are read as data, never as code.

A torch_dist checkpoint has three places where torch would run what a file says: `common.pt`, byte objects inside
`.distcp` files (torch's planner loads them with full pickle) and `.metadata`, a bare pickle of an index. The first two are
read with `weights_only` whatever the caller asks for. The third is disassembled first, without running it, and
refused if it names anything outside the short list that such an index needs.

The list of digests in a certificate tells damage from health; it does not make a stranger's file safe. This does.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace_lake.errors import InputError

_INDEX = "torch.distributed.checkpoint.metadata"
ALLOWED = frozenset(
    {
        *((_INDEX, name) for name in ("Metadata", "MetadataIndex", "TensorStorageMetadata", "BytesStorageMetadata", "StorageMeta")),
        *((_INDEX, name) for name in ("ChunkStorageMetadata", "TensorProperties", "_MEM_FORMAT_ENCODING")),
        ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
        # Megatron keeps the plan of the save in the index.
        *(("torch.distributed.checkpoint.planner", name) for name in ("SavePlan", "WriteItem", "WriteItemType", "TensorWriteData")),
        ("torch.serialization", "_get_layout"),
        ("torch", "Size"),
        *(("torch", f"{kind}{bits}") for kind, bits in (("float", 16), ("float", 32), ("float", 64), ("bfloat", 16))),
        *(("torch", name) for name in ("uint8", "int8", "int16", "int32", "int64", "bool", "float8_e4m3fn", "float8_e5m2")),
        ("collections", "OrderedDict"),
        ("pathlib", "PosixPath"),
    }
)
_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_REFUSED = frozenset({"INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"})
_TRANSPARENT = frozenset({"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "FRAME", "PROTO"})


@contextmanager
def safe_loading(folder: Path) -> Iterator[None]:
    """Inside, nothing that torch reads from a checkpoint can run code.

    Raises:
        InputError: a file of the checkpoint asks for something that a checkpoint does not need.
    """
    import torch

    for index in sorted(folder.glob("*.metadata")) + sorted(folder.glob(".metadata")):
        check_index(index)
    original = torch.load

    def load(*args: Any, **options: Any) -> Any:
        return original(*args, **{**options, "weights_only": True})

    torch.load = load
    try:
        yield
    except Exception as exc:
        # torch's error class lives in the module that this project does not import.
        if type(exc).__name__ == "UnpicklingError":
            raise InputError(
                f"checkpoint {folder.name} holds more than tensors and numbers", "do not use it: its files ask to run code"
            ) from exc
        raise
    finally:
        torch.load = original


def check_index(file: Path) -> None:
    """Refuse a `.metadata` that names anything but what an index of tensors is made of."""
    try:
        names = list(_names(file.read_bytes()))
    except (ValueError, IndexError, UnicodeDecodeError) as exc:
        raise InputError(f"checkpoint index {file.parent.name}/{file.name} is damaged", "use an older checkpoint") from exc
    for name in names:
        if name not in ALLOWED:
            shown = "an unknown object" if name is None else ".".join(name)
            raise InputError(
                f"checkpoint index {file.parent.name}/{file.name} asks for {shown}", "do not use it: its files ask to run code"
            )


def _names(data: bytes) -> Iterator[tuple[str, str] | None]:
    """Every (module, name) that unpickling would look up; None where it cannot be told without running it.

    A name is accepted only where two plain strings lie directly below the look-up, so what lies between cannot differ
    from what is read here.
    """
    memo: dict[int, str | None] = {}
    pushed: list[str | None] = [None, None]
    for op, argument, _ in pickletools.genops(data):
        if op.name in _REFUSED:
            yield None
        if op.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield module, name
        if op.name == "STACK_GLOBAL":
            module_text, name_text = pushed[-2:]
            yield None if module_text is None or name_text is None else (module_text, name_text)
        if op.name == "MEMOIZE":
            memo[len(memo)] = pushed[-1]
        elif op.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(str(argument))] = pushed[-1]
        if op.name in _TRANSPARENT:
            continue
        if op.name in _STRINGS:
            pushed = [pushed[-1], str(argument)]
        elif op.name in ("GET", "BINGET", "LONG_BINGET"):
            pushed = [pushed[-1], memo.get(int(str(argument)))]
        else:
            pushed = [None, None]
