"""Stage `chinese_statistics`: documents and their language → `chinese_statistics`, what the rules for Chinese compare.

Measured is the text without its markup (`prose`). Languages that are not wanted get zeros: nothing is computed for them. No threshold
is known here, only structure: which words at
the end of a line ask to expand something, and how short a short line is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, Stage
from headrace_lake.strict import StrictModel


class ChineseStatisticsParams(StrictModel):
    """Parameters of `chinese_statistics`.

    Attributes:
        languages: ISO 639-1 codes of the languages that are measured.
        endings: words at the end of a line that ask to expand something ("more", "expand").
        short_line: Chinese or Latin letters and digits below which a line is short.
    """

    languages: tuple[str, ...] = ("zh",)
    endings: tuple[str, ...] = ("更多", "展开", "展開")
    short_line: int = Field(default=3, ge=0)


class ChineseStatistics(Stage):
    """Documents → `chinese_statistics`."""

    name = "chinese_statistics"
    output = "chinese_statistics"
    Params = ChineseStatisticsParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=2 << 30)
    batch_rows = 512

    params: ChineseStatisticsParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text", "format"), {"verdict_language": ("language",)})

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        from headrace_governance.text.statistics.chinese_kernel import COUNTS, chinese_facts
        from headrace_governance.text.statistics.prose import prose_of

        self._names, self._facts, self._prose_of = COUNTS, chinese_facts, prose_of

    def process(self, batch: pa.Table) -> pa.Table:
        texts = self._prose_of(batch).texts
        languages = pc.fill_null(batch["verdict_language.language"], "und")
        wanted = pc.is_in(languages, value_set=pa.array(self.params.languages, pa.string())).to_numpy()
        counts, entropy = self._facts(texts, wanted, self.params.endings, self.params.short_line)
        return pa.table(
            {
                "uid": batch["uid"],
                "language": languages,
                "blank": pa.array(wanted & (counts[:, self._names.index("visible_characters")] == 0), pa.bool_()),
                **{name: pa.array(np.ascontiguousarray(counts[:, i]), pa.int64()) for i, name in enumerate(self._names)},
                "entropy": pa.array(entropy, pa.float64()),
                DROP_REASON: pa.nulls(batch.num_rows, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )
