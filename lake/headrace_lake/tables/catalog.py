"""The Iceberg catalog in SQLite or Postgres, with the one thing pyiceberg's own lacks: a commit over several tables.

A stage run changes its output tables, the exclusion and quarantine tables and the receipts together or not at all.
Iceberg commits one table by swapping the pointer to its metadata file; the pointers live in one SQL table, so swapping
several in one SQL transaction is atomic. A pointer that moved meanwhile rolls everything back (optimistic locking).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.io import FileIO, load_file_io
from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import CommitTableResponse, StagedTable, Table, Transaction
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.table.update.snapshot import _ManifestMergeManager, _OverwriteFiles
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Identifier
from pyiceberg.types import DoubleType, FloatType, IntegerType, ListType, LongType, StructType
from sqlalchemy import inspect, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_incrementing

from headrace_lake.errors import InputError
from headrace_lake.jobs.ledger import CommitGuard
from headrace_lake.tables import TableSpec

NAMESPACE = "headrace"
OBJECTS = "headrace.objects"
"""Property of a table: which columns mean objects (`TableSpec.objects`), for processes that do not know its declaration."""
_MANIFEST_BYTES = 8 << 20
_MANIFESTS_BEFORE_MERGE = 24
_SCHEMA_ATTEMPTS = 5


class LakeCatalog(SqlCatalog):
    """A SQL catalog that can commit several tables at once.

    What it last read of a table is kept: a metadata file is never changed, so only the pointer to it is asked for again.
    """

    def __init__(self, name: str, **properties: str) -> None:
        super().__init__(name, **properties)
        self._known: dict[Identifier, Table] = {}
        self._guard = CommitGuard.of_environment()

    def _convert_orm_to_iceberg(self, orm_table: IcebergTables) -> Table:
        identifier = (*Catalog.identifier_to_tuple(orm_table.table_namespace), orm_table.table_name)
        known = self._known.get(identifier)
        if known is None or known.metadata_location != orm_table.metadata_location:
            known = self._known[identifier] = super()._convert_orm_to_iceberg(orm_table)
        # One of its own for every caller: a table moves on when it commits or is refreshed.
        return Table(identifier, known.metadata, known.metadata_location, known.io, self)

    def made(self) -> bool:
        """Are the catalog's own tables there? Asks only."""
        return bool(inspect(self.engine).has_table(IcebergTables.__tablename__))

    @retry(
        retry=retry_if_exception_type((IntegrityError, OperationalError, ProgrammingError)),  # another process was making the same
        stop=stop_after_attempt(_SCHEMA_ATTEMPTS),
        wait=wait_incrementing(0.05, 0.05),
        reraise=True,
    )
    def make(self, namespace: str) -> None:
        """Create the catalog's own tables and a namespace where they are missing (races are fine)."""
        self.create_tables()
        self.create_namespace_if_not_exists(namespace)

    def table_names(self) -> list[str]:
        """The tables that exist."""
        return sorted(name for _, name in self.list_tables(NAMESPACE))

    def find_table(self, spec: TableSpec, location: str) -> Table:
        """The table, to read: one without rows, kept nowhere, if it does not exist."""
        try:
            return self.load_table((NAMESPACE, spec.name))
        except NoSuchTableError:
            return unwritten(spec, location, self.properties)

    def ensure_table(self, spec: TableSpec, location: str) -> Table:
        """The table, created with its partition and name mapping if it does not exist (races are fine)."""
        identifier = (NAMESPACE, spec.name)
        try:
            return self.load_table(identifier)
        except NoSuchTableError:
            pass
        schema, partition = _declared(spec)
        mapping = schema.name_mapping.model_dump_json()
        stats = {f"write.metadata.metrics.column.{c}": "full" for c in {*spec.partition, "part"} if c in spec.schema.names}
        try:
            return self.create_table(
                identifier,
                schema,
                location=location,
                partition_spec=partition,
                properties={
                    "write.metadata.metrics.default": "none",
                    **stats,
                    "schema.name-mapping.default": mapping,
                    OBJECTS: json.dumps(spec.objects),
                },
            )
        except TableAlreadyExistsError:
            return self.load_table(identifier)

    def evolved(self, spec: TableSpec, location: str) -> Table:
        """The table with every column of its declaration: what an older Headrace created lacks those that came since.

        They are optional in Iceberg, because the files that are there do not hold them; what writes rows still must fill them. A column
        that is declared no more stays, and becomes optional. A type may only grow (int to long, float to double), as Iceberg allows.

        Raises:
            InputError: a column has another type than the files that are there.
        """
        table = self.ensure_table(spec, location)
        wanted = self._convert_schema_if_needed(spec.schema)
        refuse_incompatible(spec, table)
        for _ in range(_SCHEMA_ATTEMPTS):
            there = {f.name: f for f in table.schema().fields}
            grown = [f for f in wanted.fields if f.name not in there or _grows(there[f.name].field_type, f.field_type)]
            declared = {f.name: f for f in wanted.fields}
            loosened = [f.name for f in there.values() if f.required and (f.name not in declared or not declared[f.name].required)]
            objects = json.dumps(spec.objects)
            if not grown and not loosened and table.properties.get(OBJECTS, "{}") == objects:
                return table
            try:
                with table.transaction() as transaction:
                    with transaction.update_schema() as update:
                        if grown:
                            added = [f if f.name in there else f.model_copy(update={"required": False}) for f in grown]
                            update.union_by_name(Schema(*added))
                        for name in loosened:
                            update.make_column_optional(name)
                    transaction.set_properties({OBJECTS: objects})
            except CommitFailedException:  # another process was changing them
                pass
            table = self.load_table((NAMESPACE, spec.name))
        raise CommitFailedException(f"columns of table {spec.name} could not be changed")

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit one table alone (tags, columns, expired snapshots), unless this process's job was stopped."""
        with self.engine.connect() as connection:
            self._guard.check(connection)
        return super().commit_table(table, requirements, updates)

    def commit_together(self, transactions: Sequence[Transaction]) -> None:
        """Commit all transactions or none.

        Raises:
            CommitFailedException: another writer moved one of the tables; nothing of ours is visible.
            JobStopped: this process belongs to a job that was stopped; nothing of ours is visible.
        """
        staged: list[tuple[Table, StagedTable]] = []
        for tx in sorted(transactions, key=lambda t: t._table.name()):
            if not tx._updates:
                continue
            table = tx._table
            new = self._update_and_stage_table(table, table.name(), tx._requirements, tx._updates)
            self._write_metadata(metadata=new.metadata, io=new.io, metadata_path=new.metadata_location)
            staged.append((table, new))
        with Session(self.engine) as session:
            # One fixed order of rows, so that two writers never wait for each other in a circle.
            for table, new in staged:
                name = table.name()
                result = session.execute(
                    update(IcebergTables)
                    .where(
                        IcebergTables.catalog_name == self.name,
                        IcebergTables.table_namespace == Catalog.namespace_to_string(Catalog.namespace_from(name)),
                        IcebergTables.table_name == Catalog.table_name_from(name),
                        IcebergTables.metadata_location == table.metadata_location,
                    )
                    .values(metadata_location=new.metadata_location, previous_metadata_location=table.metadata_location)
                )
                if result.rowcount != 1:  # type: ignore[attr-defined]
                    session.rollback()
                    raise CommitFailedException(f"table {name[-1]} was updated by another process")
            # Last, when the rows above are held: what stops the job comes before this commit or after it, never between.
            self._guard.admit(session.connection(), [_summary_of(new) for _, new in staged])
            session.commit()


