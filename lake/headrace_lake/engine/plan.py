"""What a run would do: which stages of a slice are done, stale or depend on what comes out before them.

A stage's fingerprint names the *content* of its inputs, not the runs that made them. So a stage that is recomputed and
comes out unchanged leaves everything after it adopted ("early cutoff").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from headrace_lake.engine.looking import Looking
from headrace_lake.engine.pipeline import Pipeline
from headrace_lake.engine.stage_code import StageCodes, output_columns, recipe_changes, same_recipe
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import digest_bytes, digest_of
from headrace_lake.lake import Lake, content_digest
from headrace_lake.receipts import InputRef, LookedAt, Receipt, ShardFile
from headrace_lake.slices import Slice
from headrace_lake.stage import Stage

Action = Literal["adopt", "restore", "compute", "depends"]


@dataclass
class Step:
    """One stage of a plan.

    Attributes:
        action: `adopt` (done, visible), `restore` (done earlier, its files still exist: only a commit),
            `compute`, or `depends` (computed only if an input comes out changed).
        why: one line for people.
        rows: rows it would read, if known.
    """

    stage: str
    action: Action
    why: str
    rows: int = 0
    fingerprint: str = ""


@dataclass
class Ready:
    """A stage whose inputs are all committed: its fingerprint can be known.

    Attributes:
        current: the newest receipt.
        earlier: the newest one with this fingerprint, or one that differs by code that was proven equal.
        adopted: `current` is such a one, and its files are whole.
        looked_at: what the stage read from beyond its slice to come to it.
    """

    stage: Stage
    inputs: tuple[InputRef, ...]
    files: dict[str, list[ShardFile]]
    shared: dict[str, pa.Table]
    fingerprint: str
    current: Receipt | None
    earlier: Receipt | None
    adopted: bool
    looked_at: tuple[LookedAt, ...] = ()

    @property
    def seen_otherwise(self) -> bool:
        """Adopted, although the receipt does not say that the stage has looked at what lies beyond its slice now."""
        if not self.adopted or self.current is None:
            return False
        before = self.current.looked_at
        if before is None:
            return bool(self.looked_at)
        return {x.seen for x in before} != {x.seen for x in self.looked_at}


def make_ready(lake: Lake, stage: Stage, slice_: Slice, history: list[Receipt], codes: StageCodes) -> Ready:
    """Look at a stage's inputs as they are committed now and compute its fingerprint.

    Raises:
        InputError: the primary input has never been written for this slice.
    """
    wanted = stage.inputs()
    files: dict[str, list[ShardFile]] = {}
    refs: list[InputRef] = []
    newest = {(o, r.stage): r for r in history for o in {x.table for x in r.outputs}}
    for table in (wanted.primary, *wanted.sidecars):
        files[table] = lake.slice_files(table, slice_)
        producer = next((r.fingerprint for (t, _), r in reversed(newest.items()) if t == table), "")
        refs.append(InputRef(table=table, digest=content_digest(files[table]), rows=sum(f.rows for f in files[table]), producer=producer))
    if not files[wanted.primary] and not any(_writes(r, wanted.primary) for r in history):
        raise InputError(
            f"slice {slice_}: table {wanted.primary} has no rows for stage {stage.name}",
            f"run the stage that writes {wanted.primary} first",
        )
    looking = Looking(lake)
    shared = stage.prepare(looking, slice_) | stage.about(lake, slice_)
    refs += shared_refs(shared)
    fingerprint, *others = (fingerprint_of(stage, slice_, tuple(refs), code) for code in codes.today(stage))
    same = {fingerprint, *others}
    mine = [r for r in history if r.stage == stage.name]
    current = mine[-1] if mine else None
    earlier = next((r for r in reversed(mine) if r.fingerprint in same), None)
    adopted = current is not None and current.fingerprint in same and files_intact(lake, current)
    return Ready(stage, tuple(refs), files, shared, fingerprint, current, earlier, adopted, tuple(looking.looked_at.values()))


def fingerprint_of(stage: Stage, slice_: Slice, inputs: tuple[InputRef, ...], code: str) -> str:
    """Digest of (stage, slice, inputs, parameters, code, output columns).

    Args:
        code: digest of the stage's code.
    """
    return digest_of(
        {
            "stage": [stage.name, stage.version],
            "slice": str(slice_),
            "inputs": [[i.table, i.digest] for i in inputs],
            "params": stage.params.model_dump(mode="json"),
            "code": code,
            "columns": output_columns(stage),
        }
    )


def shared_refs(shared: Mapping[str, pa.Table]) -> list[InputRef]:
    """Input references of what `Stage.prepare` and `Stage.about` returned."""
    return [InputRef(table=f"shared:{name}", digest=table_digest(t), rows=t.num_rows) for name, t in sorted(shared.items())]


def table_digest(table: pa.Table) -> str:
    """Digest of a table's rows in order (through its IPC form, chunking removed)."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)
    return digest_bytes(sink.getvalue())


def preview_pipeline(lake: Lake, pipeline: Pipeline, slice_: Slice) -> list[Step]:
    """What `run_pipeline` would do, without doing it; reads receipts and file lists only."""
    history = lake.receipts(slice_)
    codes = StageCodes.of(lake)
    changing: set[str] = set()
    steps: list[Step] = []
    for stage in pipeline.stages:
        wanted = stage.inputs()
        upstream = sorted({wanted.primary, *wanted.sidecars} & changing)
        known = [r for r in history if r.stage == stage.name]
        if upstream:
            same = same_recipe(stage, known[-1] if known else None, codes)
            why = f"if {', '.join(upstream)} comes out changed" if same else f"after {', '.join(upstream)}"
            steps.append(Step(stage.name, "depends" if same else "compute", why, known[-1].counts.read if known else 0))
            changing |= _tables(stage)
            continue
        ready = make_ready(lake, stage, slice_, history, codes)
        rows = ready.inputs[0].rows
        if ready.adopted:
            steps.append(Step(stage.name, "adopt", codes.why_adopted(stage, ready.current), rows, ready.fingerprint))
            continue
        changing |= _tables(stage)
        if ready.earlier is not None and files_intact(lake, ready.earlier):
            steps.append(Step(stage.name, "restore", "computed before, files still there", rows, ready.fingerprint))
        else:
            steps.append(Step(stage.name, "compute", _difference(ready, codes), rows, ready.fingerprint))
    return steps


def files_intact(lake: Lake, receipt: Receipt) -> bool:
    """Whether every file that a receipt names is still stored, with all its bytes."""
    return all(lake.storage.holds(o.path, o.bytes) for o in receipt.outputs)


def _difference(ready: Ready, codes: StageCodes) -> str:
    before = ready.current
    if before is None:
        return "never run"
    changed = recipe_changes(ready.stage, before, codes)
    old = {i.table: i.digest for i in before.inputs}
    changed += [f"input {i.table}" for i in ready.inputs if old.get(i.table) != i.digest]
    return f"changed: {', '.join(changed) or 'its files are gone'}"


def _tables(stage: Stage) -> set[str]:
    return {*stage.also, *([stage.output] if stage.output else [])}


def _writes(receipt: Receipt, table: str) -> bool:
    return table in receipt.tables or any(o.table == table for o in receipt.outputs)
