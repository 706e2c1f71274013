"""A small lake with everything that a page shows, written without running a stage: two sources, drops, spans, a run with its gate."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace_lake.fingerprint import digest_bytes, digest_of
from headrace_lake.identity import document_uid
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Artifact, Counts, ExpectationResult, InputRef, Origin, Receipt, ShardFile, here
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

RIVER, HOSTILE = Slice("river", "2026-11-01"), Slice("hostile", "2026-11-02")
BEGAN = datetime(2026, 11, 3, 12, tzinfo=UTC)
DROPPED = 73
"""Documents of `river` that one rule dropped: two pages of them."""
SCRIPT = "<script>alert('x')</script>"
TITLE = f"{SCRIPT}\u202egnp.exe"
TEXT = f"Wasser fließt. {SCRIPT}\x00 und \u202e rückwärts.\nMail: löwe@example.org steht hier.\n" + "Eine Zeile über den Fluss.\n" * 1500
RUN_ID = "manual__2026-11-03T12:00:00+00:00"
VOCABULARY = 1000


def span(words: str) -> tuple[int, int]:
    """Where words stand in `TEXT`, in bytes of its UTF-8."""
    start = len(TEXT[: TEXT.index(words)].encode())
    return start, start + len(words.encode())


def build(settings: Settings) -> Lake:
    """Write the lake."""
    lake = Lake.open(settings)
    _river(lake)
    _hostile(lake)
    _training(lake)
    return lake


def uid_of(slice_: Slice, number: int) -> str:
    """Of the document `number` of a slice."""
    return document_uid(slice_.source, f"https://example.org/{number}", digest_bytes(str(number).encode()))


def document(slice_: Slice, number: int, text: str, title: str) -> dict[str, Any]:
    """A row of `documents`."""
    return {
        "uid": uid_of(slice_, number),
        "url": f"https://example.org/{number}",
        "title": title,
        "text": text,
        "characters": len(text),
        "bytes": len(text.encode()),
        "replaced_characters": 0,
        "licence": "CC-BY-4.0",
        "licence_class": "attribution",
        "content_digest": digest_bytes(str(number).encode()),
    }


def capture(slice_: Slice, number: int) -> dict[str, Any]:
    """A row of `captures`."""
    return {
        "uid": uid_of(slice_, number),
        "url": f"https://example.org/{number}",
        "final_url": f"https://example.org/{number}",
        "status": 200,
        "fetched_at": BEGAN,
        "content_digest": digest_bytes(str(number).encode()),
        "content_bytes": 5000,
        "warc_path": "objects/warc/x.warc.gz",
        "warc_offset": 17,
        "warc_length": 900,
        "licence": "CC-BY-4.0",
        "licence_class": "attribution",
        "licence_basis": "policy",
        "licence_evidence": "0" * 32,
    }


def commit(
    lake: Lake,
    slice_: Slice,
    stage: str,
    tables: dict[str, list[dict[str, Any]]],
    *,
    reads: ShardFile | None = None,
    dropped: dict[str, int] | None = None,
    run: str = "",
    expectations: tuple[ExpectationResult, ...] = (),
    minutes: int = 0,
    task: str = "tokens",
) -> dict[str, ShardFile]:
    """Commit rows of some tables as one stage run; `run` is the Airflow run that it is made for."""
    shards = {name: lake.write_shard(name, slice_, 0, pa.Table.from_pylist(rows)) for name, rows in tables.items() if rows}
    lost = sum((dropped or {}).values())
    kept = max((s.rows for name, s in shards.items() if name != "exclusions"), default=0) if stage != "select" else len(tables["admitted"])
    kept = kept - lost if stage not in ("crawl", "select") else kept
    origin = Origin(dag_id="ingest_text", run_id=run, task_id=task, map_index="-1", job="headrace-0-1") if run else None
    receipt = Receipt(
        run_id=f"20261103T12{minutes:02d}00-{digest_of([stage, str(slice_)])[:8]}",
        stage=stage,
        version="1",
        source=slice_.source,
        slice=slice_.interval,
        fingerprint=digest_of([stage, str(slice_), minutes]),
        code=digest_of("old code"),
        params={"min_words": 50, "words": ["<b>", "the"]},
        params_digest=digest_of("old"),
        inputs=(InputRef(table=reads.table, digest=digest_of([[0, reads.digest]]), rows=reads.rows),) if reads else (),
        outputs=tuple(shards.values()),
        tables=("exclusions", "quarantine", *(t for t in tables if t != "exclusions")),
        counts=Counts(read=kept + lost, kept=kept, dropped=lost, reasons=dict(sorted((dropped or {}).items()))),
        started_at=BEGAN + timedelta(minutes=minutes),
        finished_at=BEGAN + timedelta(minutes=minutes, seconds=31),
        expectations=expectations,
        **{**here(), "origin": origin},
    )
    lake.commit(StageCommit(receipt))
    return shards


def _verdict(slice_: Slice, number: int, **values: Any) -> dict[str, Any]:
    return {"uid": uid_of(slice_, number), "keep": True, "reason": None, "measured": None, **values}


def _river(lake: Lake) -> None:
    texts = [document(RIVER, i, f"Text number {i} about the river.", f"Page {i}") for i in range(DROPPED + 7)]
    commit(lake, RIVER, "crawl", {"captures": [capture(RIVER, i) for i in range(DROPPED + 7)]}, run=RUN_ID, task="crawl")
    passed = ExpectationResult(
        table="documents",
        expectation="column_values_to_be_unique",
        arguments={"column": "uid"},
        severity="error",
        success=True,
        observed=1.0,
    )
    shards = commit(lake, RIVER, "extract", {"documents": texts}, run=RUN_ID, expectations=(passed,), minutes=1)
    short = [{"uid": d["uid"], "stage": "gopher_quality", "reason": "short_doc", "detail": '{"words": 6}'} for d in texts[:DROPPED]]
    verdicts = [
        _verdict(RIVER, i, keep=i >= DROPPED, reason="short_doc" if i < DROPPED else None, measured='{"words": 6}')
        for i in range(len(texts))
    ]
    commit(
        lake,
        RIVER,
        "gopher_quality",
        {"verdict_gopher_quality": verdicts, "exclusions": short},
        reads=shards["documents"],
        dropped={"short_doc": DROPPED},
        run=RUN_ID,
        minutes=2,
    )
    admitted = [
        {"uid": d["uid"], "language": "en", "licence": "CC-BY-4.0", "licence_class": "attribution", "bytes": d["bytes"]}
        for d in texts[DROPPED:]
    ]
    commit(lake, RIVER, "select", {"admitted": admitted}, dropped={"short_doc": DROPPED}, minutes=3)
    commit(
        lake,
        RIVER,
        "language",
        {"verdict_language": [_verdict(RIVER, i, language="en", score=0.99, script="Latn", starts=[], ends=[]) for i in range(len(texts))]},
        minutes=3,
    )
    tokens = [
        {
            "uid": a["uid"],
            "ordinal": i,
            "token_start": 9 * i,
            "token_count": 9,
            "byte_start": 0,
            "byte_end": a["bytes"],
            "encoded_bytes": a["bytes"],
            "language": "en",
            "licence": "CC-BY-4.0",
            "licence_class": "attribution",
        }
        for i, a in enumerate(admitted)
    ]
    shard = {"tokenizer_digest": "0" * 32, "bin_path": "objects/x.bin", "idx_path": "objects/x.idx", "documents": 7, "tokens": 63}
    commit(lake, RIVER, "tokenise", {"passports": tokens, "token_shards": [shard]}, minutes=4)


def _hostile(lake: Lake) -> None:
    commit(lake, HOSTILE, "crawl", {"captures": [capture(HOSTILE, 0)]}, minutes=5)
    commit(lake, HOSTILE, "extract", {"documents": [document(HOSTILE, 0, TEXT, TITLE)]}, minutes=6)
    start, end = span("löwe@example.org")
    commit(lake, HOSTILE, "pii", {"verdict_pii": [_verdict(HOSTILE, 0, kinds=["email"], starts=[start], ends=[end])]}, minutes=7)
    cut_start, cut_end = span("und \u202e rückwärts.")
    commit(lake, HOSTILE, "refinedweb", {"verdict_refinedweb": [_verdict(HOSTILE, 0, starts=[cut_start], ends=[cut_end])]}, minutes=8)
    why = [{"uid": uid_of(HOSTILE, 0), "stage": "c4", "reason": SCRIPT, "detail": f'{{"value": "{SCRIPT}\u202e"}}'}]
    commit(lake, HOSTILE, "c4", {"verdict_c4": [_verdict(HOSTILE, 0, keep=False, reason=SCRIPT)], "exclusions": why}, minutes=9)


def metrics(steps: int) -> list[dict[str, Any]]:
    """Lines of a metrics file: a loss that falls."""
    return [
        {
            "step": i + 1,
            "loss": 6.0 - 3.0 * i / steps,
            "lr": 0.001,
            "grad_norm": 1.0,
            "tokens": 100,
            "total_tokens": 100 * (i + 1),
            "tokens_per_second": 200.0,
            "seconds": 0.5,
            "phase": "main" if i < steps // 2 else "anneal",
        }
        for i in range(steps)
    ]


def write_metrics(folder: Path, steps: int) -> Path:
    """A run's folder with its metrics file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "metrics.jsonl"
    file.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in metrics(steps)), encoding="utf-8")
    return file


