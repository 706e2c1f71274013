"""A small lake for tests of the removal audit: our own documents with planted duplicates and short texts, some of them hostile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from headrace_lake.engine import Pipeline, load_pipeline, run_pipeline
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Counts, Receipt, here, new_run_id
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.tables import table_spec

STAGES = ["language", "text_statistics", "gopher_quality", "text_digests", "exact_duplicate", "minhash", "near_duplicate"]
HOSTILE = (
    "</script><script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 2\"><svg onload='window.pwned = 3'> "
    "@DATA@ @SCRIPT@ {kept} &lt;b&gt; \u2028\u202egnirts siht daer\u202c </textarea><iframe srcdoc='<script>parent.pwned=4</script>'>"
)
SUBJECTS = "The miller|A farmer|The old smith|Her teacher|The council|Every child|The ferryman|Our neighbour|The baker|A traveller".split(
    "|"
)
VERBS = "kept|repaired|described|painted|remembered|measured|watched|sold|carried|forgot".split("|")
OBJECTS = "the wheel|a sluice of oak|the frozen pond|three letters|the broken axle|a map of the valley|the stone bridge|the flour".split(
    "|"
)
TAILS = "before the rain came|in the year of the flood|with great care|for the sake of the village|when the bells had rung".split("|")


def prose(rng: random.Random, sentences: int = 14) -> str:
    """English sentences that pass Gopher's rules."""
    parts = [f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)} {rng.choice(TAILS)}." for _ in range(sentences)]
    return " ".join(parts)


def texts(seed: int, *, originals: int, copies: int = 0, edited: int = 0, short: int = 0) -> list[str]:
    """Originals, then exact copies of some, near copies of some, and texts too short for Gopher; the first copies are hostile."""
    rng = random.Random(seed)
    made = [prose(rng) for _ in range(originals)]
    made[0] = f"{made[0]} {HOSTILE}"
    exact = [made[i % originals] for i in range(copies)]
    near = [made[i % originals] + f" {rng.choice(SUBJECTS)} left." for i in range(edited)]
    brief = [f"{prose(rng, 1)} {HOSTILE if i == 0 else ''}".strip() for i in range(short)]
    return [*made, *exact, *near, *brief]


def commit(lake: Lake, slice_: Slice, stage: str, table: str, rows: list[dict[str, Any]]) -> None:
    """Commit rows of a table as a stage would have written them."""
    schema = table_spec(table).schema
    whole = [dict.fromkeys(schema.names) | {"source": slice_.source, "slice": slice_.interval, "part": 0} | r for r in rows]
    shards = [lake.write_shard(table, slice_, 0, pa.Table.from_pylist(whole, schema=schema))] if rows else []
    dropped = sum(r.get("keep") is False for r in rows)
    now = datetime.now(UTC)
    receipt = Receipt(
        run_id=new_run_id(),
        stage=stage,
        version="1",
        source=slice_.source,
        slice=slice_.interval,
        fingerprint=digest_of([stage, str(slice_), [s.digest for s in shards]]),
        code="0" * 32,
        params={},
        params_digest=digest_of({}),
        inputs=(),
        outputs=tuple(shards),
        tables=(table,),
        counts=Counts(read=len(rows), kept=len(rows) - dropped, dropped=dropped, reasons={"planted": dropped} if dropped else {}),
        started_at=now,
        finished_at=now,
        **here(),
    )
    lake.commit(StageCommit(receipt))


def write_documents(lake: Lake, slice_: Slice, written: Sequence[str]) -> list[str]:
    """Commit documents with these texts; returns their uids. The uid is the address's, so a page has the same one in every slice."""
    rows = []
    for i, text in enumerate(written):
        url = f"https://{slice_.source}.example/{i}"
        row = {
            "uid": digest_of(url),
            "url": url,
            "text": text,
            "characters": len(text),
            "bytes": len(text.encode()),
            "replaced_characters": 0,
        }
        rows.append(row | {"licence": "CC0-1.0", "licence_class": "public", "content_digest": digest_of(text)})
    commit(lake, slice_, "extract", "documents", rows)
    return [str(r["uid"]) for r in rows]


def pipeline(settings: Settings) -> Pipeline:
    """The part of the shipped pipeline that the tests need."""
    return load_pipeline(settings, "text").only(STAGES)


def audited_lake(settings: Settings, *, originals: int = 24, copies: int = 8, edited: int = 12, short: int = 10) -> Lake:
    """Two slices of two sources, judged by the shipped filters."""
    lake = Lake.open(settings)
    first, second = Slice("mill", "2026-11-01"), Slice("bakery", "2026-11-01")
    write_documents(lake, first, texts(1, originals=originals, copies=copies, edited=edited, short=short))
    write_documents(lake, second, texts(2, originals=originals // 2, short=short // 2))
    for slice_ in (second, first):
        run_pipeline(lake, pipeline(settings), slice_)
    return lake
