"""The shipped text pipeline on Ray and in one process: the same files of every table, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import yaml
from patience import PATIENCE_S

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.tables import TABLES
from headrace_operators.launchers import JobSpec, Owner
from headrace_operators.launchers.ray import RayLauncher

SLICES = [Slice("prose", "2026-11-01"), Slice("prose", "2026-11-02")]
RECEIPTS, FROM_CAPTURES = {"receipts", "artifacts"}, {"captures"}
"""Not compared: receipts hold times, and a WARC record bears a random id."""


def lake_of(folder: Path, checkout: Path) -> tuple[Path, Lake]:
    """A lake with two slices of pages from Python's own documentation, and its settings file."""
    from pydoc_data.topics import topics

    folder.mkdir()
    settings = {"base": str(checkout), "lake": {"root": str(folder / "lake")}}
    file = folder / "headrace.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    lake = Lake.open(Settings.model_validate(settings))
    names = sorted(topics)[:36]
    for number, slice_ in enumerate(SLICES):
        pages = folder / slice_.interval
        pages.mkdir()
        for name in names[number::2]:
            paragraphs = "".join(f"<p>{' '.join(p.split())}</p>" for p in topics[name].split("\n\n"))
            (pages / f"{name}.html").write_text(f"<html><title>{name}</title><body>{paragraphs}</body></html>", encoding="utf-8")
        licence = {"id": "PSF-2.0", "class": "attribution", "basis": "ships with Python", "evidence": {"text": "PSF"}}
        fetch = {"kind": "folder", "path": str(pages), "language_hint": "en"}
        fetch_slice(lake, Source.model_validate({"id": slice_.source, "licence": licence, "fetch": fetch}), slice_)
    return file, lake


def files(lake: Lake) -> dict[str, list[str]]:
    tables = sorted(set(TABLES) - RECEIPTS - FROM_CAPTURES)
    return {table: [f.path for slice_ in SLICES for f in lake.slice_files(table, slice_)] for table in tables}


def test_ray_and_one_process_write_the_same_bytes(jobs: RayLauncher, checkout: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "headrace_cli", "slice", "run", "text", *map(str, SLICES)]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    here, local = lake_of(tmp_path / "local", checkout)
    subprocess.run([*words, "--executor", "local", "--settings", str(here)], env=os.environ | paths, check=True, timeout=PATIENCE_S)
    there, remote = lake_of(tmp_path / "ray", checkout)
    request = JobSpec([*words, "--executor", "ray", "--settings", str(there)], {"test": uuid.uuid4().hex}, paths)
    sid = jobs.ensure(request, Owner("d", "r", "t", generation=0, user="alice")).job.submission_id
    deadline = time.monotonic() + 400
    while not (job := jobs.describe(sid)) or not job.terminal:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert job.ended_well, jobs.logs(sid)[-3000:]
    expected = files(local)
    written = {table for table, paths_ in expected.items() if paths_}
    assert {"documents", "text_statistics", "verdict_pii", "minhash_signatures", "passports", "token_shards"} <= written
    assert files(remote) == expected, "a shard's name holds the digest of its bytes"
