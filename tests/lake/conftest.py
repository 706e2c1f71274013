"""Fixtures of the lake's tests: a lake in a temporary folder, slices of documents made from a seed."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Counts, Receipt, here, new_run_id
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(lake=LakeSettings(root=str(tmp_path / "lake")), base=tmp_path)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.open(settings)


def documents(seed: str, rows: int) -> pa.Table:
    rng = random.Random(seed)
    texts = ["x" * rng.randint(1, 8) + f" {i}" * rng.randint(0, 1) for i in range(rows)]
    return pa.table(
        {
            "uid": [digest_of([seed, i]) for i in range(rows)],
            "url": [f"https://example.org/{seed}/{i}" for i in range(rows)],
            "text": pa.array(texts, pa.large_string()),
            "characters": [len(t) for t in texts],
            "bytes": [len(t) for t in texts],
            "replaced_characters": [0] * rows,
            "licence": ["CC0-1.0"] * rows,
            "licence_class": ["public"] * rows,
            "content_digest": [digest_of(t) for t in texts],
        }
    )


def write_documents(
    lake: Lake, slice_: Slice, parts: int = 3, rows: int = 40, *, expects: str = "*", large: int | None = None, times: int = 20
) -> Receipt:
    """Commit a slice of documents as if a stage `extract` had made it; of part `large` they are so many times more."""
    counts = [rows * (times if p == large else 1) for p in range(parts)]
    shards = [lake.write_shard("documents", slice_, p, documents(f"{slice_}-{p}", n)) for p, n in enumerate(counts) if n]
    now = datetime.now(UTC)
    receipt = Receipt(
        run_id=new_run_id(),
        stage="extract",
        version="1",
        source=slice_.source,
        slice=slice_.interval,
        fingerprint=digest_of([s.digest for s in shards]),
        code="",
        params={},
        params_digest="",
        inputs=(),
        outputs=tuple(shards),
        tables=("documents",),
        counts=Counts(read=sum(counts), kept=sum(counts)),
        started_at=now,
        finished_at=now,
        **here(),
    )
    lake.commit(StageCommit(receipt, expects=expects))
    return receipt


@pytest.fixture
def with_documents(lake: Lake) -> Callable[..., Receipt]:
    return lambda slice_, **kw: write_documents(lake, slice_, **kw)
