"""Digests: of parameters, of files, of a stage's own code, and the fingerprint made of them.

All digests are BLAKE2b with 16 bytes (RFC 7693), written as 32 hex digits: enough that no two of 2^50 objects
collide by chance (probability below 2^-28).

The code digest covers the stage's module and everything it imports from the component packages, found in the import
statements without running them. Comments, formatting and docstrings do not count; a statement in an unrelated
file does not either. The normal form is Python's own `ast.unparse`, so a new Python version may change it: that
costs a recomputation, never a wrong reuse.

`headrace_lake` does not count: it reads, writes and counts what stages compute, and its tests hold what of it a result depends on
(digests, document ids, shards, joins) to known values. A change there that is meant to change results raises `ENGINE`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

OUR_PREFIX = "headrace_"
PLUMBING = "headrace_lake"
"""The package whose code belongs to no code digest."""
ENGINE = 1
"""Belongs to every code digest: raised when `headrace_lake` is changed so that stages write something else."""


def digest_bytes(data: bytes | memoryview) -> str:
    """32 hex digits of BLAKE2b-128."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_of(obj: Any) -> str:
    """Digest of a JSON-able value; key order does not matter.

    Raises:
        TypeError: the value holds something JSON has no form for.
    """
    text = json.dumps(obj, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return digest_bytes(text.encode("utf-8", "surrogatepass"))  # a file's name may not be Unicode


def file_digest(path: str | Path) -> str:
    """Digest of a file's bytes, read in blocks of 1 MiB."""
    h = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def code_digest(target: type | ModuleType | str, *, within: tuple[str, ...] = ()) -> str:
    """Digest of the source of a module and of everything it imports from the component packages.

    Args:
        target: a class, a module or a module's dotted name.
        within: packages whose modules alone count; all components by default.
    """
    name = target if isinstance(target, str) else target.__module__ if isinstance(target, type) else target.__name__
    digests = {module: _module_digest(module) for module in sorted(code_closure(name, within=within))}
    return digest_of({"engine": ENGINE, "modules": digests})


def code_closure(module: str, *, within: tuple[str, ...] = ()) -> set[str]:
    """Names of the module itself and of all modules of the components that it reaches by imports, packages included.

    A module outside our packages (a user's own stage) counts itself and what it imports from ours.

    Args:
        within: packages whose modules alone count, and are followed.
    """
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or _in(name, PLUMBING) or _source_file(name) is None:
            continue
        if within and name != module and not any(_in(name, package) or _in(package, name) for package in within):
            continue
        seen.add(name)
        parts = name.split(".")
        waiting += [".".join(parts[:i]) for i in range(1, len(parts))]
        waiting += [imported for imported in _imports(name) if imported.startswith(OUR_PREFIX)]
    return seen


def _in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@lru_cache(maxsize=4096)
def _source_file(module: str) -> Path | None:
    parent = _source_file(module.rpartition(".")[0]) if "." in module else None
    if parent is not None and parent.name != "__init__.py":
        return None  # a name inside a module: find_spec would run that module (torch, megatron) only to say so
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _source(module: str) -> bytes:
    file = _source_file(module)
    assert file is not None
    return file.read_bytes()


def _module_digest(module: str) -> str:
    return _read(_source(module), _package_of(module))[0]


def _imports(module: str) -> tuple[str, ...]:
    return _read(_source(module), _package_of(module))[1]


@lru_cache(maxsize=4096)
def _read(source: bytes, package: str) -> tuple[str, tuple[str, ...]]:
    """Digest of a module's normal form, and the absolute names that it may import; a name imported from a package may be a
    module of it. Remembered by content, since a plan asks for the same modules hundreds of times and files change meanwhile.
    """
    tree = ast.parse(source)
    found: dict[str, None] = {}
    for node, runs in _blocks(tree, b"TYPE_CHECKING" in source):
        if isinstance(node, ast.Import | ast.ImportFrom) and runs:
            found.update(dict.fromkeys(_imported(node, package)))
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return digest_bytes(ast.unparse(tree).encode("utf-8")), tuple(found)


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parents = package.split(".")
        base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
    yield base
    yield from (f"{base}.{alias.name}" for alias in node.names)


def _has_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def _blocks(tree: ast.Module, typed: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every statement and whether it ever runs: under `if TYPE_CHECKING:` (asked for where `typed`) none does.

    Only statements hold imports, definitions and other statements; the ten times as many expressions are not looked at.
    """
    waiting: list[tuple[ast.AST, bool]] = [(tree, True)]
    while waiting:
        node, runs = waiting.pop()
        yield node, runs
        never = typed and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for name in ("body", "handlers", "cases", "orelse", "finalbody"):
            inside = runs and not (never and name == "body")
            waiting += [(child, inside) for child in getattr(node, name, ())]


def _package_of(module: str) -> str:
    return module if _is_package(module) else module.rpartition(".")[0]


def _is_package(module: str) -> bool:
    file = _source_file(module)
    return file is not None and file.name == "__init__.py"
