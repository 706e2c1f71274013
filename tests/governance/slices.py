"""Slices of documents for tests, committed as if `extract` had made them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Counts, Receipt, here, new_run_id
from headrace_lake.slices import Slice


def write_documents(lake: Lake, slice_: Slice, texts: dict[str, str]) -> None:
    """Commit documents as if `extract` had made them, in two parts."""
    rows = [
        {"uid": uid, "url": uid, "text": t, "characters": len(t), "bytes": len(t.encode()), "replaced_characters": 0}
        | {"licence": "CC0-1.0", "licence_class": "public", "content_digest": uid}
        for uid, t in texts.items()
    ]
    parts = [rows[::2], rows[1::2]]
    shards = tuple(lake.write_shard("documents", slice_, n, pa.Table.from_pylist(p)) for n, p in enumerate(parts) if p)
    about: dict[str, Any] = {"run_id": new_run_id(), "stage": "extract", "version": "1", "fingerprint": "-".join(s.digest for s in shards)}
    about |= {"source": slice_.source, "slice": slice_.interval, "code": "", "params": {}, "params_digest": "", "inputs": ()}
    counts = Counts(read=len(rows), kept=len(rows))
    times = dict.fromkeys(("started_at", "finished_at"), datetime.now(UTC))
    lake.commit(StageCommit(Receipt(**about, outputs=shards, tables=("documents",), counts=counts, **times, **here())))
