"""Receipts: what a stage run leaves behind, and artifacts: what the jobs above the slices leave behind."""

from __future__ import annotations

import json
import os
import secrets
import socket
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from headrace_lake.slices import Slice
from headrace_lake.strict import StrictModel


def new_run_id() -> str:
    """A sortable, unique run id: UTC time and 32 random bits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


class ShardFile(StrictModel):
    """One immutable Parquet file of a table.

    Attributes:
        path: relative to the lake's root; its name holds part and digest.
        bytes: size of the file.
    """

    table: str
    part: int
    path: str
    rows: int
    bytes: int
    digest: str


class InputRef(StrictModel):
    """What a stage read: the content of a table's slice, and the receipt that wrote it if known."""

    table: str
    digest: str
    rows: int = 0
    producer: str = ""


class LookedAt(StrictModel):
    """What a stage read from beyond its slice: the files of a table that matched a filter when it looked.

    Compared with the files that match now, it tells without reading any data whether the stage would see something else today.

    Attributes:
        where: the row filter; empty means all slices.
        digest: of the matching slices and their content.
        slices: how many matched.
        snapshot: of the table, by which the slices that differ can be named for as long as it is kept.
    """

    table: str
    where: str = ""
    digest: str
    slices: int = 0
    snapshot: int | None = None

    @property
    def seen(self) -> tuple[str, str, str]:
        """What has to be equal for the stage to see the same."""
        return self.table, self.where, self.digest


class Counts(StrictModel):
    """Rows in, rows out. `read = kept + dropped + failed` holds or the receipt cannot be made."""

    read: int = 0
    kept: int = 0
    dropped: int = 0
    failed: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _adds_up(self) -> Counts:
        if self.read != self.kept + self.dropped + self.failed:
            raise ValueError(f"read {self.read} != kept {self.kept} + dropped {self.dropped} + failed {self.failed}")
        if sum(self.reasons.values()) != self.dropped:
            raise ValueError(f"reasons add up to {sum(self.reasons.values())}, dropped is {self.dropped}")
        return self

    def __add__(self, other: Counts) -> Counts:
        reasons = dict(self.reasons)
        for reason, n in other.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + n
        return Counts(
            read=self.read + other.read,
            kept=self.kept + other.kept,
            dropped=self.dropped + other.dropped,
            failed=self.failed + other.failed,
            reasons=dict(sorted(reasons.items())),
        )


ALARM_SHARE, ALARM_FROM = 0.30, 50
"""A rule that takes more than this share of at least so many rows is worth a look (done.md, chapter 4): it is the source that
is odd, or the rule is wrong for it."""


def alarms(counts: Counts) -> tuple[str, ...]:
    """A line for every rule that took more than `ALARM_SHARE` of the rows."""
    if counts.read < ALARM_FROM:
        return ()
    return tuple(
        f"alarm: {reason} dropped {n / counts.read:.0%} of the rows ({n:,} of {counts.read:,})"
        for reason, n in sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))
        if n > ALARM_SHARE * counts.read
    )


class ExpectationResult(StrictModel):
    """What became of one expectation about a table of one slice.

    Attributes:
        expectation: its name, Great Expectations' own without the leading `expect_`.
        arguments: the column, the bounds and whatever else it was declared with.
        severity: an `error` keeps the table from being committed; a `warning` goes into the notes.
        success: None where it was not judged; `note` says why.
        observed: the measured value that was compared with the bounds.
        rows: rows that it was measured on.
        suite: digest of the suite's file.
    """

    table: str
    expectation: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    severity: Literal["warning", "error"]
    success: bool | None
    observed: float | None = None
    rows: int = 0
    note: str = ""
    suite: str = ""

    @property
    def line(self) -> str:
        """For people: `documents: column_values_to_be_unique (column uid) observed 0.98`."""
        shown = ", ".join(f"{k} {v}" for k, v in self.arguments.items())
        seen = "" if self.observed is None else f", observed {self.observed:.6g}"
        return f"{self.table}: {self.expectation} ({shown}){seen}"


ORIGIN_ENV = "HEADRACE_ORIGIN"
"""Environment variable in which an orchestrator tells a command which of its tasks it works for: `Origin` as JSON."""


class Origin(StrictModel):
    """The orchestrator's task that a run worked for.

    Attributes:
        job: the cluster's job, `headrace-...` of Ray.
    """

    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: str = ""
    job: str = ""


def origin() -> Origin | None:
    """What `ORIGIN_ENV` says of this process; None where nobody set it or it cannot be read: a receipt must not fail for it."""
    try:
        told = json.loads(os.environ.get(ORIGIN_ENV, ""))
        return Origin(**{name: str(told.get(name, ""))[:250] for name in Origin.model_fields})
    except (ValueError, AttributeError):
        return None


class Receipt(StrictModel):
    """What a stage run leaves (`stage_run.StageRun` builds it). It becomes visible in the same commit as the outputs it describes.

    Attributes:
        tables: the tables whose slice the run owns, also where it wrote no row.
        params: the checked parameters.
        expectations: how the tables fared against their suites; no part of the fingerprint.
        origin: the orchestrator's task that it ran for, if one did; no part of the fingerprint.
        engine: `fingerprint.ENGINE` of the Headrace that made it; None in receipts of versions that did not say.
        columns: digest of the columns of the stage's own tables; empty in receipts that no stage of a pipeline left.
        looked_at: what the stage read from beyond its slice; None in receipts of versions that did not say.
        pipeline: where the stage is declared: a pipeline's name or file, empty where there was none.
    """

    run_id: str
    stage: str
    version: str
    source: str
    slice: str
    fingerprint: str
    code: str
    engine: int | None = None
    columns: str = ""
    params: dict[str, Any]
    params_digest: str
    inputs: tuple[InputRef, ...]
    outputs: tuple[ShardFile, ...]
    tables: tuple[str, ...] = ()
    counts: Counts
    started_at: datetime
    finished_at: datetime
    host: str
    process: int
    notes: tuple[str, ...] = ()
    expectations: tuple[ExpectationResult, ...] = ()
    origin: Origin | None = None
    looked_at: tuple[LookedAt, ...] | None = None
    pipeline: str = ""

    @property
    def slice_(self) -> Slice:
        return Slice(self.source, self.slice)

    def outputs_of(self, table: str) -> list[ShardFile]:
        """The files of one output table, by part."""
        return sorted((o for o in self.outputs if o.table == table), key=lambda o: (o.part, o.path))


def here() -> dict[str, Any]:
    """Host, process and orchestrator's task, as receipts record them."""
    return {"host": socket.gethostname(), "process": os.getpid(), "origin": origin()}


class Artifact(StrictModel):
    """A mix, run, checkpoint, evaluation, gate decision or release.

    Attributes:
        fingerprint: digest of (kind, inputs, parameters, code): the same one is never computed twice.
        digest: digest of the content.
        path: relative to the lake's root, or absolute where it lies outside, or empty.
        parents: fingerprints of receipts and artifacts that it was made from.
    """

    kind: str
    name: str
    fingerprint: str
    digest: str = ""
    path: str = ""
    parents: tuple[str, ...] = ()
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    payload: dict[str, Any] = Field(default_factory=dict)
