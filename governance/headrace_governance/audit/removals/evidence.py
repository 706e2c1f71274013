"""The removal audit's verdict as a gate's evidence: the newest that covers given slices, if it is still about what the lake holds."""

from __future__ import annotations

from collections.abc import Sequence

from headrace_governance.audit.removals.removals import PREFIX
from headrace_governance.audit.removals.verdict import AUDIT_KIND
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake, content_digest
from headrace_lake.receipts import Artifact
from headrace_lake.slices import Slice


def audit_on(lake: Lake, slices: Sequence[Slice]) -> Artifact:
    """The newest verdict on removals whose sample was drawn from all these slices (and perhaps others).

    Raises:
        InputError: there is none, or a verdict of the pipeline was computed again since the sample was drawn.
    """
    wanted = {str(s) for s in slices}
    verdicts = lake.artifacts(AUDIT_KIND)
    covering = [a for a in verdicts if wanted <= set(a.payload["slices"])]
    if not covering:
        nearest = max((len(wanted & set(a.payload["slices"])) for a in verdicts), default=0)
        raise InputError(
            f"no verdict of the removal audit covers the {len(wanted)} slices (the nearest covers {nearest})",
            "run 'headrace audit sample' for their sources, judge, then 'headrace audit verdict'",
        )
    newest = covering[-1]
    for judged in newest.payload["judged"]:
        if judged["slice"] not in wanted:
            continue
        if content_digest(lake.slice_files(PREFIX + judged["verdict"], Slice.parse(judged["slice"]))) != judged["digest"]:
            raise InputError(
                f"slice {judged['slice']}: verdict {judged['verdict']} was computed again since the removal audit's sample was drawn",
                "run 'headrace audit sample' and judge what is new",
            )
    return newest
