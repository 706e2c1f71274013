"""What a run over slices amounts to, as a few plain numbers: for result lines and asset events."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from headrace_lake.engine.run import RunReport
from headrace_lake.lake import Lake


def run_counts(lake: Lake, reports: Sequence[RunReport]) -> dict[str, int]:
    """Slices and stages of a run, and what its slices hold now.

    Returns:
        `slice_count`, `computed` and `adopted` (stages; restored ones count as adopted); `kept` and `dropped` (documents, by the stage that
        writes `admitted`); `documents` and `tokens` (in the token shards). The last four only of what the run came to.
    """
    stages = [s for report in reports for s in report.stages]
    found = {
        "slice_count": len(reports),
        "computed": sum(s.action == "computed" for s in stages),
        "adopted": sum(s.action != "computed" for s in stages),
    }
    chosen = [s.receipt.counts for s in stages if "admitted" in s.receipt.tables]
    if chosen:
        found |= {"kept": sum(c.kept for c in chosen), "dropped": sum(c.dropped for c in chosen)}
    tokenised = [report.slice_ for report in reports if any("token_shards" in s.receipt.tables for s in report.stages)]
    if tokenised:
        shards = [lake.read("token_shards", slice_, columns=["documents", "tokens"]) for slice_ in tokenised]
        found |= {name: sum(pc.sum(t[name]).as_py() or 0 for t in shards) for name in ("documents", "tokens")}
    return found
