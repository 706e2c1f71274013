"""What tables are declared with: fields with units, and the columns that many tables share."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class TableSpec:
    """A table: its schema, the columns it is partitioned by, and one line on what it holds.

    Attributes:
        log: rows are only ever appended, and are read in the order of their commits.
    """

    name: str
    schema: pa.Schema
    partition: tuple[str, ...]
    doc: str
    key: str = "uid"
    log: bool = False

    @property
    def shape(self) -> tuple[object, ...]:
        """What two declarations of a table must agree on; not what they say for people."""
        columns = tuple((f.name, f.type, f.nullable) for f in self.schema)
        return columns, self.partition, self.key, self.log, tuple(self.objects.items())

    @property
    def objects(self) -> dict[str, str]:
        """Columns whose values mean objects of the lake, which live as long as the rows: `path`, or `KIND.SUFFIX` of a digest."""
        return {f.name: f.metadata[b"object"].decode() for f in self.schema if f.metadata and b"object" in f.metadata}

    @property
    def is_verdict(self) -> bool:
        """A verdict table keeps a row for dropped documents too (column `keep`)."""
        return "keep" in self.schema.names


def field(name: str, type_: pa.DataType, doc: str, *, unit: str = "", null: bool = False, object_: str = "") -> pa.Field:
    """A column.

    Args:
        object_: its values mean objects of the lake: `path`, relative to the root, or a digest, as a `KIND.SUFFIX` such as `evidence.json`.
    """
    meta = {"doc": doc} | ({"unit": unit} if unit else {}) | ({"object": object_} if object_ else {})
    return pa.field(name, type_, nullable=null, metadata=meta)


STRING, INT32, INT64, BOOL, FLOAT64 = pa.string(), pa.int32(), pa.int64(), pa.bool_(), pa.float64()
TIME = pa.timestamp("us", tz="UTC")

SLICE = [
    field("source", STRING, "source id"),
    field("slice", STRING, "interval id within the source"),
    field("part", INT32, "ordinal of the shard within the slice"),
]
ROW = [field("uid", STRING, "document id: digest of source, address and content (`headrace_lake.identity`), 32 hex digits"), *SLICE]
VERDICT = [
    *ROW,
    field("keep", BOOL, "the verdict"),
    field("reason", STRING, "why not, null when kept", null=True),
    field("measured", STRING, "measured values behind the verdict, JSON", null=True),
]


def spec(
    name: str, fields: list[pa.Field], doc: str, partition: tuple[str, ...] = ("source", "slice"), key: str = "uid", *, log: bool = False
) -> TableSpec:
    return TableSpec(name, pa.schema(fields), partition, doc, key, log)


def verdict(name: str, doc: str, extra: list[pa.Field] | None = None) -> TableSpec:
    return spec(name, [*VERDICT, *(extra or [])], doc)


def counts(unit: str, **columns: str) -> list[pa.Field]:
    return [field(name, INT64, doc, unit=unit) for name, doc in columns.items()]
