"""The lake: Iceberg tables, receipts and objects on a local folder or S3, with atomic replacement of slices.

`Lake.commit` is the only way in: all outputs of one or more stage runs and their receipts become visible together.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, In
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, Transaction

from headrace_lake.catalog import NAMESPACE, LakeCatalog, refuse_incompatible, replace_files, unwritten
from headrace_lake.catalog_address import catalog_address
from headrace_lake.errors import InputError, LakeError, SliceConflict
from headrace_lake.fingerprint import digest_of, file_digest
from headrace_lake.listing import Entry, Listings, partition_columns, planned
from headrace_lake.objects import object_path
from headrace_lake.receipts import Artifact, Receipt, ShardFile
from headrace_lake.schemas import TABLES, TableSpec, table_spec
from headrace_lake.settings import Settings
from headrace_lake.shards import as_declared, conform, read_shard, without_column, write_shard
from headrace_lake.slices import Slice
from headrace_lake.storage import Storage, explained

ANY = "*"
"""`StageCommit.expects` for a writer that does not care whom it replaces."""
_ATTEMPTS = 40


@dataclass
class StageCommit:
    """The outputs of one stage run, ready to become visible.

    Attributes:
        receipt: its `outputs` name the files to register, its `tables` what it owns: an owned table without a
            new file is emptied for this slice.
        expects: run id of the receipt that this run saw as current when it started ("" if there was none);
            a different current receipt at commit time is a conflict. `ANY` replaces whatever is there.
    """

    receipt: Receipt
    expects: str = ANY


class Lake:
    """One lake: storage, catalog and tables.

    Reading creates nothing: a lake that is not there has empty tables. The first write makes folder, catalog and table.
    """

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self.storage = storage
        self.settings = settings
        self._catalog: LakeCatalog | None = None
        self._may_write = False
        self._listings = Listings(lambda table, snapshot: self._files(table, AlwaysTrue(), snapshot))
        self._contents: dict[str, tuple[int, pa.Table]] = {}
        self._answered: tuple[tuple[int | None, Slice], list[Receipt]] | None = None

    @classmethod
    def open(cls, settings: Settings) -> Lake:
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

    @property
    def catalog(self) -> LakeCatalog:
        """The catalog, to write with; made if there is none."""
        if self._catalog is None or not self._may_write:
            with explained(self.storage.root):
                if not self.storage.remote:
                    Path(self.storage.root).mkdir(parents=True, exist_ok=True)
            with explained(f"catalog of the lake at {self.storage.root} is not reachable"):
                self._catalog = self._catalog or LakeCatalog("headrace", **self._catalog_properties(catalog_address(self.settings)))
                self._catalog.make(NAMESPACE)
                self._may_write = True
        return self._catalog

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

    # -- tables --------------------------------------------------------------------------------------------------

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

    def refuse_incompatible(self, tables: Iterable[str]) -> None:
        """Refuse declarations that the lake's own tables cannot be changed to, before anything is computed for them.

        Raises:
            InputError: a column has another type than the files that are there.
        """
        there = set(self.table_names())
        for name in dict.fromkeys(tables):
            if name in there:
                refuse_incompatible(table_spec(name), self.table(name))

    def _own_table(self, name: str) -> Table:
        """The Iceberg table behind a name, to write; made if there is none."""
        with explained(f"table {name} of the lake at {self.storage.root}"):
            return self.catalog.ensure_table(table_spec(name), self.storage.uri(f"tables/{name}"))

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
        return as_declared(rows, pa.schema([spec.schema.field(n) for n in names]), f"table {table}")

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
        return self._files(table, _of_slice(table, slice_, stages), snapshot) if found is None else found

    def _files(self, table: Table, condition: BooleanExpression, snapshot: int | None) -> list[Entry]:
        if table.current_snapshot() is None:
            return []
        name = table.name()[-1]
        with explained(f"table {name} of the lake at {self.storage.root}"):
            return planned(table, condition, snapshot, self.storage.relative)

    # -- committing ----------------------------------------------------------------------------------------------

    def write_shard(self, table: str, slice_: Slice, part: int, rows: pa.Table) -> ShardFile:
        """Write one file of a table; it stays invisible until a commit names it."""
        return write_shard(self.storage, table_spec(table), slice_, part, rows)

    def commit(self, *commits: StageCommit) -> None:
        """Make the outputs and receipts of one or more stage runs visible, all or none.

        Concurrent commits to other slices are retried until both have landed.

        Raises:
            SliceConflict: somebody else committed the same stage and slice since `expects`; nothing of ours is visible.
        """
        receipts = self._receipt_shards([c.receipt for c in commits])
        touched: dict[str, list[StageCommit]] = {}
        for c in commits:
            for name in {*c.receipt.tables, *(o.table for o in c.receipt.outputs)}:
                touched.setdefault(name, []).append(c)
        for attempt in range(_ATTEMPTS):
            receipts_table = self._own_table("receipts")
            self._check_expected(commits, receipts_table)
            with explained(f"commit of {', '.join(c.receipt.stage for c in commits)}"):
                transactions = [tx for name, owners in touched.items() if (tx := self._replacement(name, owners)) is not None]
                tx = replace_files(receipts_table, [], self._data_files(receipts_table, receipts), _summary(commits))
                try:
                    self.catalog.commit_together([*transactions, tx])
                    return
                except CommitFailedException:
                    time.sleep(random.uniform(0.01, 0.05 * min(attempt + 1, 10)))
        raise LakeError(
            f"commit did not land in {_ATTEMPTS} attempts: other writers kept moving the tables", "run it again when the lake is quieter"
        )

    def _replacement(self, name: str, owners: Sequence[StageCommit]) -> Transaction | None:
        """A transaction that swaps the owners' slices of one table, or None if nothing changes."""
        table = self.catalog.evolved(table_spec(name), self.storage.uri(f"tables/{name}"))
        old: list[DataFile] = []
        new: list[ShardFile] = []
        for slice_ in dict.fromkeys(c.receipt.slice_ for c in owners):
            mine = [c.receipt for c in owners if c.receipt.slice_ == slice_]
            old += [e.file for e in self._files_of(table, slice_, None, [r.stage for r in mine])]
            new += [shard for r in mine for shard in r.outputs_of(name)]
        if {self.storage.relative(f.file_path) for f in old} == {s.path for s in new}:
            return None
        return replace_files(table, old, self._data_files(table, new), _summary(owners))

    def _data_files(self, table: Table, shards: Sequence[ShardFile]) -> list[DataFile]:
        from pyiceberg.io.pyarrow import parquet_file_to_data_file

        return [parquet_file_to_data_file(table.io, table.metadata, self.storage.uri(s.path)) for s in shards]

    def _check_expected(self, commits: Sequence[StageCommit], receipts: Table) -> None:
        snapshot = receipts.metadata.current_snapshot_id
        for c in commits:
            if c.expects == ANY:
                continue
            found = next((r for r in reversed(self._history(snapshot, c.receipt.slice_)) if r.stage == c.receipt.stage), None)
            if (found.run_id if found is not None else "") not in (c.expects, c.receipt.run_id):
                assert found is not None
                raise SliceConflict(
                    f"slice {found.slice_}, stage {found.stage}: run {found.run_id} "
                    f"(process {found.process} on {found.host}) committed first, "
                    f"at {found.finished_at:%Y-%m-%d %H:%M:%S} UTC, fingerprint {found.fingerprint[:12]}",
                    "its result stands; run again to replace it",
                )

    def _receipt_shards(self, receipts: Iterable[Receipt]) -> list[ShardFile]:
        rows: dict[Slice, list[Receipt]] = {}
        for r in receipts:
            rows.setdefault(r.slice_, []).append(r)
        return [write_shard(self.storage, table_spec("receipts"), s, 0, _receipt_rows(rs)) for s, rs in rows.items()]

    # -- receipts ------------------------------------------------------------------------------------------------

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

    # -- objects and artifacts -----------------------------------------------------------------------------------

    def put_object(self, local: str | Path, *, kind: str, suffix: str) -> str:
        """Store a file under its digest; returns its path relative to the root.

        An object that is there already is made young again: vacuum's time of grace counts from the last time it was stored.
        """
        with explained(str(local)):
            digest = file_digest(local)
        path = object_path(kind, digest, suffix)
        if self.storage.remote or not self.storage.holds(path, Path(local).stat().st_size):
            self.storage.put_file(local, path)
        else:
            os.utime(self.storage.local_path(path))
        return path

    def record_artifact(self, artifact: Artifact, *, unless: Callable[[list[Artifact]], None] | None = None) -> None:
        """Append an artifact; others see it at once.

        Args:
            unless: is told all artifacts of this kind that are there when it is committed, and raises where it must not be: what it has
                accepted is what the commit comes right after.

        Raises:
            LakeError: other writers kept moving the table.
        """
        row = conform(
            pa.Table.from_pylist([{**artifact.model_dump(exclude={"payload"}), "payload": json.dumps(artifact.payload, sort_keys=True)}]),
            table_spec("artifacts"),
        )
        shard = write_shard(self.storage, table_spec("artifacts"), Slice("artifacts", artifact.kind), 0, row)
        for attempt in range(_ATTEMPTS):
            table = self._own_table("artifacts")
            if unless is not None:
                unless(self._artifacts_at(table.metadata.current_snapshot_id, artifact.kind))
            with explained(f"artifact {artifact.name}"):
                tx = replace_files(table, [], self._data_files(table, [shard]), {"headrace.artifact": artifact.fingerprint})
                try:
                    self.catalog.commit_together([tx])
                    return
                except CommitFailedException:
                    time.sleep(random.uniform(0.01, 0.05 * min(attempt + 1, 10)))
        raise LakeError(f"artifact {artifact.name} could not be recorded in {_ATTEMPTS} attempts", "run it again")

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

    # -- versions ------------------------------------------------------------------------------------------------

    def tag(self, name: str, tables: Sequence[str] | None = None) -> dict[str, int]:
        """Name the current snapshot of tables (all by default), so it can be read again and is never vacuumed.

        An existing tag of that name moves. Returns table → snapshot id.
        """
        tagged: dict[str, int] = {}
        for t in tables if tables is not None else self.table_names():
            table = self.table(t)
            snapshot = table.current_snapshot()
            if snapshot is not None:
                table.manage_snapshots().create_tag(snapshot.snapshot_id, name).commit()
                tagged[t] = snapshot.snapshot_id
        return tagged

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


