"""What would this threshold change: verdicts computed again from statistics, in memory, and held against what the lake holds.

Only for verdicts that are arithmetic over a table of the lake (`RuleVerdict`: gopher_quality, gopher_repetition, fineweb, and any
stage like them); no text is read but the beginnings of a few samples, nothing is committed. The difference is between the
verdicts *as committed* and the edited parameters: where the pipeline's own parameters are no longer those of the receipt, or the
code is not, that is part of the difference, and a note says so.

Tokens of documents that would leave are counted (passports); of those that would come in, estimated from the bytes by the tokens a
byte of their language. Cost: 7 microseconds and 650 bytes a document, 20 microseconds for one whose verdict changes (200,000
documents, one core).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.audit.removals.texts import read_texts
from headrace_governance.text.select import Select
from headrace_lake.engine import Pipeline
from headrace_lake.engine.stage_code import StageCodes
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_REASON, Stage
from headrace_lake.strict import parse, read_yaml
from headrace_lake.tables import TABLES

Newly = Literal["dropped", "kept"]


@dataclass
class Change:
    """Documents of one source and language whose verdict one rule would change.

    Attributes:
        rule: that would drop them, or that drops them now.
        documents, bytes: whose verdict changes.
        admitted, admitted_bytes, tokens: of those, what changes in the end, since no other verdict drops them; tokens are an
            estimate for what would come in.
        samples: (source/slice/uid, beginning of the text).
    """

    stage: str
    source: str
    language: str
    rule: str
    newly: Newly
    documents: int = 0
    bytes: int = 0
    admitted: int = 0
    admitted_bytes: int = 0
    tokens: int = 0
    samples: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Totals:
    """Documents, bytes and tokens that are admitted now, and that would leave or come in (each document once)."""

    now: list[int] = field(default_factory=lambda: [0, 0, 0])
    leave: list[int] = field(default_factory=lambda: [0, 0, 0])
    enter: list[int] = field(default_factory=lambda: [0, 0, 0])


@dataclass
class WhatIf:
    """The answer."""

    changes: list[Change]
    totals: Totals
    notes: list[str]
    documents: int


def edited_stages(pipeline: Pipeline, sets: Sequence[str], files: Sequence[str] = ()) -> tuple[list[Stage], list[str]]:
    """The stages that are edited, with their new parameters, and notes on what an edit implies.

    Args:
        sets: `STAGE.path.of.keys=VALUE`, the value as YAML.
        files: `STAGE=FILE.yaml`, the whole parameters.

    Raises:
        ConfigError: no such stage or key (the nearest is named), or the stage reads texts.
    """
    stages = {s.name: s for s in pipeline.stages}
    params: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for text in files:
        name, sep, path = text.partition("=")
        _known(stages, name, f"--file {text}", bool(sep))
        params[name] = _read_params(Path(path))
    for edit in sets:
        place, sep, value = edit.partition("=")
        name, _, keys = place.partition(".")
        _known(stages, name, f"--set {edit}", bool(sep and keys))
        mine = params.setdefault(name, _texts_as_keys(stages[name].params.model_dump(mode="json")))
        steps = keys.split(".")
        if steps[0] == "languages" and len(steps) > 2 and steps[1] not in mine.get("languages", {}):
            notes.append(f"{name} had no entry for language '{steps[1]}': its other thresholds are now the fields' own, not 'default'")
        _put(mine, steps, read_yaml(value), f"--set {edit}")
    if not params:
        raise ConfigError("nothing is edited", "give --set STAGE.key=value or --file STAGE=FILE.yaml")
    made = [type(stages[n])(parse(p, stages[n].Params, where=f"{n}, edited")) for n, p in params.items()]
    return made, notes


def _known(stages: Mapping[str, Stage], name: str, where: str, form: bool) -> None:
    can = [n for n, s in stages.items() if from_numbers(s)]
    if not form or name not in stages:
        raise ConfigError(
            f"{where}: no stage '{name}'" if form else f"{where}: not of the form", f"write STAGE.key=value; stages: {', '.join(can)}"
        )
    if name not in can:
        raise ConfigError(f"{where}: stage {name} is not arithmetic over a table of the lake", f"stages that are: {', '.join(can)}")


def from_numbers(stage: Stage) -> bool:
    """Whether a stage's verdict is computed from one table other than documents, so that it costs next to nothing to do again."""
    if stage.output is None or not TABLES[stage.output].is_verdict or type(stage).prepare is not Stage.prepare:
        return False
    wanted = stage.inputs()
    return wanted.primary == "text_statistics" and not wanted.sidecars