def _training(lake: Lake) -> None:
    folder = lake.settings.resolve(lake.settings.runs) / "train" / "tiny-0123456789abcdef"
    stored = lake.put_object(write_metrics(folder, 120), kind="run", suffix=".jsonl")
    launch = {
        "layers": {"chosen": "fp32"},
        "softmax": {"chosen": "bf16"},
        "threads": 2,
        "processes": 1,
        "processor": "p",
        "capability": "AVX2",
    }
    segments = [{"after_step": after, **launch} for after in (0, 40)]
    payload = {"vocabulary": VOCABULARY, "parameters": 12345, "files": {"jsonl": stored}, "segments": segments, "summary": "120 steps"}
    run = Artifact(kind="run", name="tiny", fingerprint="1" * 32, path=str(folder), parents=("2" * 32,), payload=payload)
    step = {"step": 120, "tokens": 12000, "summary": "step 120"}
    checkpoint = Artifact(kind="checkpoint", name="tiny-step-00000120", fingerprint="3" * 32, parents=(run.fingerprint,), payload=step)
    row = {"bits_per_byte": 1.25, "low": 1.2, "high": 1.3, "unigram": 2.5, "better": True, "documents": 9, "bytes": 4321}
    evaluation = Artifact(
        kind="evaluation",
        name="tiny",
        fingerprint="4" * 32,
        parents=(checkpoint.fingerprint, "2" * 32),
        payload={"languages": [{"language": "en", **row}], "overall": {"language": "all", **row}, "checkpoint": {"name": checkpoint.name}},
    )
    gate = Artifact(
        kind="gate",
        name="release",
        fingerprint="5" * 32,
        payload={
            "decision": "Go",
            "signer": SCRIPT,
            "recipe": "tiny",
            "signed_at": "2026-11-03T12:00",
            "expires_at": "2027-11-03T12:00:00+00:00",
        },
    )
    for artifact in (run, checkpoint, evaluation, gate):
        lake.record_artifact(artifact)
