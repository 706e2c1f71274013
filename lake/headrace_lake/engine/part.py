"""One part of a slice through one or more stages in one process: the unit of work that executors distribute.

Consecutive stages are *fused*: the outputs of the first stay in memory for the next, and each stage still writes its
own shards. A batch that raises is bisected down to the rows at fault; those are quarantined, the rest goes on.
A finished part leaves a small JSON record in the work folder, so that a killed run goes on where it was.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace_lake.engine.worker import here
from headrace_lake.errors import HeadraceError, StageError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Counts, ShardFile
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Stage
from headrace_lake.strict import StrictModel
from headrace_lake.tables import table_spec
from headrace_lake.tables.shards import ShardStore, conform, read_shard, store_conformed

_ROW_JSON_LIMIT = 2000
_MACHINE_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO}
_WORK = "work"
_EXCLUDED = pa.schema([(name, pa.string()) for name in ("uid", "stage", "reason", "detail")])


class PartTask(StrictModel):
    """Everything a worker needs; JSON-able, holds no secret.

    Attributes:
        files: table → the shard of this part, for tables that are committed already.
        shared: name → stored Arrow IPC object with what `Stage.prepare` returned, per stage.
        key: name of the record that a finished part leaves.
    """

    settings: Settings
    source: str
    slice: str
    part: int
    stages: tuple[tuple[str, dict[str, Any]], ...]
    files: dict[str, tuple[ShardFile, ...]]
    shared: dict[str, dict[str, str]]
    key: str

    @property
    def size(self) -> int:
        """Bytes of the files that it may read: what is known of the work beforehand."""
        return sum(f.bytes for files in self.files.values() for f in files)


class StageOutcome(StrictModel):
    """What one stage made of one part."""

    stage: str
    counts: Counts
    outputs: tuple[ShardFile, ...]


class PartOutcome(StrictModel):
    """What all fused stages made of one part."""

    part: int
    stages: tuple[StageOutcome, ...]


@dataclass
class _Writer:
    """`PartWriter` for a stage: objects are stored under their digest."""

    lake: Lake
    source: str
    slice: str
    part: int

    def put_file(self, local_path: str, *, kind: str, suffix: str) -> str:
        return self.lake.put_object(local_path, kind=kind, suffix=suffix)

    def local_path(self, relative: str) -> str:
        return str(self.lake.storage.local_path(relative))


@dataclass
class _Rows:
    """Rows of one stage as they pile up."""

    kept: list[pa.Table] = field(default_factory=list)
    dropped: list[pa.Table] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    read: int = 0
    survivors: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


def run_part(task: PartTask, lake: Lake | None = None) -> PartOutcome:
    """Run the fused stages over one part and store their shards; safe to call again after a kill."""
    lake = lake if lake is not None else Lake.open(task.settings)
    record = f"{_WORK}/{task.key}/{task.part:05d}.json"
    done = _finished(lake, record)
    if done is not None:
        return done
    slice_ = Slice(task.source, task.slice)
    memory: dict[str, pa.Table] = {}
    outcomes = []
    with lake.storage.together() as store:
        for use, params in task.stages:
            stage = here().stage(use, params, where=f"slice {slice_}")
            shared = {name: _load_shared(lake, path) for name, path in task.shared.get(stage.name, {}).items()}
            outcomes.append(_run_stage(lake, store, stage, slice_, task, memory, shared))
    outcome = PartOutcome(part=task.part, stages=tuple(outcomes))
    lake.storage.put_bytes(record, outcome.model_dump_json().encode())
    return outcome


def _finished(lake: Lake, record: str) -> PartOutcome | None:
    if not lake.storage.exists(record):
        return None
    outcome = PartOutcome.model_validate_json(lake.storage.read_bytes(record))
    complete = all(lake.storage.holds(o.path, o.bytes) for s in outcome.stages for o in s.outputs)
    return outcome if complete else None


def _run_stage(
    lake: Lake,
    store: ShardStore,
    stage: Stage,
    slice_: Slice,
    task: PartTask,
    memory: dict[str, pa.Table],
    shared: Mapping[str, pa.Table],
) -> StageOutcome:
    writer = _Writer(lake, slice_.source, slice_.interval, task.part)
    rows = _Rows()
    source = _input(lake, stage, task, memory)
    stage.begin(writer, shared)
    for batch in _batches(source, stage.batch_rows, stage.batch_bytes):
        rows.read += batch.num_rows
        _process(stage, batch, rows)
    extra = stage.finish(writer)
    tables: dict[str, pa.Table] = {}
    if stage.output is not None and rows.kept:
        tables[stage.output] = pa.concat_tables(rows.kept, promote_options="permissive")
    for name, table in extra.items():
        if name not in stage.also:
            raise StageError(
                f"stage {stage.name} emitted rows for table {name}", f"declare it in `also` ({', '.join(stage.also) or 'empty'})"
            )
        tables[name] = table
    if rows.dropped:
        tables["exclusions"] = pa.concat_tables(rows.dropped)
    if rows.failed:
        tables["quarantine"] = pa.Table.from_pylist(rows.failed)
    outputs = []
    owned = (*stage.also, *([stage.output] if stage.output is not None else []))
    memory |= {name: table_spec(name).schema.empty_table() for name in owned}
    for name, table in tables.items():
        if table.num_rows:
            spec = table_spec(name)
            # What the next fused stage gets is what it would read from the lake: declared columns in declared types.
            conformed = conform(table, spec, slice_, task.part).combine_chunks()
            outputs.append(store_conformed(store, spec, slice_, task.part, conformed))
            if name in owned:  # exclusions and quarantine are of many stages, so they are not stage's input
                memory[name] = conformed
    counts = Counts(
        read=rows.read,
        kept=rows.survivors,
        dropped=sum(rows.reasons.values()),
        failed=len(rows.failed),
        reasons=dict(sorted(rows.reasons.items())),
    )
    return StageOutcome(stage=stage.name, counts=counts, outputs=tuple(outputs))


def _batches(source: pa.Table, most_rows: int, most_bytes: int) -> Iterator[pa.Table]:
    """The rows in order, in batches of at most so many rows and bytes; a row that is larger is a batch of its own."""
    start = 0
    while start < source.num_rows:
        batch = source.slice(start, most_rows)
        while batch.num_rows > 1 and batch.nbytes > most_bytes:
            batch = batch.slice(0, batch.num_rows // 2)
        yield batch
        start += batch.num_rows


def _input(lake: Lake, stage: Stage, task: PartTask, memory: dict[str, pa.Table]) -> pa.Table:
    """The primary rows of the part with the sidecars' columns joined by uid, in the primary's order."""
    wanted = stage.inputs()
    columns = list(wanted.columns) or table_spec(wanted.primary).schema.names
    if "uid" not in columns:
        columns = ["uid", *columns]
    rows = _table(lake, wanted.primary, columns, task, memory)
    for name, chosen in wanted.sidecars.items():
        side = _table(lake, name, ["uid", *(c for c in chosen if c != "uid")], task, memory)
        if side["uid"].equals(rows["uid"]):
            for column in chosen:
                rows = rows.append_column(f"{name}.{column}", side[column])
            continue
        positions = pc.index_in(rows["uid"], value_set=side["uid"].combine_chunks() if side.num_rows else pa.array([], side["uid"].type))
        for column in chosen:
            rows = rows.append_column(
                f"{name}.{column}", side[column].take(positions) if side.num_rows else pa.nulls(rows.num_rows, side[column].type)
            )
    return rows.combine_chunks()


def _table(lake: Lake, name: str, columns: list[str], task: PartTask, memory: dict[str, pa.Table]) -> pa.Table:
    """Columns of a table of the part; what is read from the lake stays in memory for the stages that follow, as what they make does."""
    schema = table_spec(name).schema
    for c in columns:
        if c not in schema.names:
            raise StageError(f"table {name} has no column '{c}'", f"its columns: {', '.join(schema.names)}")
    known = memory.get(name)
    missing = [c for c in dict.fromkeys(columns) if known is None or c not in known.column_names]
    if missing:
        wanted = pa.schema([schema.field(c) for c in missing])
        parts = [read_shard(lake.storage, f, wanted) for f in task.files.get(name, ())]
        read = pa.concat_tables([wanted.empty_table(), *parts]).combine_chunks()
        for c in missing:
            known = read.select([c]) if known is None else known.append_column(wanted.field(c), read[c])
        memory[name] = known
    return memory[name].select(columns)


def _process(stage: Stage, batch: pa.Table, rows: _Rows) -> None:
    try:
        out = stage.process(batch)
    except (MemoryError, HeadraceError):
        raise  # ours or the machine's fault, not a row's: a full disk must not quarantine good rows
    except Exception as exc:
        if isinstance(exc, OSError) and exc.errno in _MACHINE_FAULTS:
            raise
        if batch.num_rows == 1:
            rows.failed.append(_quarantined(stage, batch, exc))
            return
        half = batch.num_rows // 2
        _process(stage, batch.slice(0, half), rows)
        _process(stage, batch.slice(half), rows)
        return
    _collect(stage, batch, out, rows)


def _collect(stage: Stage, batch: pa.Table, out: pa.Table, rows: _Rows) -> None:
    key = "parent_uid" if "parent_uid" in out.column_names else "uid"
    row_by_row = out[key].equals(batch["uid"])
    if not row_by_row:
        asked, answered = set(batch["uid"].to_pylist()), set(out[key].to_pylist())
        if asked != answered:
            lost, invented = len(asked - answered), len(answered - asked)
            raise StageError(
                f"stage {stage.name}: {lost} of {batch.num_rows} rows lost and {invented} invented",
                f"return every input uid, with `{DROP_REASON}` where it is dropped",
            )
    clean = out.drop_columns([c for c in (DROP_REASON, DROP_DETAIL) if c in out.column_names])
    left = clean
    if DROP_REASON in out.column_names and out[DROP_REASON].null_count < out.num_rows:
        dropped = pc.is_valid(out[DROP_REASON])
        left = clean.filter(pc.invert(dropped))
        _exclude(stage, out.filter(dropped), key, set() if row_by_row else set(left[key].to_pylist()), rows)
    verdict = stage.output is not None and table_spec(stage.output).is_verdict
    rows.survivors += left.num_rows if row_by_row else len(set(left[key].to_pylist()))
    rows.kept.append(clean if verdict else left)


def _exclude(stage: Stage, dropped: pa.Table, key: str, left: set[str], rows: _Rows) -> None:
    """Note dropped rows; an input row counts as dropped once, under its first reason, if nothing of it is `left`."""
    for parent, reason in zip(dropped[key].to_pylist(), dropped[DROP_REASON].to_pylist(), strict=True):
        if parent not in left:
            left.add(parent)
            rows.reasons[reason] = rows.reasons.get(reason, 0) + 1
    details = dropped[DROP_DETAIL] if DROP_DETAIL in dropped.column_names else pa.nulls(dropped.num_rows, pa.string())
    if not pa.types.is_string(details.type):
        details = pa.array([None if d is None else str(d) for d in details.to_pylist()], pa.string())
    columns = {"uid": dropped["uid"], "stage": pa.repeat(stage.name, dropped.num_rows), "reason": dropped[DROP_REASON], "detail": details}
    rows.dropped.append(pa.table(columns).cast(_EXCLUDED))


def _quarantined(stage: Stage, row: pa.Table, exc: Exception) -> dict[str, Any]:
    values = {k: (v if not isinstance(v, str | bytes) else str(v)[:200]) for k, v in row.to_pylist()[0].items()}
    return {
        "uid": row["uid"][0].as_py(),
        "stage": stage.name,
        "error": f"{type(exc).__name__}: {exc}"[:_ROW_JSON_LIMIT].encode("utf-8", "replace").decode(),
        "row": json.dumps(values, default=str, ensure_ascii=False)[:_ROW_JSON_LIMIT],
    }


def store_shared(lake: Lake, table: pa.Table, digest: str) -> str:
    """Keep what `prepare` returned where every worker can read it; returns its path."""
    path = f"{_WORK}/shared/{digest}.arrow"
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    # Written again even where it lies already: vacuum's time of grace counts from the last write.
    lake.storage.put_bytes(path, sink.getvalue())
    return path


def _load_shared(lake: Lake, path: str) -> pa.Table:
    return pa.ipc.open_file(pa.py_buffer(lake.storage.read_bytes(path))).read_all()