def _read_params(file: Path) -> dict[str, Any]:
    import yaml

    try:
        data = read_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigError(
            f"{file}: cannot be read as YAML ({type(exc).__name__})", "give a file like those in governance/pipelines/filters"
        ) from exc
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: not a mapping", "write parameter: value")
    return data


def _texts_as_keys(value: Any) -> Any:
    return {str(k): _texts_as_keys(v) for k, v in value.items()} if isinstance(value, dict) else value


def _put(params: dict[str, Any], path: Sequence[str], value: Any, where: str) -> None:
    for key in path[:-1]:
        params = params.setdefault(key, {})
        if not isinstance(params, dict):
            raise ConfigError(f"{where}: '{key}' is a value, nothing lies below it", "leave the rest of the path out")
    params[path[-1]] = value


def what_if(
    lake: Lake, pipeline: Pipeline, stages: Sequence[Stage], slices: Sequence[Slice], *, samples: int = 0, characters: int = 160
) -> WhatIf:
    """What edited stages would change in some slices.

    Raises:
        InputError: a slice has no statistics or no verdict of an edited stage yet.
    """
    if not slices:
        raise InputError("no slice with documents to look at", "run 'headrace crawl' and 'headrace slice run text' first")
    select = next((s for s in pipeline.stages if isinstance(s, Select)), None)
    joined = select.params.verdicts if select is not None else tuple(_verdict(s) for s in stages)
    originals = {s.name: s for s in pipeline.stages}
    tables = _Tables(lake, slices)
    rows = _rows(tables, stages, joined)
    answer = WhatIf([], _totals(rows), _stale(lake, slices, [originals[s.name] for s in stages]), rows.num_rows)
    places: dict[int, list[tuple[str, str, str]]] = {}
    for stage in stages:
        answer.changes += _changes(rows, stage.name, places)
    answer.changes.sort(key=lambda c: (-c.documents, c.stage, c.source, c.language, c.rule, c.newly))
    if samples:
        _show(lake, answer.changes, places, samples, characters)
    return answer


def _verdict(stage: Stage) -> str:
    assert stage.output is not None
    return stage.output.removeprefix("verdict_")


class _Tables:
    """Reads some columns of the slices' rows, in one go a table, with a column `key` that names the document."""

    def __init__(self, lake: Lake, slices: Sequence[Slice]) -> None:
        self._lake = lake
        self._wanted = pa.array([str(s) for s in slices], pa.string())
        # Sources alone, so that the filter stays short however many slices there are; rows of other slices are left out below.
        sources = ", ".join(f"'{s}'" for s in sorted({s.source for s in slices}))
        self._where = f"source in ({sources})"

    def read(self, table: str, columns: Sequence[str]) -> pa.Table:
        """Rows of a table, keyed."""
        names = list(dict.fromkeys(["source", "slice", "uid", *columns]))
        parts = [self._keyed(rows) for rows in self._lake.stream(table, columns=names, where=self._where)]
        empty = pa.schema([TABLES[table].schema.field(n) for n in names]).empty_table()
        return pa.concat_tables([self._keyed(empty), *parts])

    def _keyed(self, rows: pa.Table) -> pa.Table:
        home = pc.binary_join_element_wise(rows["source"], rows["slice"], "/")
        rows = rows.append_column("key", pc.binary_join_element_wise(home, rows["uid"], "/"))
        return rows.filter(pc.is_in(home, value_set=self._wanted))