def refuse_incompatible(spec: TableSpec, table: Table) -> None:
    """Refuse a declaration whose columns have other types than those of a table that is there.

    Raises:
        InputError: names table, column, both types and the way out.
    """
    there = {f.name: f.field_type for f in table.schema().fields}
    for field in Catalog._convert_schema_if_needed(spec.schema).fields:
        old = there.get(field.name)
        if old is None or _same(old, field.field_type) or _grows(old, field.field_type):
            continue
        raise InputError(
            f"table {spec.name}: column '{field.name}' is declared as {field.field_type}, but the lake's table has {old}",
            "declare it as it was, or give the new column a name of its own; a type may only grow (int to long, float to double)",
        )


def _same(one: Any, other: Any) -> bool:
    """Whether two Iceberg types are equal but for the numbers of their fields and what may be null in a list."""
    if isinstance(one, ListType) and isinstance(other, ListType):
        return _same(one.element_type, other.element_type)
    if isinstance(one, StructType) and isinstance(other, StructType):
        pairs = zip(one.fields, other.fields, strict=False)
        return len(one.fields) == len(other.fields) and all(a.name == b.name and _same(a.field_type, b.field_type) for a, b in pairs)
    return bool(one == other)


def _grows(old: Any, new: Any) -> bool:
    """Whether Iceberg may read the values of a type as a wider one (Iceberg specification, schema evolution)."""
    return (isinstance(old, IntegerType) and isinstance(new, LongType)) or (isinstance(old, FloatType) and isinstance(new, DoubleType))


