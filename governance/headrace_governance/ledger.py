"""The ledger: what each source and language declared, brought, lost and gave, read from the tables whenever it is asked.

Nothing is stored, so it cannot disagree with the lake. A source's row with language `*` holds what has no language yet
(declared tokens, captures) and the totals; the other rows hold what the language verdict found, whatever was declared.
Cost: a few columns of seven tables, no text: about 100 bytes of memory a document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

ALL = "*"
"""The language of a source's total."""

SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False, metadata={"doc": "ISO 639-1 code, `*` for the source's total"}),
        pa.field("declared_tokens", pa.int64(), metadata={"unit": "tokens"}),
        pa.field("captures", pa.int64(), metadata={"unit": "responses"}),
        pa.field("captured_bytes", pa.int64(), metadata={"unit": "bytes"}),
        pa.field("clean_documents", pa.int64(), nullable=False, metadata={"unit": "documents"}),
        pa.field("clean_bytes", pa.int64(), nullable=False, metadata={"unit": "bytes"}),
        pa.field("deduplicated_documents", pa.int64(), nullable=False, metadata={"unit": "documents"}),
        pa.field("admitted_documents", pa.int64(), nullable=False, metadata={"unit": "documents"}),
        pa.field("admitted_bytes", pa.int64(), nullable=False, metadata={"unit": "bytes"}),
        pa.field("tokens", pa.int64(), nullable=False, metadata={"unit": "tokens"}),
    ]
)
_KEYS = ["source", "slice", "uid"]


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
    documents = _with(lake.read("documents", columns=[*_KEYS, "bytes"]), language)
    unique = lake.read("verdict_exact_duplicate", columns=[*_KEYS, "keep"])
    unique = _with(unique.filter(unique["keep"]), language)
    admitted = lake.read("admitted", columns=["source", "language", "bytes"])
    passports = lake.read("passports", columns=["source", "language", "token_count"])
    captures = lake.read("captures", columns=["source", "content_bytes"])
    captures = captures.append_column("language", pa.array([ALL] * captures.num_rows, pa.string()))

    rows: dict[tuple[str, str], dict[str, int]] = {}
    _count(rows, captures, {"captures": None, "captured_bytes": "content_bytes"})
    _count(rows, documents, {"clean_documents": None, "clean_bytes": "bytes"})
    _count(rows, unique, {"deduplicated_documents": None})
    _count(rows, admitted, {"admitted_documents": None, "admitted_bytes": "bytes"})
    _count(rows, passports, {"tokens": "token_count"})
    _add_totals(rows, set(declared))
    return pa.Table.from_pylist([_row(source, lang, rows[source, lang], declared) for source, lang in sorted(rows)], schema=SCHEMA)


def _with(table: pa.Table, language: pa.Table) -> pa.Table:
    """The table with a `language` column; `und` where no verdict was made."""
    joined = table.join(language, keys=_KEYS, join_type="left outer")
    return joined.set_column(joined.column_names.index("language"), "language", pc.fill_null(joined["language"], "und"))


def _count(rows: dict[tuple[str, str], dict[str, int]], table: pa.Table, what: Mapping[str, str | None]) -> None:
    """Add to the rows, by source and language: number of table rows (None) or the sum of a column."""
    sums = [(column, "sum") for column in what.values() if column is not None]
    groups = table.group_by(["source", "language"]).aggregate([*sums, ([], "count_all")])
    for group in groups.to_pylist():
        row = rows.setdefault((group["source"], group["language"]), {})
        for name, column in what.items():
            row[name] = group["count_all" if column is None else f"{column}_sum"] or 0


def _add_totals(rows: dict[tuple[str, str], dict[str, int]], declared: set[str]) -> None:
    for source in {s for s, _ in rows} | declared:
        total = rows.setdefault((source, ALL), {})
        for (s, language), row in rows.items():
            if s == source and language != ALL:
                for name, value in row.items():
                    total[name] = total.get(name, 0) + value


def _row(source: str, language: str, counts: Mapping[str, int], declared: Mapping[str, int | None]) -> dict[str, object]:
    of_source = {
        "declared_tokens": declared.get(source),
        "captures": counts.get("captures", 0),
        "captured_bytes": counts.get("captured_bytes", 0),
    }
    known = of_source if language == ALL else dict.fromkeys(of_source)
    rest = {f.name: counts.get(f.name, 0) for f in SCHEMA if f.name not in ("source", "language", *of_source)}
    return {"source": source, "language": language, **known, **rest}
