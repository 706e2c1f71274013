"""Expectations: our metrics over Arrow and their bounds, beside Great Expectations on the rows themselves.

    python benchmarks/text/bench_expectations.py --rows 200000

Data: a made-up `documents` table from a seed (ids, lengths, titles, licence classes). Both sides hold the expectations of the shipped
suite that Great Expectations has too (drift and the row count of another table are not in it); the verdicts are compared first. The
library judges a pandas frame of the columns that the suite names, made beforehand. Times are of the processor, in this one process;
the import is told apart. Last, what a small slice costs: all expectations of the suite on 100 rows, as an engine's run of one stage.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_governance.expectations.metrics import Around, measure
from headrace_governance.expectations.suite import Drift, Expectation, RowCountOfOther, load_suite

SUITE = Path(__file__).parents[2] / "governance" / "policies" / "expectations" / "documents.yaml"
NOWHERE = Around(rows_of=lambda table: 0, earlier=lambda slices: pa.table({}))


def documents(rows: int) -> pa.Table:
    """Rows of a `documents` table without the text."""
    rng = np.random.default_rng(7)
    characters = np.exp(rng.normal(7, 1, rows)).astype(np.int64) + 1
    ids = [rng.bytes(16).hex() for _ in range(rows)]
    return pa.table(
        {
            "uid": ids,
            "characters": characters,
            "bytes": characters + rng.integers(0, 99, rows),
            "replaced_characters": (rng.random(rows) < 0.002).astype(np.int64),
            "licence_class": rng.choice(["public", "share-alike"], rows).tolist(),
            "title": pa.array(ids, mask=rng.random(rows) < 0.1),
            "content_digest": [i[::-1] for i in ids],
        }
    )


def theirs(gx: Any, batch_of: Any, frame: Any, expectations: list[Expectation]) -> list[bool]:
    """Great Expectations on the rows."""
    made = []
    for i, e in enumerate(expectations):
        arguments = e.model_dump(exclude={"expect", "severity", "from_rows", "why"}, exclude_none=True)
        cls = getattr(gx.expectations, "Expect" + "".join(w.capitalize() for w in e.expect.split("_")))
        made.append(cls(**{k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}, meta={"index": i}))
    suite = gx.ExpectationSuite("rows", expectations=made)
    results = sorted(batch_of(frame).validate(suite).results, key=lambda r: r.expectation_config.meta["index"])
    return [bool(r.success) for r in results]


def ours(rows: pa.Table, expectations: list[Expectation]) -> list[bool | None]:
    """Our numbers and their bounds: what the validator does."""
    return [measure(e, rows, NOWHERE).success for e in expectations]


def great_expectations() -> tuple[Any, Any]:
    """The library, and a function that makes its batch of a data frame."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    definition = context.data_sources.add_pandas("rows").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("rows")
    return gx, lambda frame: definition.get_batch({"dataframe": frame})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = documents(parser.parse_args().rows)
    expectations = [e for e in load_suite(SUITE).expectations if not isinstance(e, Drift | RowCountOfOther)]
    start = time.process_time()
    gx, batch_of = great_expectations()
    print(f"great_expectations {version('great_expectations')}: import and context {time.process_time() - start:.1f} s")
    frame = rows.to_pandas()
    small = rows.slice(0, 100)
    ours(small, expectations)
    theirs(gx, batch_of, frame.head(100), expectations)

    start = time.process_time()
    a = ours(rows, expectations)
    ours_s = time.process_time() - start
    start = time.process_time()
    b = theirs(gx, batch_of, frame, expectations)
    theirs_s = time.process_time() - start
    print(f"{len(expectations)} expectations of {rows.num_rows:,} rows, verdicts {'equal' if a == b else f'DIFFER: {a} {b}'}")
    print(f"  on the rows   {theirs_s * 1000:8.0f} ms\n  ours          {ours_s * 1000:8.0f} ms   ({theirs_s / ours_s:.1f} times less)")

    start = time.process_time()
    for _ in range(10):
        ours(small, expectations)
    print(f"one stage of 100 rows: {(time.process_time() - start) * 100:.1f} ms")


if __name__ == "__main__":
    main()
