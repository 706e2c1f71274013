"""Every table of the lake: its Arrow schema with units, declared once and checked at every write.

A field's metadata holds `unit` (bytes, characters, tokens, nats, seconds ...) and `doc`. All tables of slices
carry `source`, `slice` (the partition) and `part`, the ordinal of the shard within its slice: row group `part` of
a verdict table belongs to row group `part` of the documents, so a join never shuffles.
"""

from __future__ import annotations

from headrace_lake.errors import ConfigError
from headrace_lake.schemas.fields import TableSpec
from headrace_lake.schemas.lake import LAKE_TABLES
from headrace_lake.schemas.text import TEXT_TABLES

__all__ = ["TABLES", "TableSpec", "table_spec"]

TABLES: dict[str, TableSpec] = {s.name: s for s in (*LAKE_TABLES, *TEXT_TABLES)}


def table_spec(name: str) -> TableSpec:
    """The declaration of a table.

    Raises:
        ConfigError: no such table; the message names the nearest one.
    """
    if name in TABLES:
        return TABLES[name]
    from headrace_lake.nearest import did_you_mean

    raise ConfigError(f"no table '{name}'", did_you_mean(name, TABLES, of="tables"))
