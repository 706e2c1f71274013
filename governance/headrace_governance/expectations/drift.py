"""Drift: the population stability index (PSI) of a column against the earlier slices of its source.

    PSI = sum over bins of (a - e) * ln(a / e),   a and e the bin's share now and earlier

A number is sorted into the quantiles of the earlier rows (ten by default), anything else is compared value by value; it is the
Kullback-Leibler divergence both ways, added (Jeffreys 1946). A share of zero counts as 1e-4. Rules of thumb from credit
scoring, where it was made (Siddiqi, Credit Risk Scorecards, 2006): below 0.1 nothing moved, above 0.25 it did; done.md asks
for 0.2. With nothing moved, PSI / (1/n + 1/m) follows chi-squared with bins - 1 degrees of freedom (Yurdakul 2018): at 400
rows on both sides its mean is 0.045 and its 95th percentile 0.085, at 50 rows 0.36 and 0.68, so a small slice is not judged.

Earlier slices are those that lie before this one by name, whose rows are visible now: a drift note depends on what has run,
a table never does. Cost: the listing of the source's files and one column of the `slices` newest of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, EqualTo, LessThan

from headrace_lake.lake import Lake
from headrace_lake.slices import Slice
from headrace_lake.tables import table_spec
from headrace_lake.tables.shards import parse_shard_path, read_shard

LEAST_SHARE = 1e-4


def psi(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """The index of two histograms over the same bins (counts or shares)."""
    a, e = (np.asarray(counts, float) / max(float(np.sum(counts)), 1e-300) for counts in (actual, expected))
    a, e = np.maximum(a, LEAST_SHARE), np.maximum(e, LEAST_SHARE)
    return float(np.sum((a - e) * np.log(a / e)))


def psi_of(rows: pa.ChunkedArray, earlier: pa.ChunkedArray, bins: int) -> float:
    """The index of a column's values; nulls are left out, both sides must have values."""
    rows, earlier = pc.drop_null(rows), pc.drop_null(earlier)
    if pa.types.is_integer(rows.type) or pa.types.is_floating(rows.type):
        before = earlier.to_numpy().astype(float)
        edges = np.unique(np.quantile(before, np.arange(1, bins) / bins))
        counts = [
            np.bincount(np.searchsorted(edges, v, side="left"), minlength=len(edges) + 1) for v in (rows.to_numpy().astype(float), before)
        ]
        return psi(*counts)
    tallies = [{c["values"]: c["counts"] for c in pc.value_counts(v).to_pylist()} for v in (rows, earlier)]
    values = sorted({*tallies[0], *tallies[1]}, key=str)
    return psi(*([t.get(v, 0) for v in values] for t in tallies))


def earlier_rows(lake: Lake, table: str, slice_: Slice, columns: list[str], slices: int) -> pa.Table:
    """Columns of the newest slices of the same source that lie before this one."""
    iceberg = lake.table(table)
    found = []
    if iceberg.current_snapshot() is not None:
        before = And(EqualTo("source", slice_.source), LessThan("slice", slice_.interval))
        found = [
            parse_shard_path(table, lake.storage.relative(t.file.file_path), t.file.record_count, t.file.file_size_in_bytes)
            for t in iceberg.scan(row_filter=before).plan_files()
        ]
    intervals = sorted({f.path.split("/")[3] for f in found})[-slices:]
    schema = pa.schema([f for f in table_spec(table).schema if f.name in columns])
    chosen = sorted((f for f in found if f.path.split("/")[3] in intervals), key=lambda f: f.path)
    return pa.concat_tables([schema.empty_table(), *(read_shard(lake.storage, f, schema) for f in chosen)])
