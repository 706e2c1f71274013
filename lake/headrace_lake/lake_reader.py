"""Reading a lake: tables, slices, receipts, artifacts, tags; nothing here creates or changes anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table import Table

from headrace_lake.catalog_address import catalog_address
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.receipts import Artifact, Receipt, ShardFile
from headrace_lake.row_filters import expression_columns, of_slice, row_filter
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.storage.storage import Storage, explained
from headrace_lake.tables import TABLES, TableSpec, table_spec
from headrace_lake.tables.catalog import NAMESPACE, LakeCatalog, unwritten
from headrace_lake.tables.listing import Entry, Listings, planned
from headrace_lake.tables.shards import as_declared, read_shard, stored_columns, without_column


class LakeReader:
    """What can be asked of a lake. One that is not there has empty tables, and stays unmade."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self.storage = storage
        self.settings = settings
        self._catalog: LakeCatalog | None = None
        self._listings = Listings(lambda table, snapshot: self._files(table, AlwaysTrue(), snapshot))
        self._contents: dict[str, tuple[int, pa.Table]] = {}
        self._answered: tuple[tuple[int | None, Slice], list[Receipt]] | None = None

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the lake of the settings.

        Raises:
            LakeError: the catalog cannot be reached.
        """
        lake = cls(Storage(settings.lake, Path(settings.base)), settings)
        lake._connected()
        return lake

    @property
    def exists(self) -> bool:
        """Has anything ever been written to it?"""
        return self._connected() is not None

    def _connected(self) -> LakeCatalog | None:
        """The catalog, to read with; None where there is none."""
        if self._catalog is None:
            with explained(f"catalog of the lake at {self.storage.root} is not reachable"):
                uri = catalog_address(self.settings)
                file = uri.removeprefix("sqlite:///").partition("?")[0]
                if uri.startswith("sqlite:///") and not Path(file).exists():
                    return None  # connecting would make it
                catalog = LakeCatalog("headrace", **self._catalog_properties(uri))
                if not catalog.made():
                    catalog.engine.dispose()
                    return None
                self._catalog = catalog
        return self._catalog

    def _catalog_properties(self, uri: str) -> dict[str, str]:
        return {"uri": uri, "schema_version": "v1", "init_catalog_tables": "false", **self.storage.iceberg_properties()}

    def table(self, name: str) -> Table:
        """The Iceberg table behind a name, to read; pyiceberg, DuckDB, Trino and Spark read it as it is.

        One that was never written is empty, and stays unmade.

        Raises:
            ConfigError: no table of that name is in the lake or declared.
        """
        location = self.storage.uri(f"tables/{name}")
        with explained(f"table {name} of the lake at {self.storage.root}"):
            catalog = self._connected()
            if name not in TABLES and catalog is not None and name in catalog.table_names():
                return catalog.load_table((NAMESPACE, name))  # of a stage that this process has not seen
            spec = table_spec(name)
            return unwritten(spec, location, self.storage.iceberg_properties()) if catalog is None else catalog.find_table(spec, location)

    def table_names(self) -> list[str]:
        """The tables that have been written, whether they are declared today or not."""
        catalog = self._connected()
        return catalog.table_names() if catalog is not None else []

    def slice_files(self, table: str, slice_: Slice, *, snapshot: int | None = None) -> list[ShardFile]:
        """The current files of one slice of a table, by part."""
        return sorted((e.shard for e in self._files_of(self.table(table), slice_, snapshot)), key=lambda s: (s.part, s.path))

    def read_files(self, table: str, snapshot: int) -> list[ShardFile]:
        """All files of a table at one snapshot."""
        return [e.shard for e in self._files(self.table(table), AlwaysTrue(), snapshot)]

    def slices(self, table: str) -> list[Slice]:
        """All slices that have rows in a table."""
        return sorted(Slice(source, interval) for source, interval in self._listings.by_slice(self.table(table)))

    def contents(self, table: str, snapshot: int | None = None) -> tuple[int | None, pa.Table]:
        """The snapshot (the current one by default; None of an empty table) and `source`, `slice`, `digest` of every slice in it, sorted.

        The digest is of the slice's files, so no file is read. The last answer for each table is kept.
        """
        iceberg = self.table(table)
        at = iceberg.metadata.current_snapshot_id if snapshot is None else snapshot
        known = self._contents.get(table)
        if at is None or known is None or known[0] != at:
            listed = {} if at is None else self._listings.by_slice(iceberg, at)
            rows = [
                {"source": s, "slice": i, "digest": content_digest([e.shard for e in files])} for (s, i), files in sorted(listed.items())
            ]
            made = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in ("source", "slice", "digest")]))
            if at is None or snapshot is not None:
                return at, made
            known = self._contents[table] = (at, made)
        return known

    def read(
        self,
        table: str,
        slice_: Slice | None = None,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        tag: str | None = None,
        snapshot: int | None = None,
    ) -> pa.Table:
        """Rows of a table: one slice or all, as it is now, at a tag or at a snapshot. Those of a log (`receipts`, `artifacts`) come in the
        order of their commits.

        Args:
            where: an Iceberg row filter such as `language = 'zh'`.

        Raises:
            InputError: the tag or snapshot is not known, or the filter is none.
        """
        spec = table_spec(table)
        iceberg = self.table(table)
        if snapshot is not None and iceberg.snapshot_by_id(snapshot) is None:
            raise InputError(f"table {table} has no snapshot {snapshot}", f"'headrace table history {table}' lists them")
        version = snapshot if tag is None else self._tagged(iceberg, table, tag)
        if version == -1:
            return pa.table({f.name: pa.array([], f.type) for f in spec.schema}).select(list(columns or spec.schema.names))
        if where is None:
            found = self._files(iceberg, AlwaysTrue(), version) if slice_ is None else self._files_of(iceberg, slice_, version)
            names = list(columns) if columns is not None else spec.schema.names
            schema = pa.schema([spec.schema.field(n) for n in names])
            return pa.concat_tables([schema.empty_table(), *(read_shard(self.storage, s, schema) for s in _ordered(found, spec))])
        expression: Any = where if slice_ is None else f"({where}) and source = '{slice_.source}' and slice = '{slice_.interval}'"
        at = iceberg.snapshot_by_id(version) if version is not None else None
        of_snapshot = iceberg.schemas().get(at.schema_id) if at is not None and at.schema_id is not None else None
        there = set((of_snapshot or iceberg.schema()).column_names)
        names = list(columns) if columns is not None else spec.schema.names
        for name in names:
            if name in spec.schema.names and name not in there and not spec.schema.field(name).nullable:
                raise without_column(f"table {table}", name)
        selected = tuple(n for n in names if n in there or n not in spec.schema.names) or (
            next(n for n in spec.schema.names if n in there),
        )
        condition = row_filter(expression, where)
        try:
            if spec.log:
                rows = self._matching(iceberg, spec, condition, columns, version)
            else:
                rows = iceberg.scan(condition, selected_fields=selected, snapshot_id=version).to_arrow()
        except ValueError as exc:  # a column that the table does not have
            raise InputError(f"table {table}: filter '{where}': {exc}", f"columns: {', '.join(spec.schema.names)}") from exc
        schema = pa.schema([spec.schema.field(n) for n in names])
        for field in schema:  # a file from before a column was declared comes with nulls in it
            if not field.nullable and field.name in rows.column_names and rows[field.name].null_count:
                files = (e.shard for e in self._files(iceberg, condition, version))
                if any(field.name not in stored_columns(self.storage, shard) for shard in files):
                    raise without_column(f"table {table}", field.name)
        return as_declared(rows, schema, f"table {table}")

    def _matching(
        self, table: Table, spec: TableSpec, condition: BooleanExpression, columns: Sequence[str] | None, snapshot: int | None
    ) -> pa.Table:
        """Rows of a log that match a filter, in the order of their commits."""
        from pyiceberg.expressions.visitors import bind
        from pyiceberg.io.pyarrow import expression_to_pyarrow

        wanted = expression_to_pyarrow(bind(table.schema(), condition, case_sensitive=True), table.schema())
        names = list(dict.fromkeys([*(columns or spec.schema.names), *sorted(expression_columns(condition))]))
        schema = pa.schema([spec.schema.field(n) for n in names])
        shards = _ordered(self._files(table, condition, snapshot), spec)
        return pa.concat_tables([schema.empty_table(), *(read_shard(self.storage, s, schema) for s in shards)]).filter(wanted)

    def stream(self, table: str, *, columns: Sequence[str], where: str) -> Iterator[pa.Table]:
        """Rows of the slices that match a filter over `source` and `slice` alone, one file at a time, in a fixed order.

        Raises:
            InputError: the filter is none, or asks for another column: whole files are read, so it would be left unheeded.
        """
        condition = row_filter(where)
        for name in expression_columns(condition):
            if name not in ("source", "slice"):
                raise InputError(f"table {table}: a stream cannot be filtered by '{name}'", "filter by source and slice, then the rows")
        schema = pa.schema([table_spec(table).schema.field(n) for n in columns])
        for shard in sorted((e.shard for e in self._files(self.table(table), condition, None)), key=lambda s: s.path):
            yield read_shard(self.storage, shard, schema)

    def _files_of(self, table: Table, slice_: Slice, snapshot: int | None, stages: Sequence[str] = ()) -> list[Entry]:
        """Files of a slice (of some stages, in a table that keeps them apart)."""
        found = self._listings.files_of(table, slice_, snapshot, stages)
        return self._files(table, of_slice(table, slice_, stages), snapshot) if found is None else found

    def _files(self, table: Table, condition: BooleanExpression, snapshot: int | None) -> list[Entry]:
        if table.current_snapshot() is None:
            return []
        name = table.name()[-1]
        with explained(f"table {name} of the lake at {self.storage.root}"):
            return planned(table, condition, snapshot, self.storage.relative)

    def receipts(self, slice_: Slice | None = None, stage: str | None = None) -> list[Receipt]:
        """Receipts in the order of their commits, whatever the writers' clocks said."""
        snapshot = self.table("receipts").metadata.current_snapshot_id
        if slice_ is None:
            return self._read_receipts(snapshot, None, stage)
        return [r for r in self._history(snapshot, slice_) if stage is None or r.stage == stage]

    def _history(self, snapshot: int | None, slice_: Slice) -> list[Receipt]:
        """Receipts of a slice as of a snapshot. The last answer is kept, for a run asks before every stage and at every commit."""
        asked = (snapshot, slice_)
        if self._answered is None or self._answered[0] != asked:
            self._answered = (asked, self._read_receipts(snapshot, slice_, None))
        return self._answered[1]

    def _read_receipts(self, snapshot: int | None, slice_: Slice | None, stage: str | None) -> list[Receipt]:
        if snapshot is None:
            return []
        rows = self.read("receipts", slice_, columns=["stage", "receipt"], snapshot=snapshot)
        every = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        return [Receipt.model_validate_json(text) for s, text in every if stage is None or s == stage]

    def current_receipts(self, slice_: Slice) -> dict[str, Receipt]:
        """Stage → the receipt whose outputs are visible now."""
        return {r.stage: r for r in self.receipts(slice_)}

    def artifacts(self, kind: str | None = None) -> list[Artifact]:
        """Artifacts (of a kind) in the order of their commits, whatever the recorders' clocks said; only that kind's files are read."""
        return self._artifacts_at(self.table("artifacts").metadata.current_snapshot_id, kind)

    def _artifacts_at(self, snapshot: int | None, kind: str | None) -> list[Artifact]:
        if snapshot is None:
            return []
        rows = self.read("artifacts", None if kind is None else Slice("artifacts", kind), snapshot=snapshot).to_pylist()
        return [Artifact(**{**r, "payload": json.loads(r["payload"])}) for r in rows]

    def find_artifact(self, kind: str, *, fingerprint: str | None = None, name: str | None = None) -> Artifact | None:
        """The last recorded artifact of a kind with this fingerprint and/or name."""
        for a in reversed(self.artifacts(kind)):
            if fingerprint in (None, a.fingerprint) and name in (None, a.name):
                return a
        return None

    def tags(self) -> dict[str, dict[str, int]]:
        """Tag → table → snapshot id."""
        found: dict[str, dict[str, int]] = {}
        for t in self.table_names():
            for name, ref in self.table(t).metadata.refs.items():
                if ref.snapshot_ref_type == "tag":
                    found.setdefault(name, {})[t] = ref.snapshot_id
        return found

    def _tagged(self, table: Table, name: str, tag: str) -> int:
        ref = table.metadata.refs.get(tag)
        if ref is not None:
            return ref.snapshot_id
        known = self.tags()
        if tag in known:
            return -1  # the table was still empty when the tag was set
        raise InputError(f"table {name} has no tag '{tag}'", f"tags: {', '.join(sorted(known)) or 'none'}")

    def history(self, table: str) -> list[dict[str, Any]]:
        """Snapshots of a table, oldest first: id, time, operation, and which stage run made it."""
        rows = []
        for s in self.table(table).metadata.snapshots:
            summary = dict(s.summary.additional_properties) if s.summary is not None else {}
            rows.append(
                {
                    "snapshot": s.snapshot_id,
                    "at": s.timestamp_ms / 1000,
                    "operation": s.summary.operation.value if s.summary is not None else "",
                    "rows": int(summary.get("total-records", 0)),
                    **{k.removeprefix("headrace."): v for k, v in summary.items() if k.startswith("headrace.")},
                }
            )
        return rows


def _ordered(entries: Sequence[Entry], spec: TableSpec) -> list[ShardFile]:
    """Files in the order in which their rows are read: of a log by commit, of another table by slice and part."""
    if spec.log:
        return [e.shard for e in sorted(entries, key=lambda e: e.committed)]
    return sorted((e.shard for e in entries), key=lambda s: (s.path.rpartition("/")[0], s.part, s.path))


def content_digest(shards: Sequence[ShardFile]) -> str:
    """Digest of a slice's content: of its files' parts and digests."""
    return digest_of(sorted([s.part, s.digest] for s in shards))
