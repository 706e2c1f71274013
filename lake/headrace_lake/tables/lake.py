"""The lake's own tables: rows that stages dropped or failed on, receipts, artifacts."""

from __future__ import annotations

import pyarrow as pa

from headrace_lake.tables.fields import INT64, ROW, STRING, TIME, field, spec

LAKE_TABLES = [
    spec(
        "exclusions",
        [
            *ROW,
            field("stage", STRING, "stage that dropped the row"),
            field("reason", STRING, "rule that dropped it"),
            field("detail", STRING, "measured value", null=True),
        ],
        "rows that a stage dropped, with the reason",
        ("source", "slice", "stage"),
    ),
    spec(
        "quarantine",
        [
            *ROW,
            field("stage", STRING, "stage that failed on the row"),
            field("error", STRING, "exception class and message"),
            field("row", STRING, "the input row as JSON, long values cut"),
        ],
        "rows that raised in a stage",
        ("source", "slice", "stage"),
    ),
    spec(
        "receipts",
        [
            field("stage", STRING, "stage name"),
            field("source", STRING, "source id"),
            field("slice", STRING, "interval id"),
            field("fingerprint", STRING, "digest of (stage, slice, inputs, parameters, code)"),
            field("committed_at", TIME, "when, by the writer's clock; shown, never compared"),
            field("read", INT64, "input rows", unit="rows"),
            field("kept", INT64, "rows kept", unit="rows"),
            field("dropped", INT64, "rows dropped with a reason", unit="rows"),
            field("failed", INT64, "rows quarantined", unit="rows"),
            field("receipt", STRING, "the whole receipt as JSON"),
        ],
        "one row a committed stage run",
        ("source", "slice"),
        key="fingerprint",
        log=True,
    ),
    spec(
        "artifacts",
        [
            field("kind", STRING, "mix, run, checkpoint, evaluation, gate, release, crawl-log, quality-model"),
            field("name", STRING, "human-readable name"),
            field("fingerprint", STRING, "digest of (kind, inputs, parameters, code)"),
            field("digest", STRING, "digest of the content"),
            field("path", STRING, "where it lies, relative to the lake's root, or empty"),
            field("parents", pa.list_(pa.field("element", STRING, nullable=False)), "fingerprints it was made from"),
            field("created_at", TIME, "when, by the writer's clock; shown, never compared"),
            field("payload", STRING, "the artifact's own record as JSON"),
        ],
        "mixes, runs, checkpoints, evaluations, gates and releases",
        ("kind",),
        key="fingerprint",
        log=True,
    ),
]
