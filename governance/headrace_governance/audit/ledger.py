"""The ledger: what each source and language declared, brought, lost and gave, read from the tables whenever it is asked.

Nothing is stored, so it cannot disagree with the lake. A source's row with language `*` holds what has no language yet
(declared tokens, captures) and the totals; the other rows hold what the language verdict found, whatever was declared.

    fetched        documents with text, as they were extracted
    clean          of those, what every verdict keeps that judges a document by itself
    deduplicated   of those, what the verdicts on duplicates keep
    admissible     of those, what `select` admitted: a verdict from every filter, under a licence that we may train on
    tokens         of those, what is tokenised: the only figure that is counted, not estimated

The other figures in tokens are those counted tokens plus an estimate for the documents that are not tokenised: their bytes
through the language's bytes per token, measured on all that is tokenised of it (`ratio_of` = language), or of everything where
the language has no token yet (pool). Bytes are everywhere those of the stored texts (`documents.text`), in the ratio too: what masks
and cuts take away is part of it. A verdict's drops are read from the exclusions, so a stage that was added to a pipeline
counts without being named here; those whose name holds `duplicate` are on duplicates.

Epochs: `planned_tokens` is what the newest mix draws from a source, `effective_epochs` how often that repeats its tokens; more
than 4 costs quality (Muennighoff et al. 2023, arXiv:2305.16264). Cost: a few columns of seven tables, no text: about 150 bytes
of memory a document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

ALL = "*"
"""The language of a source's total."""
LEVELS = ("fetched", "clean", "deduplicated", "admissible")
"""What remains, step by step; each has `_documents`, `_bytes` and `_tokens`."""
MOST_EPOCHS = 4.0
_BESIDE = ("select", "tokenise")
"""Stages that drop what others have judged: no filter of their own."""


def _field(name: str, type_: pa.DataType, doc: str, unit: str = "") -> pa.Field:
    return pa.field(name, type_, metadata={"doc": doc} | ({"unit": unit} if unit else {}))


SCHEMA = pa.schema(
    [
        _field("source", pa.string(), "source id"),
        _field("language", pa.string(), "ISO 639-1 code, `*` for the source's total"),
        _field("declared_tokens", pa.int64(), "what the source is thought to hold", "tokens"),
        _field("captures", pa.int64(), "responses and files that were kept", "responses"),
        _field("captured_bytes", pa.int64(), "with their markup", "bytes"),
        *(
            _field(f"{level}_{unit}", pa.int64(), f"{level}, {what}", unit)
            for level in LEVELS
            for unit, what in (
                ("documents", "documents"),
                ("bytes", "bytes of the stored texts in UTF-8"),
                ("tokens", "tokens (estimated where not tokenised)"),
            )
        ),
        _field("tokens", pa.int64(), "counted in the token shards, end-of-document tokens included", "tokens"),
        _field("estimated_tokens", pa.int64(), "of the admissible tokens, those whose documents are not tokenised", "tokens"),
        _field("bytes_per_token", pa.float64(), "the ratio that estimates were made with: bytes of stored text a token", "bytes/token"),
        _field("ratio_of", pa.string(), "where the ratio was measured: language or pool"),
        _field("planned_tokens", pa.int64(), "what the newest mix draws from the source", "tokens"),
        _field("effective_epochs", pa.float64(), "planned tokens over tokens", "epochs"),
    ]
)
_KEYS = ["source", "slice", "uid"]
_Rows = dict[tuple[str, str], dict[str, int]]


class TableReader(Protocol):
    """What the ledger needs of a lake."""

    def read(self, table: str, *, columns: Sequence[str] | None = None) -> pa.Table:
        """Some columns of a whole table."""
        ...


def ledger(lake: TableReader, declared: Mapping[str, int | None]) -> pa.Table:
    """The ledger as a table of `SCHEMA`, ordered by source and language, `*` first.

    Args:
        declared: source id → declared tokens; a source that is only declared has a row too.
    """
    language = lake.read("verdict_language", columns=[*_KEYS, "language"])
    fetched = _with(lake.read("documents", columns=[*_KEYS, "bytes"]), language)
    excluded = lake.read("exclusions", columns=[*_KEYS, "stage"])
    excluded = excluded.filter(pc.invert(pc.is_in(excluded["stage"], value_set=pa.array(_BESIDE))))
    doubles = pc.match_substring(excluded["stage"], "duplicate")
    clean = _without(fetched, excluded.filter(pc.invert(doubles)))
    captures = lake.read("captures", columns=["source", "content_bytes"])
    captures = captures.append_column("language", pa.array([ALL] * captures.num_rows, pa.string()))
    passports = lake.read("passports", columns=["source", "language", "token_count", "byte_start", "byte_end"])
    passports = passports.append_column("bytes", pc.subtract(passports["byte_end"], passports["byte_start"]))

    rows: _Rows = {}
    _count(rows, captures, {"captures": None, "captured_bytes": "content_bytes"})
    admitted = lake.read("admitted", columns=["source", "language", "bytes"])
    for level, table in zip(LEVELS, (fetched, clean, _without(clean, excluded.filter(doubles)), admitted), strict=True):
        _count(rows, table, {f"{level}_documents": None, f"{level}_bytes": "bytes"})
    _count(rows, passports, {"tokens": "token_count", "tokenised_bytes": "bytes"})
    ratios = _estimate(rows)
    _add_totals(rows, set(declared))
    planned = _planned(lake)
    return pa.Table.from_pylist([_row(s, lang, rows[s, lang], declared, ratios, planned) for s, lang in sorted(rows)], schema=SCHEMA)


