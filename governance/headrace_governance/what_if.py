"""What would this threshold change: verdicts computed again from statistics, in memory, and held against what the lake holds.

Only for verdicts that are arithmetic over a table of the lake (`RuleVerdict`: gopher_quality, gopher_repetition, fineweb, and any
stage like them); no text is read but the beginnings of a few samples, nothing is committed. The difference is between the
verdicts *as committed* and the edited parameters: where the pipeline's own parameters are no longer those of the receipt, or the
code is not, that is part of the difference, and a note says so.

Tokens of documents that would leave are counted (passports); of those that would come in, estimated from the bytes by the tokens a
byte of their language. Cost: 19 microseconds and 1.4 kB a document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.court.texts import read_texts
from headrace_governance.text.select import Select
from headrace_lake.engine import Pipeline
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import code_digest, digest_of
from headrace_lake.lake import Lake
from headrace_lake.schemas import TABLES
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_REASON, Stage
from headrace_lake.strict import parse, read_yaml

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
        raise ConfigError(f"{where}: stage {name} is no arithmetic over a table of the lake", f"stages that are: {', '.join(can)}")


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
    select = next((s for s in pipeline.stages if isinstance(s, Select)), None)
    joined = select.params.verdicts if select is not None else tuple(v for s in stages if (v := _verdict(s)))
    originals = {s.name: s for s in pipeline.stages}
    tables = _Tables(lake, slices)
    groups: dict[tuple[str, ...], Change] = {}
    shown: dict[tuple[str, ...], list[tuple[Slice, str]]] = {}
    rows = _rows(tables, stages, joined)
    rates = _tokens_a_byte(tables)
    answer = WhatIf([], Totals(), _stale(lake, slices, [originals[s.name] for s in stages]), len(rows))
    for row in rows:
        _count(answer.totals, row, rates)
        for stage in stages:
            _add(groups, shown, stage.name, row, rates)
    answer.changes = sorted(groups.values(), key=lambda c: (-c.documents, c.stage, c.source, c.language, c.rule, c.newly))
    if samples:
        _show(lake, groups, shown, samples, characters)
    return answer


@dataclass
class _Row:
    """One document: what it is, and for each edited stage (keeps now, would keep, reason now, reason then)."""

    slice_: Slice
    uid: str
    language: str
    bytes: int
    tokens: int | None
    others: bool
    stages: dict[str, tuple[bool, bool, str | None, str | None]]

    @property
    def admitted_now(self) -> bool:
        return self.others and all(now for now, _, _, _ in self.stages.values())

    @property
    def admitted_then(self) -> bool:
        return self.others and all(then for _, then, _, _ in self.stages.values())

    def tokens_or(self, rates: Mapping[str, float]) -> int:
        """Counted, or else estimated."""
        return self.tokens if self.tokens is not None else round(self.bytes * rates.get(self.language, rates.get("*", 0.0)))


def _verdict(stage: Stage) -> str:
    assert stage.output is not None
    return stage.output.removeprefix("verdict_")


_Both = tuple[bool, bool, str | None, str | None]


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


def _rows(tables: _Tables, stages: Sequence[Stage], joined: Sequence[str]) -> list[_Row]:
    documents = tables.read("documents", ["bytes"])
    keys = documents["key"]
    language = _aligned(keys, tables.read("text_statistics", ["language"]), "language")
    tokens = _aligned(keys, tables.read("passports", ["token_count"]), "token_count")
    others = [True] * len(keys)
    for verdict in sorted(set(joined) - {_verdict(s) for s in stages}):
        keep = _aligned(keys, tables.read(f"verdict_{verdict}", ["keep"]), "keep")
        others = [a and bool(k) for a, k in zip(others, keep, strict=True)]
    judged = {s.name: _both(tables, s, keys) for s in stages}
    found = []
    places = zip(*(documents[c].to_pylist() for c in ("source", "slice", "uid", "bytes")), strict=True)
    for i, (source, interval, uid, size) in enumerate(places):
        mine = {name: both for name, values in judged.items() if (both := values[i]) is not None}
        if len(mine) == len(stages):
            found.append(_Row(Slice(source, interval), uid, language[i] or "und", size, tokens[i], others[i], mine))
    return found


def _both(tables: _Tables, stage: Stage, keys: pa.ChunkedArray) -> list[_Both | None]:
    """For each document: kept now, kept then, the reasons; None where either verdict is missing (quarantined)."""
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
    columns = [_aligned(keys, current, "keep"), _aligned(keys, then, "keep"), _aligned(keys, current, "reason")]
    after = _aligned(keys, then, DROP_REASON)
    return [None if a is None or b is None else (a, b, c, d) for a, b, c, d in zip(*columns, after, strict=True)]


def _aligned(keys: pa.ChunkedArray, rows: pa.Table, column: str) -> list[Any]:
    """A column in the order of the documents; None where there is no row."""
    if not rows.num_rows:
        return [None] * len(keys)
    at = pc.index_in(keys, value_set=rows["key"].combine_chunks())
    values: list[Any] = rows[column].combine_chunks().take(at.combine_chunks()).to_pylist()
    return values


def _count(totals: Totals, row: _Row, rates: Mapping[str, float]) -> None:
    if row.admitted_now:
        _plus(totals.now, row, rates)
    if row.admitted_now and not row.admitted_then:
        _plus(totals.leave, row, rates)
    if row.admitted_then and not row.admitted_now:
        _plus(totals.enter, row, rates)


def _plus(sums: list[int], row: _Row, rates: Mapping[str, float]) -> None:
    for i, value in enumerate((1, row.bytes, row.tokens_or(rates))):
        sums[i] += value


def _add(
    groups: dict[tuple[str, ...], Change],
    shown: dict[tuple[str, ...], list[tuple[Slice, str]]],
    stage: str,
    row: _Row,
    rates: Mapping[str, float],
) -> None:
    now, then, reason_now, reason_then = row.stages[stage]
    if now == then:
        return
    newly: Newly = "dropped" if now else "kept"
    rule = (reason_then if now else reason_now) or ""
    key = (stage, row.slice_.source, row.language, rule, newly)
    change = groups.setdefault(key, Change(stage, row.slice_.source, row.language, rule, newly))
    change.documents += 1
    change.bytes += row.bytes
    if row.admitted_now != row.admitted_then:
        change.admitted += 1
        change.admitted_bytes += row.bytes
        change.tokens += row.tokens_or(rates)
    shown.setdefault(key, []).append((row.slice_, row.uid))


def _show(
    lake: Lake,
    groups: Mapping[tuple[str, ...], Change],
    shown: Mapping[tuple[str, ...], list[tuple[Slice, str]]],
    samples: int,
    characters: int,
) -> None:
    """Samples by uid, which is a digest: the same every time, and of all slices alike."""
    chosen = {key: sorted(rows, key=lambda r: (r[1], str(r[0])))[:samples] for key, rows in shown.items()}
    texts = read_texts(lake, [place for rows in chosen.values() for place in rows])
    for key, rows in chosen.items():
        groups[key].samples = [(f"{s}/{uid}", " ".join(texts.get((s, uid), "")[: 4 * characters].split())[:characters]) for s, uid in rows]


def _tokens_a_byte(tables: _Tables) -> dict[str, float]:
    """Language → tokens a byte of what is tokenised; `*` for all together."""
    rows = tables.read("passports", ["language", "token_count", "byte_start", "byte_end"])
    rows = rows.append_column("bytes", pc.subtract(rows["byte_end"], rows["byte_start"]))
    groups = rows.group_by("language").aggregate([("token_count", "sum"), ("bytes", "sum")]).to_pylist()
    sums = {g["language"]: (g["token_count_sum"], g["bytes_sum"]) for g in groups}
    sums["*"] = (sum(t for t, _ in sums.values()), sum(b for _, b in sums.values()))
    return {name: tokens / size for name, (tokens, size) in sums.items() if size}


def _stale(lake: Lake, slices: Sequence[Slice], originals: Sequence[Stage]) -> list[str]:
    digests = {s.name: (digest_of(s.params.model_dump(mode="json")), code_digest(type(s))) for s in originals}
    newest = {(r.source, r.slice, r.stage): r for r in lake.receipts() if r.stage in digests}
    notes = []
    for name, (params, code) in digests.items():
        mine = [r for s in slices if (r := newest.get((s.source, s.interval, name))) is not None]
        other, older = sum(r.params_digest != params for r in mine), sum(r.code != code for r in mine)
        if other:
            notes.append(f"{name} was run with other parameters than the pipeline's in {other} slices; the difference holds that too")
        if older:
            notes.append(f"{name} was run with other code in {older} slices; the difference may hold that too")
    return notes