def _rows(tables: _Tables, stages: Sequence[Stage], joined: Sequence[str]) -> pa.Table:
    """The documents that every edited stage judges, before and after: `source`, `slice`, `uid`, `language`, `bytes`, `tokens`,
    `admitted`, `would` (be admitted), and of each stage `NAME.keep`, `NAME.would`, `NAME.reason`, `NAME.would_reason`."""
    rows = tables.read("documents", ["bytes"])
    keys = rows["key"]
    language = pc.fill_null(_aligned(keys, tables.read("text_statistics", ["language"]), "language"), "und")
    tokens = _aligned(keys, tables.read("passports", ["token_count"]), "token_count")
    rows = rows.append_column("language", language).append_column(
        "tokens", _or_estimated(tokens, rows["bytes"], language, _tokens_a_byte(tables))
    )
    others = pa.array(np.ones(len(keys), np.bool_))
    for verdict in sorted(set(joined) - {_verdict(s) for s in stages}):
        keep = _aligned(keys, tables.read(f"verdict_{verdict}", ["keep"]), "keep")
        others = pc.and_(others, pc.fill_null(keep, False))
    admitted = would = others
    judged = pa.array(np.ones(len(keys), np.bool_))
    for stage in stages:
        both = _both(tables, stage, keys)
        for name, column in both.items():
            rows = rows.append_column(f"{stage.name}.{name}", column)
        # A document that either verdict lacks was quarantined there; an edit does not bring it back.
        judged = pc.and_(judged, pc.and_(pc.is_valid(both["keep"]), pc.is_valid(both["would"])))
        if _verdict(stage) in joined:
            admitted, would = pc.and_(admitted, both["keep"]), pc.and_(would, both["would"])
    return rows.append_column("admitted", admitted).append_column("would", would).filter(judged)


def _both(tables: _Tables, stage: Stage, keys: pa.ChunkedArray) -> dict[str, pa.Array]:
    """Of each document, kept now and then, with the reasons; null where there is no verdict."""
    assert stage.output is not None
    wanted = stage.inputs()
    numbers = tables.read(wanted.primary, wanted.columns)
    current = tables.read(stage.output, ["keep", "reason"])
    for table, rows in ((wanted.primary, numbers), (stage.output, current)):
        if not rows.num_rows and len(keys):
            raise InputError(f"no rows in {table} for these slices", "run 'headrace slice run text' for them first")
    # The stage names its rows by uid and keeps their order, so the keys can be put beside them.
    then = pa.concat_tables([stage.process(numbers.slice(i, stage.batch_rows)) for i in range(0, numbers.num_rows, stage.batch_rows)])
    then = then.select(["keep", DROP_REASON]).append_column("key", numbers["key"])
    return {
        "keep": _aligned(keys, current, "keep"),
        "reason": _aligned(keys, current, "reason"),
        "would": _aligned(keys, then, "keep"),
        "would_reason": _aligned(keys, then, DROP_REASON),
    }


def _aligned(keys: pa.ChunkedArray, rows: pa.Table, column: str) -> pa.Array:
    """A column in the order of the documents; null where there is no row."""
    if not rows.num_rows:
        return pa.nulls(len(keys), rows.schema.field(column).type)
    if rows["key"].equals(keys):  # as most tables are: a stage keeps the order of its rows
        return rows[column].combine_chunks()
    at = pc.index_in(keys, value_set=rows["key"].combine_chunks())
    return rows[column].combine_chunks().take(at.combine_chunks())


def _or_estimated(tokens: pa.Array, size: pa.ChunkedArray, language: pa.Array, rates: Mapping[str, float]) -> pa.Array:
    """Tokens as counted, or else by the tokens a byte of the language."""
    codes = language.dictionary_encode()
    of_language = np.array([rates.get(name, rates.get("*", 0.0)) for name in codes.dictionary.to_pylist()], np.float64)
    rate = of_language[codes.indices.to_numpy(zero_copy_only=False)] if len(of_language) else np.zeros(len(size))
    return pc.coalesce(tokens, pa.array(np.rint(size.to_numpy() * rate).astype(np.int64)))


