"""The lake: Iceberg tables, receipts and objects on a local folder or S3, with atomic replacement of slices.

`Lake.commit` is the only way in: all outputs of one or more stage runs and their receipts become visible together. What only reads is
in `lake_reader.py`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, Transaction

from headrace_lake.catalog_address import catalog_address
from headrace_lake.errors import LakeError, SliceConflict
from headrace_lake.fingerprint import file_digest
from headrace_lake.lake_reader import LakeReader, content_digest
from headrace_lake.receipts import Artifact, Receipt, ShardFile
from headrace_lake.slices import Slice
from headrace_lake.storage.objects import object_path
from headrace_lake.storage.storage import explained
from headrace_lake.tables import table_spec
from headrace_lake.tables.catalog import NAMESPACE, LakeCatalog, refuse_incompatible, replace_files
from headrace_lake.tables.shards import conform, write_shard

__all__ = ["ANY", "Lake", "StageCommit", "content_digest"]

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


class Lake(LakeReader):
    """One lake: storage, catalog and tables.

    Reading creates nothing: a lake that is not there has empty tables. The first write makes folder, catalog and table.
    """

    _may_write = False

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
