"""Which stages of which slices are out of date, and why: told from receipts and file lists, without reading data or running a stage.

A stage is out of date if the pipeline has changed since its receipt (version, code, parameters, a stage that never ran), if a table of its
own slice has, if the files beyond its slice that it looked at have (a slice of a smaller rank came, went or changed: its duplicates may be
judged otherwise), or if a stage before it is. The last two may come out unchanged: `headrace slice run` looks again, computes only what
does change, and notes in the receipt that it has looked. So this list is never too short, and after a run it is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headrace_lake.engine.looking import differences, look
from headrace_lake.engine.pipeline import Pipeline, load_pipeline
from headrace_lake.engine.stage_code import StageCodes, recipe_changes
from headrace_lake.errors import ConfigError, HeadraceError
from headrace_lake.lake import Lake, content_digest
from headrace_lake.receipts import LookedAt, Receipt
from headrace_lake.slices import Slice
from headrace_lake.stage import Stage

NAMED = 12
"""Slices that an error names."""
_SHARED = "shared:"


class StaleError(HeadraceError):
    """Slices are out of date; nothing was made of them. Declared here, since every stage's code digest covers `headrace_lake.errors`."""

    exit_code = 1


@dataclass(frozen=True)
class StaleStage:
    """A stage of a slice that is out of date; `causes` for people, in the order: itself, its inputs, other slices, stages before it."""

    slice_: Slice
    stage: str
    causes: tuple[str, ...]

    @property
    def line(self) -> str:
        """`debian-handbook-en/poc near_duplicate: looks at minhash_signatures: +debian-handbook-de/poc`."""
        return f"{self.slice_} {self.stage}: {'; '.join(self.causes)}"


def stale_stages(lake: Lake, slices: Sequence[Slice], pipeline: Pipeline | None = None) -> list[StaleStage]:
    """What is out of date in some slices, slice by slice, in the order of the stages.

    Args:
        pipeline: what the slices are compared with. By default each with the pipeline that its receipts name, and a slice whose receipts
            name none by its inputs alone.

    Raises:
        ConfigError: the pipeline that receipts name is not there any more.
    """
    receipts: dict[Slice, dict[str, Receipt]] = {slice_: {} for slice_ in slices}
    for r in lake.receipts() if len(slices) != 1 else lake.receipts(slices[0]):
        if r.slice_ in receipts:
            mine = receipts[r.slice_]
            mine.pop(r.stage, None)  # so that the stages stand in the order of their newest receipts
            mine[r.stage] = r
    checker = _Checker(lake)
    found: list[StaleStage] = []
    for slice_, current in receipts.items():
        found += checker.of_slice(slice_, current, pipeline if pipeline is not None else checker.declared(current))
    return found


def stale_error(stale: Sequence[StaleStage], what: str, way_out: str) -> StaleError:
    """The refusal: slices by name, each with the stage and cause that come first."""
    first = first_causes(stale)
    named = [f"{slice_} ({cause})" for slice_, cause in list(first.items())[:NAMED]]
    more = f" and {len(first) - NAMED} more" if len(first) > NAMED else ""
    return StaleError(f"{what}: {len(first)} slices are out of date: {'; '.join(named)}{more}", way_out)


def first_causes(stale: Iterable[StaleStage]) -> dict[Slice, str]:
    """Slice → `stage: cause` of its first stage that is out of date."""
    first: dict[Slice, str] = {}
    for s in stale:
        first.setdefault(s.slice_, f"{s.stage}: {s.causes[0]}")
    return first


class _Checker:
    """Compares receipts with what is there now; what it learned of a pipeline or a filter is asked for once."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._codes = StageCodes.of(lake)
        self._pipelines: dict[str, Pipeline] = {}
        self._changes: dict[tuple[str, ...], list[str]] = {}
        self._seen: dict[tuple[str, str], LookedAt] = {}
        self._contents: dict[str, dict[Slice, str]] = {}

    def declared(self, current: dict[str, Receipt]) -> Pipeline | None:
        """The pipeline that the newest receipt of a slice names."""
        named = next((r.pipeline for r in reversed(current.values()) if r.pipeline), "")
        if not named:
            return None
        if named not in self._pipelines:
            try:
                self._pipelines[named] = load_pipeline(self._lake.settings, named)
            except ConfigError as exc:
                raise ConfigError(f"receipts name pipeline '{named}', which cannot be read: {exc.what}", exc.way_out) from exc
        return self._pipelines[named]

    def of_slice(self, slice_: Slice, current: dict[str, Receipt], pipeline: Pipeline | None) -> list[StaleStage]:
        stages: dict[str, Stage | None] = {s.name: s for s in pipeline.stages} if pipeline is not None else dict.fromkeys(current)
        found: list[StaleStage] = []
        changing: set[str] = set()
        for name, stage in stages.items():
            receipt = current.get(name)
            causes = self._recipe(stage, receipt) + (self._inputs(slice_, receipt) if receipt is not None else [])
            reads = _reads(stage, receipt)
            causes += [f"after {', '.join(sorted(reads & changing))}"] if reads & changing else []
            if causes:
                found.append(StaleStage(slice_, name, tuple(causes)))
                changing |= _writes(stage, receipt)
        return found

    def _recipe(self, stage: Stage | None, receipt: Receipt | None) -> list[str]:
        if stage is None:
            return []
        if receipt is None:
            return ["never run"]
        key = (stage.name, receipt.version, receipt.code, receipt.columns, receipt.params_digest)
        if key not in self._changes:
            self._changes[key] = [f"changed: {what}" for what in recipe_changes(stage, receipt, self._codes)]
        return self._changes[key]

    def _inputs(self, slice_: Slice, receipt: Receipt) -> list[str]:
        causes = []
        beyond = False
        for i in receipt.inputs:
            if i.table.startswith(_SHARED):
                beyond = True
            elif self._content(i.table, slice_) != i.digest:
                causes.append(f"changed: input {i.table}")
        if receipt.looked_at is None and beyond:
            causes.append("an older version left no note of the slices that it looked at")
        for before in receipt.looked_at or ():
            asked = before.table, before.where
            if asked not in self._seen:
                self._seen[asked] = look(self._lake, *asked)
            if self._seen[asked].digest != before.digest:
                causes.append(f"looks at {before.table}: {differences(self._lake, before)}")
        return causes

    def _content(self, table: str, slice_: Slice) -> str:
        """Digest of a slice of a table, which is listed once for all slices."""
        if table not in self._contents:
            rows = self._lake.contents(table)[1].to_pylist()
            self._contents[table] = {Slice(r["source"], r["slice"]): r["digest"] for r in rows}
        return self._contents[table].get(slice_) or content_digest([])


def _reads(stage: Stage | None, receipt: Receipt | None) -> set[str]:
    if stage is not None:
        wanted = stage.inputs()
        return {wanted.primary, *wanted.sidecars}
    return {i.table for i in receipt.inputs} if receipt is not None else set()


def _writes(stage: Stage | None, receipt: Receipt | None) -> set[str]:
    if stage is not None:
        return {*stage.also, *([stage.output] if stage.output else [])}
    return set(receipt.tables) - {"exclusions", "quarantine"} if receipt is not None else set()