def _with(table: pa.Table, language: pa.Table) -> pa.Table:
    """The table with a `language` column; `und` where no verdict was made."""
    joined = table.join(language, keys=_KEYS, join_type="left outer")
    return joined.set_column(joined.column_names.index("language"), "language", pc.fill_null(joined["language"], "und"))


def _without(table: pa.Table, dropped: pa.Table) -> pa.Table:
    return table.join(dropped.select(_KEYS), keys=_KEYS, join_type="left anti")


def _count(rows: _Rows, table: pa.Table, what: Mapping[str, str | None]) -> None:
    """Add to the rows, by source and language: number of table rows (None) or the sum of a column."""
    sums = [(column, "sum") for column in what.values() if column is not None]
    groups = table.group_by(["source", "language"]).aggregate([*sums, ([], "count_all")])
    for group in groups.to_pylist():
        row = rows.setdefault((group["source"], group["language"]), {})
        for name, column in what.items():
            row[name] = group["count_all" if column is None else f"{column}_sum"] or 0


def _estimate(rows: _Rows) -> dict[str, tuple[float, str]]:
    """Fill in tokens of every level; returns language → (bytes per token, where it was measured), `ALL` for the pool's."""
    measured: dict[str, list[int]] = {}
    for (_, language), row in rows.items():
        for key in (language, ALL):
            sums = measured.setdefault(key, [0, 0])
            sums[0] += row.get("tokenised_bytes", 0)
            sums[1] += row.get("tokens", 0)
    ratios = {k: (b / t, "pool" if k == ALL else "language") for k, (b, t) in measured.items() if t}
    for (_, language), row in rows.items():
        ratio = ratios.get(language, ratios.get(ALL))
        for level in LEVELS:
            rest = max(0, row.get(f"{level}_bytes", 0) - row.get("tokenised_bytes", 0))
            row[f"{level}_tokens"] = row.get("tokens", 0) + (round(rest / ratio[0]) if ratio else 0)
        row["estimated_tokens"] = row["admissible_tokens"] - row.get("tokens", 0)
    return ratios


def _add_totals(rows: _Rows, declared: set[str]) -> None:
    for source in {s for s, _ in rows} | declared:
        total = rows.setdefault((source, ALL), {})
        for (s, language), row in rows.items():
            if s == source and language != ALL:
                for name, value in row.items():
                    total[name] = total.get(name, 0) + value


def _planned(lake: TableReader) -> dict[str, int]:
    """Source → tokens that the newest mix draws from it."""
    made = lake.read("artifacts", columns=["kind", "payload"])  # in the order of their commits
    mixes = made.filter(pc.equal(made["kind"], "mix"))
    if not mixes.num_rows:
        return {}
    sources: dict[str, dict[str, Any]] = json.loads(mixes["payload"][-1].as_py()).get("by_source", {})
    return {source: int(entry["planned_tokens"]) for source, entry in sources.items()}


def _row(
    source: str,
    language: str,
    counts: Mapping[str, int],
    declared: Mapping[str, int | None],
    ratios: Mapping[str, tuple[float, str]],
    planned: Mapping[str, int],
) -> dict[str, object]:
    row: dict[str, object] = {f.name: counts.get(f.name, 0) for f in SCHEMA if f.type == pa.int64()}
    total = language == ALL
    tokens = counts.get("tokens", 0)
    draws = planned.get(source) if total else None
    ratio = (None, None) if total else ratios.get(language, ratios.get(ALL, (None, None)))
    row |= {
        "source": source,
        "language": language,
        "declared_tokens": declared.get(source) if total else None,
        "bytes_per_token": ratio[0],
        "ratio_of": ratio[1],
        "planned_tokens": draws,
        "effective_epochs": draws / tokens if draws is not None and tokens else None,
    }
    return row if total else row | {"captures": None, "captured_bytes": None}