def row_filter(expression: str, where: str = "") -> BooleanExpression:
    """A row filter, parsed.

    Raises:
        InputError: it is none; names `where`, the part of it that the user wrote.
    """
    from pyiceberg.expressions.parser import parse

    try:
        return parse(expression)
    except Exception as exc:  # the parser's own kind of error, whose package is not ours to know
        problem = " ".join(str(exc).split())
        raise InputError(
            f"'{where or expression}' is no row filter: {problem}", "write for example \"language = 'zh' and bytes > 1000\""
        ) from exc


def expression_columns(expression: Any) -> set[str]:
    """The columns that a row filter names."""
    if hasattr(expression, "term"):
        return {expression.term.name}
    return set().union(*(expression_columns(getattr(expression, side)) for side in ("left", "right", "child") if hasattr(expression, side)))


def _of_slice(table: Table, slice_: Slice, stages: Sequence[str] = ()) -> BooleanExpression:
    if "source" not in table.schema().column_names:  # artifacts lie by kind, where slices lie by interval
        return EqualTo("kind", slice_.interval)
    condition: BooleanExpression = And(EqualTo("source", slice_.source), EqualTo("slice", slice_.interval))
    if stages and "stage" in partition_columns(table):
        condition = And(condition, In("stage", stages))
    return condition


def _receipt_rows(receipts: Sequence[Receipt]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "stage": r.stage,
                "fingerprint": r.fingerprint,
                "committed_at": r.finished_at,
                "read": r.counts.read,
                "kept": r.counts.kept,
                "dropped": r.counts.dropped,
                "failed": r.counts.failed,
                "receipt": r.model_dump_json(),
            }
            for r in receipts
        ]
    )


def _summary(commits: Sequence[StageCommit]) -> dict[str, str]:
    def joined(values: Iterable[str]) -> str:
        return ",".join(dict.fromkeys(values))

    rs = [c.receipt for c in commits]
    return {
        "headrace.stage": joined(r.stage for r in rs),
        "headrace.slice": joined(str(r.slice_) for r in rs),
        "headrace.fingerprint": joined(r.fingerprint for r in rs),
        "headrace.run": joined(r.run_id for r in rs),
    }


__all__ = ["ANY", "Lake", "StageCommit", "content_digest"]
