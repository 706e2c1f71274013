"""Vacuum: expire old snapshots and remove what no snapshot, receipt or artifact refers to.

Files younger than the grace time are never touched: a running stage writes shards before the commit that names them.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace_lake.lake import Lake
from headrace_lake.schemas import TABLES

_REFERENCES = {"captures": ("warc_path",), "token_shards": ("bin_path", "idx_path")}


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
    for name in TABLES:
        table = lake.table(name)
        tagged = {ref.snapshot_id for ref in table.metadata.refs.values()}
        ordered = [s.snapshot_id for s in sorted(table.metadata.snapshots, key=lambda s: s.timestamp_ms)]
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
            for column in _REFERENCES.get(name, ()):
                used |= set(lake.read(name, columns=[column], snapshot=snapshot.snapshot_id)[column].to_pylist())
    artifacts = {a.path for a in lake.artifacts() if a.path}
    for prefix in ("data", "tables", "objects", "work"):
        for stored in lake.storage.list(prefix):
            kept = stored.path in used or any(stored.path == a or stored.path.startswith(a.rstrip("/") + "/") for a in artifacts)
            if kept or stored.age_seconds < older_than_seconds:
                continue
            report.files += 1
            report.bytes += stored.bytes
            if not dry_run:
                lake.storage.delete(stored.path)
    return report
