"""Vacuum: expire old snapshots and remove what no snapshot, receipt or artifact refers to.

Files younger than the grace time are never touched: a running stage writes shards before the commit that names them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyiceberg.table import Table

from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.storage.objects import object_path
from headrace_lake.tables import TABLES
from headrace_lake.tables.catalog import OBJECTS

_OBJECTS = "objects/"


@dataclass
class VacuumReport:
    """What was removed."""

    files: int = 0
    bytes: int = 0
    snapshots: int = 0


def vacuum(lake: Lake, *, older_than_seconds: float = 86_400.0, keep_snapshots: int = 20, dry_run: bool = False) -> VacuumReport:
    """Expire snapshots beyond the newest `keep_snapshots` of each table (tagged ones stay) and remove orphans."""
    report = VacuumReport()
    used: set[str] = set()
    for name in lake.table_names():
        table = lake.table(name)
        places = _objects_of_columns(name, table)
        tagged = {ref.snapshot_id for ref in table.metadata.refs.values()}
        ordered = [s.snapshot_id for s in sorted(table.metadata.snapshots, key=lambda s: s.sequence_number or 0)]
        old = [s for s in ordered[:-keep_snapshots] if s not in tagged]
        report.snapshots += len(old)
        if old and not dry_run:
            table.maintenance.expire_snapshots().by_ids(old).commit()
            table = lake.table(name)
        gone = set(old) if dry_run else set()
        used.add(lake.storage.relative(table.metadata_location))
        used |= {lake.storage.relative(entry.metadata_file) for entry in table.metadata.metadata_log}
        for snapshot in table.metadata.snapshots:
            if snapshot.snapshot_id in gone:
                continue
            used.add(lake.storage.relative(snapshot.manifest_list))
            used |= {lake.storage.relative(m.manifest_path) for m in snapshot.manifests(table.io)}
            files = lake.read_files(name, snapshot.snapshot_id)
            used |= {f.path for f in files}
            for column, place in places.items():
                values = _values(lake, name, column, snapshot.snapshot_id)
                used |= {place(value) for value in values if value}
    artifacts = {path.rstrip("/") for a in lake.artifacts() for path in _objects_of(lake, a)}
    for prefix in ("data", "tables", "objects", "work"):
        for stored in lake.storage.list(prefix):
            kept = stored.path in used or not artifacts.isdisjoint(_with_parents(stored.path))
            if kept or stored.age_seconds < older_than_seconds:
                continue
            report.files += 1
            report.bytes += stored.bytes
            if not dry_run:
                lake.storage.delete(stored.path)
    return report


def _objects_of_columns(name: str, table: Table) -> dict[str, Callable[[str], str]]:
    """Column → the object that a value of it means, by the declaration and by what the table itself says: of a stage that this process has
    not seen, of a column that is declared no more."""
    said = json.loads(table.properties.get(OBJECTS, "{}")) | (TABLES[name].objects if name in TABLES else {})
    places: dict[str, Callable[[str], str]] = {}
    for column, form in said.items():
        kind, _, suffix = form.partition(".")
        places[column] = str if form == "path" else partial(_object_of_digest, kind, suffix)
    return places


def _object_of_digest(kind: str, suffix: str, digest: str) -> str:
    return object_path(kind, digest, f".{suffix}")


def _values(lake: Lake, name: str, column: str, snapshot: int) -> list[str]:
    """Different values of a column at a snapshot; none where it had no such column yet."""
    table = lake.table(name)
    at = table.snapshot_by_id(snapshot)
    schemas = table.schemas()
    held = schemas.get(at.schema_id, table.schema()) if at is not None and at.schema_id is not None else table.schema()
    if column not in held.column_names:
        return []
    found: list[str] = table.scan(selected_fields=(column,), snapshot_id=snapshot).to_arrow()[column].unique().to_pylist()
    return found


def _with_parents(path: str) -> Iterator[str]:
    """`a/b/c` → `a/b/c`, `a/b`, `a`."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _objects_of(lake: Lake, artifact: Artifact) -> Iterator[str]:
    """What an artifact lives on: its path, and the objects that its payload or, where its path is a JSON object, that record names."""
    if artifact.path:
        yield artifact.path
    yield from _named(artifact.payload)
    if artifact.path.startswith(_OBJECTS) and artifact.path.endswith(".json") and lake.storage.exists(artifact.path):
        yield from _named(json.loads(lake.storage.read_bytes(artifact.path)))


def _named(value: Any) -> Iterator[str]:
    """Paths of objects anywhere in a JSON value."""
    if isinstance(value, str):
        if value.startswith(_OBJECTS):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _named(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named(item)