def _summary_of(staged: StagedTable) -> dict[str, str]:
    snapshot = staged.metadata.current_snapshot()
    return dict(snapshot.summary.additional_properties) if snapshot is not None and snapshot.summary is not None else {}


def unwritten(spec: TableSpec, location: str, properties: Mapping[str, str]) -> Table:
    """A table without rows that is in no catalog: what readers get of one that nobody has written yet."""
    schema, partition = _declared(spec)
    metadata = new_table_metadata(schema, partition, UNSORTED_SORT_ORDER, location)
    return Table((NAMESPACE, spec.name), metadata, "", load_file_io(dict(properties), location), NoopCatalog("unwritten"))


def _declared(spec: TableSpec) -> tuple[Schema, PartitionSpec]:
    """The Iceberg schema and partition of a declaration."""
    schema = assign_fresh_schema_ids(Catalog._convert_schema_if_needed(spec.schema))
    fields = [
        PartitionField(schema.find_field(name).field_id, 1000 + i, IdentityTransform(), name) for i, name in enumerate(spec.partition)
    ]
    return schema, PartitionSpec(*fields)


class LakeTransaction(Transaction):
    """A transaction that shows the table's own metadata while nothing is staged; pyiceberg's makes a deep copy at every look."""

    @property
    def table_metadata(self) -> TableMetadata:
        return super().table_metadata if self._updates else self._table.metadata


class ReplaceFiles(_OverwriteFiles):
    """An overwrite in one snapshot that also merges small manifests, so that thousands of slices stay quick to plan."""

    def __init__(self, transaction: Transaction, io: FileIO, properties: dict[str, str]) -> None:
        super().__init__(operation=Operation.OVERWRITE, transaction=transaction, io=io, snapshot_properties=properties)

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        merger = _ManifestMergeManager(
            target_size_bytes=_MANIFEST_BYTES, min_count_to_merge=_MANIFESTS_BEFORE_MERGE, merge_enabled=True, snapshot_producer=self
        )
        data = [m for m in manifests if m.content == ManifestContent.DATA]
        return merger.merge_manifests(data) + [m for m in manifests if m.content != ManifestContent.DATA]


def replace_files(table: Table, old: Sequence[DataFile], new: Sequence[DataFile], properties: dict[str, str]) -> Transaction:
    """A transaction with one snapshot staged that removes `old` and adds `new`; a file in both stays untouched."""
    tx = LakeTransaction(table)
    kept = {f.file_path for f in old} & {f.file_path for f in new}
    producer = ReplaceFiles(tx, table.io, properties)
    for file in old:
        if file.file_path not in kept:
            producer.delete_data_file(file)
    for file in new:
        if file.file_path not in kept:
            producer.append_data_file(file)
    producer.commit()
    return tx
