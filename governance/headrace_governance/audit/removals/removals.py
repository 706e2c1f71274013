"""Removals: what the verdicts of some slices do not keep, one row a verdict and document, with what strata are made of.

Read from verdict tables alone; no text. A document that three verdicts drop is three removals, since each verdict is judged for
itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake, content_digest
from headrace_lake.nearest import did_you_mean
from headrace_lake.slices import Slice
from headrace_lake.tables import TABLES
from headrace_lake.terminal.choosing import is_pattern, slices_of_lake

PREFIX = "verdict_"
SCHEMA = pa.schema(
    [
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("language", pa.string()),
        ("source", pa.string()),
        ("slice", pa.string()),
        ("uid", pa.string()),
        ("measured", pa.string()),
        ("keeper", pa.string()),
        ("copies", pa.int64()),
        ("similarity", pa.float64()),
    ]
)
"""`keeper` (source/slice/uid), `copies` and `similarity` are null for filters; `similarity` for exact duplicates too."""


@dataclass(frozen=True)
class Judged:
    """A verdict on a slice: the receipt that made it, and the digest of what it says."""

    verdict: str
    slice: str
    receipt: str
    digest: str


def slices_named(lake: Lake, names: Sequence[str]) -> list[Slice]:
    """The slices that `SOURCE/INTERVAL`, `SOURCE` (all its slices) and patterns (`choosing.py`) mean, sorted.

    Raises:
        InputError: the lake holds no slice of a source.
    """
    found: set[Slice] = set()
    known: list[Slice] | None = None
    for name in names:
        if is_pattern(name):
            found |= set(slices_of_lake(lake, [name], table="documents"))
            continue
        if "/" in name:
            found.add(Slice.parse(name))
            continue
        known = lake.slices("documents") if known is None else known
        mine = [s for s in known if s.source == name]
        if not mine:
            way_out = did_you_mean(name, (s.source for s in known), of="sources with documents")
            raise InputError(f"source {name} has no documents in the lake at {lake.storage.root}", way_out)
        found |= set(mine)
    return sorted(found, key=str)


def all_verdicts() -> list[str]:
    """Names of all verdicts, in the order of their tables."""
    return [name.removeprefix(PREFIX) for name, spec in TABLES.items() if spec.is_verdict]


def check_verdicts(names: Sequence[str]) -> list[str]:
    """The names, all verdicts if there are none.

    Raises:
        ConfigError: one is not a verdict.
    """
    known = all_verdicts()
    for name in names:
        if name not in known:
            raise ConfigError(f"no verdict '{name}'", f"verdicts: {', '.join(known)}")
    return [v for v in known if v in names] if names else known


def read_removals(lake: Lake, slices: Sequence[Slice], verdicts: Sequence[str]) -> tuple[pa.Table, list[Judged]]:
    """Removals by the verdicts in these slices, and which verdicts on which slices that was.

    Raises:
        InputError: none of the verdicts has been made for a slice.
    """
    tables, judged = [SCHEMA.empty_table()], []
    for slice_ in slices:
        receipts = lake.current_receipts(slice_).values()
        languages = lake.read("verdict_language", slice_, columns=["uid", "language"])
        mine = []
        for verdict in verdicts:
            receipt = next((r for r in receipts if PREFIX + verdict in r.tables), None)
            if receipt is not None:
                mine.append(Judged(verdict, str(slice_), receipt.fingerprint, content_digest(lake.slice_files(PREFIX + verdict, slice_))))
                tables.append(_removed(lake, slice_, verdict, languages))
        if not mine:
            raise InputError(f"slice {slice_}: no verdict of {', '.join(verdicts)}", f"run 'headrace slice run text {slice_}'")
        judged += mine
    return pa.concat_tables(tables), judged


def _removed(lake: Lake, slice_: Slice, verdict: str, languages: pa.Table) -> pa.Table:
    duplicates = "keeper" in TABLES[PREFIX + verdict].schema.names
    columns = ["uid", "source", "slice", "keep", "reason", "measured", *(("keeper", "copies") if duplicates else ())]
    rows = lake.read(PREFIX + verdict, slice_, columns=columns)
    rows = rows.filter(pc.invert(rows["keep"]))
    at = (
        pc.index_in(rows["uid"], value_set=languages["uid"].combine_chunks()) if languages.num_rows else pa.nulls(rows.num_rows, pa.int32())
    )
    n = rows.num_rows
    return pa.table(
        {
            "verdict": pa.array([verdict] * n, pa.string()),
            "reason": rows["reason"],
            "language": pc.fill_null(languages["language"].combine_chunks().take(at), "und"),
            "source": rows["source"],
            "slice": rows["slice"],
            "uid": rows["uid"],
            "measured": rows["measured"],
            "keeper": rows["keeper"] if duplicates else pa.nulls(n, pa.string()),
            "copies": rows["copies"] if duplicates else pa.nulls(n, pa.int64()),
            "similarity": pa.array([_similarity(m) for m in rows["measured"].to_pylist()] if duplicates else [None] * n, pa.float64()),
        },
        schema=SCHEMA,
    )


def _similarity(measured: str | None) -> float | None:
    value = json.loads(measured).get("similarity") if measured else None
    return float(value) if isinstance(value, int | float) else None
