"""Shards: immutable, content-addressed Parquet files of a table.

The same rows give the same bytes and therefore the same name, `data/<table>/<source>/<slice>/<part>-<digest>.parquet`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_lake.errors import InputError, StageError, StorageError
from headrace_lake.fingerprint import digest_bytes
from headrace_lake.receipts import ShardFile
from headrace_lake.slices import Slice
from headrace_lake.storage.storage import Storage, explained
from headrace_lake.tables import TableSpec

_NAME = re.compile(r"(?<!\d)(\d{5,}+)-([0-9a-f]{32})\.parquet$")
_ROW_GROUP = 64 << 10


class ShardStore(Protocol):
    """Where shards are put: the lake's storage, or what gathers the writes of a part (`Storage.together`)."""

    def put_bytes(self, path: str, data: bytes | memoryview | pa.Buffer) -> bool:
        """Write an object; true."""
        ...


def conform(table: pa.Table, spec: TableSpec, slice_: Slice | None = None, part: int | None = None) -> pa.Table:
    """Add slice columns, order and cast to the declared schema.

    Raises:
        StageError: a column is missing, has another type, or holds nulls where none may be; names table and column.
    """
    columns: list[pa.ChunkedArray | pa.Array] = []
    constants = {"source": slice_.source, "slice": slice_.interval} if slice_ is not None else {}
    for field in spec.schema:
        if field.name in constants:
            column: pa.ChunkedArray | pa.Array = pa.repeat(pa.scalar(constants[field.name], field.type), table.num_rows)
        elif field.name == "part" and part is not None:
            column = pa.repeat(pa.scalar(part, field.type), table.num_rows)
        elif field.name in table.column_names:
            column = table.column(field.name)
        elif field.nullable:
            column = pa.nulls(table.num_rows, field.type)
        else:
            raise StageError(f"table {spec.name}: column '{field.name}' is missing", f"emit it as {field.type}")
        if not column.type.equals(field.type):
            try:
                column = column.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
                raise StageError(
                    f"table {spec.name}: column '{field.name}' is {column.type}, not {field.type} ({str(exc).splitlines()[0]})",
                    f"emit it as {field.type}",
                ) from exc
        if not field.nullable and column.null_count:
            raise StageError(f"table {spec.name}: column '{field.name}' has {column.null_count} nulls", "fill it, or declare it nullable")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=spec.schema)


def write_shard(store: ShardStore, spec: TableSpec, slice_: Slice, part: int, table: pa.Table) -> ShardFile:
    """Write one shard (at least one row) and return its reference. Atomic; a re-run writes the same bytes."""
    return store_conformed(store, spec, slice_, part, conform(table, spec, slice_, part))


def store_conformed(store: ShardStore, spec: TableSpec, slice_: Slice, part: int, rows: pa.Table) -> ShardFile:
    """`write_shard` for rows that `conform` returned for this very table, slice and part."""
    data = rows.combine_chunks()
    # What a declaration says for people (`doc`, `unit`) is not part of the bytes: editing it must not change a digest.
    data = pa.Table.from_arrays(data.columns, schema=pa.schema([field.remove_metadata() for field in data.schema]))
    sink = pa.BufferOutputStream()
    pq.write_table(
        data,
        sink,
        compression="zstd",
        compression_level=3,
        row_group_size=_ROW_GROUP,
        write_statistics=[c for c in data.column_names if c != "text"],
    )
    raw = sink.getvalue()
    digest = digest_bytes(memoryview(raw))
    path = f"data/{spec.name}/{slice_.source}/{slice_.interval}/{part:05d}-{digest}.parquet"
    store.put_bytes(path, raw)
    return ShardFile(table=spec.name, part=part, path=path, rows=data.num_rows, bytes=raw.size, digest=digest)


def read_shard(storage: Storage, shard: ShardFile, schema: pa.Schema | None = None) -> pa.Table:
    """The rows of one shard: as they are stored, or with the columns and types of a schema.

    A column that may be null and that the file does not hold, because it was declared later, is null.

    Raises:
        InputError: the file is missing, half-written, without one of the columns, or holds one of another type; names it.
    """
    try:
        with explained(shard.path), storage.open_input(shard.path) as f:
            # Not `read_table`, which makes a data set of the file: for shards of a few rows that takes longer than reading them.
            rows = pq.ParquetFile(f, pre_buffer=True).read(columns=None if schema is None else schema.names)
    except (pa.ArrowInvalid, KeyError) as exc:
        raise _unreadable(shard.path, exc) from exc
    except StorageError as exc:
        # Damaged pages surface as an OSError without a number; the operating system's own have one.
        if isinstance(exc.__cause__, OSError) and exc.__cause__.errno is None and not storage.remote:
            raise _unreadable(shard.path, exc.__cause__) from exc
        raise
    return rows if schema is None else as_declared(rows, schema, shard.path)


def as_declared(rows: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """Rows with the columns and types of a schema; what is not there and may be null is null.

    Raises:
        InputError: a column that may not be null is not there or holds nulls, or one is of another kind of type.
    """
    if rows.schema.equals(schema):
        return rows
    columns: list[pa.ChunkedArray | pa.Array] = []
    for field in schema:
        if field.name not in rows.column_names:
            if not field.nullable:
                raise without_column(where, field.name)
            columns.append(pa.nulls(rows.num_rows, field.type))
            continue
        column = rows[field.name]
        if column.type != field.type:
            if not _readable(column.type, field.type):
                raise InputError(
                    f"{where}: column '{field.name}' is {column.type}, but it is declared as {field.type}",
                    "declare it as it was, or give the new column a name of its own",
                )
            column = column.cast(field.type)
        if not field.nullable and column.null_count:
            raise InputError(
                f"{where}: column '{field.name}' holds {column.null_count} nulls, but it is declared as never null",
                "declare it nullable, or run the stage that writes it again, for the slices that are read",
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def stored_columns(storage: Storage, shard: ShardFile) -> list[str]:
    """The columns that one shard's file holds."""
    with explained(shard.path), storage.open_input(shard.path) as f:
        return list(pq.ParquetFile(f).schema_arrow.names)


_FAMILIES: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_integer,
    pa.types.is_floating,
    lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
    lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t),
    pa.types.is_timestamp,
    lambda t: pa.types.is_list(t) or pa.types.is_large_list(t),
    pa.types.is_struct,
)


def _readable(stored: pa.DataType, declared: pa.DataType) -> bool:
    """Whether values of a stored type are of the declared kind: another width of it, not text that happens to look like a number."""
    return any(family(stored) and family(declared) for family in _FAMILIES)


def without_column(where: str, column: str) -> InputError:
    """The error of rows that were written before a column was declared."""
    return InputError(
        f"{where}: no column '{column}': an older Headrace wrote it", "run the stage that writes it again, for the slices that are read"
    )


def _unreadable(path: str, exc: Exception) -> InputError:
    return InputError(f"{path}: not a readable Parquet file ({str(exc).splitlines()[0]})", "run the stage that writes it again")


def parse_shard_path(table: str, path: str, rows: int, size: int) -> ShardFile:
    """The reference of a file that the catalog lists."""
    match = _NAME.search(path)
    if match is None:
        raise InputError(f"{path}: not a shard of ours", "only files written by the engine belong to the lake")
    return ShardFile(table=table, part=int(match[1]), path=path, rows=rows, bytes=size, digest=match[2])
