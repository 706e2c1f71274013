"""Debian packages as data: fetched by apt into a cache with checksums, opened without being installed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from headrace_lake.errors import InputError, ServiceError

Say = Callable[[str], None]


def fetch_package(name: str, cache: Path, say: Say) -> Path:
    """A package's file from the cache, or by `apt-get download`; a damaged file is fetched again."""
    cache.mkdir(parents=True, exist_ok=True)
    sums_file = cache / "checksums.json"
    sums: dict[str, str] = json.loads(sums_file.read_text(encoding="utf-8")) if sums_file.exists() else {}
    for deb in sorted(cache.glob(f"{name}_*.deb"), reverse=True):
        known = sums.get(deb.name)
        if (known is None and _readable(deb)) or (known is not None and known == sha256(deb)):
            return _noted(deb, sums, sums_file)
        say(f"{deb.name} is damaged, fetching it again")
        deb.unlink()
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise ServiceError(
                f"'{tool}' is not on this machine", f"build the samples on Debian or Ubuntu, or put {name}_*.deb into {cache}"
            )
    say(f"fetching {name}")
    incoming = cache / ".incoming" / name
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    try:
        done = subprocess.run(["apt-get", "-q", "download", name], cwd=incoming, capture_output=True, text=True, timeout=900, check=False)
        found = sorted(incoming.glob("*.deb"))
        if done.returncode or not found:
            line = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise ServiceError(f"package {name} could not be fetched: {line}", f"run 'apt-get update', or put {name}_*.deb into {cache}")
        target = cache / found[0].name
        os.replace(found[0], target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return _noted(target, sums, sums_file)


def _noted(deb: Path, sums: dict[str, str], sums_file: Path) -> Path:
    if deb.name not in sums:
        sums[deb.name] = sha256(deb)
        part = sums_file.with_suffix(".part")
        part.write_text(json.dumps(sums, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(part, sums_file)
    return deb


def _readable(deb: Path) -> bool:
    done = subprocess.run(["dpkg-deb", "--info", str(deb)], capture_output=True, check=False)
    return done.returncode == 0


def unpack(deb: Path, folder: Path) -> Path:
    """Open a package into a new folder, without installing it."""
    folder.mkdir(parents=True)
    done = subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{deb}: {(done.stderr.strip().splitlines() or ['cannot be unpacked'])[-1]}", "delete it and build again")
    return folder


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
