"""Debian packages as data: fetched by apt into a cache with checksums, opened without being installed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from headrace_lake.errors import InputError, ServiceError

Say = Callable[[str], None]


AT_ONCE = 6
"""Packages of one call of apt-get, which reads the lists of all packages first (a second and more); an interrupted call is done again."""


def fetch_package(name: str, cache: Path, say: Say) -> Path:
    """A package's file from the cache, or by `apt-get download`; a damaged file is fetched again."""
    return fetch_packages([name], cache, say)[name]


def fetch_packages(names: Sequence[str], cache: Path, say: Say) -> dict[str, Path]:
    """The packages' files from the cache, or by `apt-get download`; a damaged file is fetched again.

    Raises:
        ServiceError: apt or dpkg is missing, or a package cannot be fetched; it is named.
    """
    cache.mkdir(parents=True, exist_ok=True)
    sums_file = cache / "checksums.json"
    sums: dict[str, str] = json.loads(sums_file.read_text(encoding="utf-8")) if sums_file.exists() else {}
    found = {name: deb for name in names if (deb := _cached(name, cache, sums, say)) is not None}
    missing = [name for name in names if name not in found]
    for tool in ("apt-get", "dpkg-deb"):
        if missing and shutil.which(tool) is None:
            raise ServiceError(
                f"'{tool}' is not on this machine", f"build the samples on Debian or Ubuntu, or put {missing[0]}_*.deb into {cache}"
            )
    for at in range(0, len(missing), AT_ONCE):
        some = missing[at : at + AT_ONCE]
        say(f"fetching {', '.join(some)}")
        found |= _download(some, cache)
        for name in some:
            _noted(found[name], sums, sums_file)
    return {name: _noted(found[name], sums, sums_file) for name in names}


def _cached(name: str, cache: Path, sums: dict[str, str], say: Say) -> Path | None:
    for deb in sorted(cache.glob(f"{name}_*.deb"), reverse=True):
        known = sums.get(deb.name)
        if (known is None and _readable(deb)) or (known is not None and known == sha256(deb)):
            return deb
        say(f"{deb.name} is damaged, fetching it again")
        deb.unlink()
    return None


def _download(names: Sequence[str], cache: Path) -> dict[str, Path]:
    """Fetch packages in one call, or where that fails one by one, so that the error is about one."""
    incoming = cache / ".incoming" / names[0]
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    try:
        command = ["apt-get", "-q", "download", *names]
        done = subprocess.run(command, cwd=incoming, capture_output=True, text=True, timeout=900, check=False)
        files = {name: sorted(incoming.glob(f"{name}_*.deb")) for name in names}
        if done.returncode or not all(files.values()):
            if len(names) > 1:
                return {name: _download([name], cache)[name] for name in names}
            line = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise ServiceError(
                f"package {names[0]} could not be fetched: {line}", f"run 'apt-get update', or put {names[0]}_*.deb into {cache}"
            )
        for name, [first, *_] in files.items():
            os.replace(first, cache / first.name)
            files[name] = [cache / first.name]
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return {name: first for name, [first, *_] in files.items()}


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
