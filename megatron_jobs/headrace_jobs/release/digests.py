"""SHA-256 of every file of a bundle, and one root over them: `digests.json` is written last and makes a bundle a bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from headrace_lake.errors import InputError
from headrace_lake.strict import StrictModel, parse

DIGESTS_FILE = "digests.json"


class FileDigest(StrictModel):
    """One file of a bundle."""

    sha256: str
    bytes: int


class Digests(StrictModel):
    """All files of a bundle but this list itself; `root` is the SHA-256 of its lines `sha256  path`."""

    files: dict[str, FileDigest]
    root: str


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks of 1 MiB."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def digest_folder(folder: Path) -> Digests:
    """Digests of a folder's files, links refused.

    Raises:
        InputError: the folder holds a link or something that is not a file.
    """
    files: dict[str, FileDigest] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputError(f"bundle file {name} is a link or no plain file", "a bundle holds plain files only")
        if path.is_file() and name != DIGESTS_FILE:
            files[name] = FileDigest(sha256=sha256(path), bytes=path.stat().st_size)
    return Digests(files=files, root=root_of(files))


def root_of(files: dict[str, FileDigest]) -> str:
    """The root digest of a list of files."""
    return hashlib.sha256("".join(f"{files[n].sha256}  {n}\n" for n in sorted(files)).encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Canonical JSON: the same value gives the same bytes."""
    path.write_text(json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_digests(folder: Path) -> Digests:
    """The recorded digests of a bundle.

    Raises:
        InputError: no bundle, or a half-written one.
    """
    file = folder / DIGESTS_FILE
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(f"{folder}: no readable {DIGESTS_FILE}: not a bundle, or a half-written one", "build the release again") from exc
    return parse(data, Digests, where=str(file))
