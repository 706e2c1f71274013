"""Stage `select`: the join of a document with all its verdicts; what every verdict keeps is admitted.

The reason of a drop is the first verdict, in the order of `verdicts`, that does not keep the document
(`gopher_quality:gopher_short_doc`). A document without a row in a verdict (it was quarantined there) is dropped as
`<verdict>:missing`: no verdict is not a licence to train. No text is read.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, Stage
from headrace_lake.strict import StrictModel

PREFIX = "verdict_"


class SelectParams(StrictModel):
    """Parameters of `select`.

    Attributes:
        verdicts: names of verdicts (tables without `verdict_`), in the order in which they are blamed; `language` is
            always read, because it gives the document its language.
    """

    verdicts: tuple[str, ...] = (
        "language",
        "structure",
        "gopher_repetition",
        "fineweb",
        "gopher_quality",
        "c4",
        "refinedweb",
        "chinese",
        "exact_duplicate",
        "duplicate_paragraph",
        "exact_substring",
        "near_duplicate",
        "contamination",
        "pii",
        "toxicity",
        "quality",
    )


class Select(Stage):
    """Documents and their verdicts → `admitted`."""

    name = "select"
    output = "admitted"
    Params = SelectParams
    batch_rows = 8192

    params: SelectParams

    def inputs(self) -> Inputs:
        sidecars: dict[str, tuple[str, ...]] = {f"{PREFIX}{v}": ("keep", "reason") for v in self.params.verdicts}
        sidecars[f"{PREFIX}language"] = (*sidecars.get(f"{PREFIX}language", ()), "language")
        return Inputs("documents", ("uid", "licence", "licence_class", "bytes"), sidecars)

    def process(self, batch: pa.Table) -> pa.Table:
        reasons: list[str | None] = [None] * batch.num_rows
        for verdict in self.params.verdicts:
            keep: list[Any] = batch[f"{PREFIX}{verdict}.keep"].to_pylist()
            why: list[Any] = batch[f"{PREFIX}{verdict}.reason"].to_pylist()
            for i, kept in enumerate(keep):
                if reasons[i] is None and not kept:
                    reasons[i] = f"{verdict}:missing" if kept is None else f"{verdict}:{why[i]}"
        language = batch[f"{PREFIX}language.language"].to_pylist()
        reasons = [r or ("language:missing" if lang is None else None) for r, lang in zip(reasons, language, strict=True)]
        return pa.table(
            {
                "uid": batch["uid"],
                "language": pa.array([lang or "und" for lang in language], pa.string()),
                "licence": batch["licence"],
                "licence_class": batch["licence_class"],
                "bytes": batch["bytes"],
                DROP_REASON: pa.array(reasons, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )
