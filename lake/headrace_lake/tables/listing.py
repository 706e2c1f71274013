"""Files of a table by slice, listed once a snapshot.

A run over many slices asks for the files of each at every table and every commit, and pyiceberg reads and evaluates all manifests of the
table each time: 2,500 plans for 25 slices of the text line, a third of a processor's time in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table import ManifestGroupPlanner, Table

from headrace_lake.receipts import ShardFile
from headrace_lake.slices import Slice
from headrace_lake.tables.shards import parse_shard_path

LISTED_AT_MOST = 20_000
"""Files of a table that are kept in memory (about 2 KB each); of a larger one pyiceberg is asked for each slice."""


class Entry(NamedTuple):
    """A file of a table at a snapshot.

    Attributes:
        sequence: Iceberg's data sequence number (table spec, version 2): of the commit that added the file. It is counted up by one at
            every commit of the table, so it orders commits whatever the writers' clocks say, and a merge of manifests keeps it.
    """

    file: DataFile
    shard: ShardFile
    sequence: int

    @property
    def committed(self) -> tuple[int, str]:
        """Sort key: the order of the commits; files of one commit by path."""
        return self.sequence, self.shard.path


def planned(table: Table, condition: BooleanExpression, snapshot: int | None, relative: Callable[[str], str]) -> list[Entry]:
    """The files of a table that may hold rows that match a filter, read from the manifests of a snapshot (the current one by default).

    Args:
        relative: an address of a file → its path below the lake's root.
    """
    at = table.current_snapshot() if snapshot is None else table.snapshot_by_id(snapshot)
    if at is None:
        return []
    name = table.name()[-1]
    planner = ManifestGroupPlanner(table.metadata, table.io, condition)
    found = (entry for entries in planner.plan_manifest_entries(at.manifests(table.io)) for entry in entries)
    return [
        Entry(
            e.data_file,
            parse_shard_path(name, relative(e.data_file.file_path), e.data_file.record_count, e.data_file.file_size_in_bytes),
            e.sequence_number or 0,
        )
        for e in found
        if e.data_file.content == DataFileContent.DATA
    ]


def partition_columns(table: Table) -> list[str]:
    """The columns that a table is partitioned by, in order."""
    return [f.name for f in table.spec().fields]


class Listings:
    """The last listing of each table.

    Args:
        all_files: every file of a table at a snapshot.
    """

    def __init__(self, all_files: Callable[[Table, int], list[Entry]]) -> None:
        self._all_files = all_files
        self._known: dict[str, tuple[int, dict[tuple[str, str], list[Entry]]]] = {}

    def files_of(self, table: Table, slice_: Slice, snapshot: int | None, stages: Sequence[str] = ()) -> list[Entry] | None:
        """Files of a slice (of some stages, in a table that keeps them apart); None where the table is too large to be listed."""
        listed = self._listed(table, snapshot)
        if listed is None:
            return None
        mine = listed.get((slice_.source, slice_.interval), [])
        columns = partition_columns(table)
        if stages and "stage" in columns:
            place = columns.index("stage")
            return [entry for entry in mine if entry.file.partition[place] in stages]
        return list(mine)

    def by_slice(self, table: Table, snapshot: int | None = None) -> dict[tuple[str, str], list[Entry]]:
        """Every slice's files, (source, interval) → files. An older snapshot, or a table that is too large to be kept, is listed anew."""
        current = table.metadata.current_snapshot_id
        if current is None:
            return {}
        listed = self._listed(table, None) if snapshot in (None, current) else None
        return _grouped(self._all_files(table, snapshot or current)) if listed is None else listed

    def _listed(self, table: Table, snapshot: int | None) -> dict[tuple[str, str], list[Entry]] | None:
        at = table.current_snapshot() if snapshot is None else table.snapshot_by_id(snapshot)
        if at is None or at.summary is None:
            return None
        name = table.name()[-1]
        if name not in self._known or self._known[name][0] != at.snapshot_id:
            if int(at.summary.additional_properties.get("total-data-files", LISTED_AT_MOST + 1)) > LISTED_AT_MOST:
                return None
            self._known[name] = (at.snapshot_id, _grouped(self._all_files(table, at.snapshot_id)))
        return self._known[name][1]


def _grouped(entries: Iterable[Entry]) -> dict[tuple[str, str], list[Entry]]:
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        _, _, source, interval, _ = entry.shard.path.split("/")
        found.setdefault((source, interval), []).append(entry)
    return found