def _totals(rows: pa.Table) -> Totals:
    def sums(chosen: pa.ChunkedArray) -> list[int]:
        mine = rows.filter(chosen)
        return [mine.num_rows, *(int(pc.sum(mine[c]).as_py() or 0) for c in ("bytes", "tokens"))]

    now, then = rows["admitted"], rows["would"]
    return Totals(sums(now), sums(pc.and_(now, pc.invert(then))), sums(pc.and_(then, pc.invert(now))))


def _changes(rows: pa.Table, stage: str, places: dict[int, list[tuple[str, str, str]]]) -> list[Change]:
    """What changes in one stage's verdict; `places` takes the documents of each change, under its `id`."""
    rows = rows.filter(pc.not_equal(rows[f"{stage}.keep"], rows[f"{stage}.would"]))
    found: dict[tuple[str, ...], Change] = {}
    for row in rows.to_pylist():
        newly: Newly = "dropped" if row[f"{stage}.keep"] else "kept"
        rule = row[f"{stage}.{'would_reason' if newly == 'dropped' else 'reason'}"] or ""
        key = (row["source"], row["language"], rule, newly)
        change = found.setdefault(key, Change(stage, row["source"], row["language"], rule, newly))
        change.documents += 1
        change.bytes += row["bytes"]
        if row["admitted"] != row["would"]:
            change.admitted += 1
            change.admitted_bytes += row["bytes"]
            change.tokens += row["tokens"]
        places.setdefault(id(change), []).append((row["uid"], row["source"], row["slice"]))
    return list(found.values())


def _show(lake: Lake, changes: Sequence[Change], places: Mapping[int, list[tuple[str, str, str]]], samples: int, characters: int) -> None:
    """Samples by uid, which is a digest: the same every time, and of all slices alike."""
    chosen = [(c, [(Slice(source, slice_), uid) for uid, source, slice_ in sorted(places[id(c)])[:samples]]) for c in changes]
    texts = read_texts(lake, [place for _, mine in chosen for place in mine])
    for change, mine in chosen:
        change.samples = [(f"{s}/{uid}", " ".join(texts.get((s, uid), "")[: 4 * characters].split())[:characters]) for s, uid in mine]


def _tokens_a_byte(tables: _Tables) -> dict[str, float]:
    """Language → tokens a byte of what is tokenised; `*` for all together."""
    rows = tables.read("passports", ["language", "token_count", "byte_start", "byte_end"])
    rows = rows.append_column("bytes", pc.subtract(rows["byte_end"], rows["byte_start"]))
    groups = rows.group_by("language").aggregate([("token_count", "sum"), ("bytes", "sum")]).to_pylist()
    sums = {g["language"]: (g["token_count_sum"], g["bytes_sum"]) for g in groups}
    sums["*"] = (sum(t for t, _ in sums.values()), sum(b for _, b in sums.values()))
    return {name: tokens / size for name, (tokens, size) in sums.items() if size}


def _stale(lake: Lake, slices: Sequence[Slice], originals: Sequence[Stage]) -> list[str]:
    codes = StageCodes.of(lake)
    by_name = {s.name: s for s in originals}
    newest = {(r.source, r.slice, r.stage): r for r in lake.receipts() if r.stage in by_name}
    notes = []
    for name, stage in by_name.items():
        params = digest_of(stage.params.model_dump(mode="json"))
        mine = [r for s in slices if (r := newest.get((s.source, s.interval, name))) is not None]
        other, older = sum(r.params_digest != params for r in mine), sum(not codes.same(stage, r) for r in mine)
        if other:
            notes.append(f"{name} was run with other parameters than the pipeline's in {other} slices; the difference holds that too")
        if older:
            notes.append(f"{name} was run with other code in {older} slices; the difference may hold that too")
    return notes
