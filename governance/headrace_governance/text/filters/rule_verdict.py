"""What the verdicts over statistics share: the language picks the thresholds, the first broken rule is the reason.

Parameters are `default` and `languages`: a language without an entry gets `default`; a field that an entry does not name gets the
field's default, which is the published English value. No text is read: a verdict is arithmetic over columns.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace_lake.stage import Inputs
from headrace_lake.verdict_stage import Verdicts, VerdictStage

Column = npt.NDArray[Any]


@dataclass(frozen=True)
class Rule:
    """One rule over the rows of a language: its reason, where it is broken, and the value that is compared."""

    reason: str
    broken: npt.NDArray[np.bool_]
    value: Column


def share(part: Column, whole: Column) -> Column:
    """A ratio as the filters compute it; of nothing it is not a number, which breaks no rule."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out: Column = part / whole
    return out


class RuleVerdict(VerdictStage):
    """A table of statistics → a verdict table; reasons and their order are those of the rules' source."""

    batch_rows = 65536
    statistics: ClassVar[str] = "text_statistics"
    """Table with `uid`, `language`, `blank` and the statistics."""
    columns: ClassVar[Sequence[str]]
    """Statistics that the rules read."""

    @abstractmethod
    def rules(self, c: dict[str, Column], thresholds: Any) -> list[Rule]:
        """The rules that are switched on, in the order in which they are blamed."""

    def inputs(self) -> Inputs:
        return Inputs(self.statistics, ("uid", "language", "blank", *self.columns))

    def thresholds_for(self, language: str) -> Any:
        """The thresholds of a language."""
        params: Any = self.params
        return params.languages.get(language, params.default)

    def judge(self, batch: pa.Table) -> Verdicts:
        languages = batch["language"].combine_chunks().dictionary_encode()
        codes = languages.indices.to_numpy(zero_copy_only=False)
        blank = batch["blank"].combine_chunks().to_numpy(zero_copy_only=False)
        values = {name: batch[name].to_numpy() for name in self.columns}
        reasons: list[str | None] = ["empty" if b else None for b in blank]
        details: list[dict[str, Any] | None] = [None] * batch.num_rows
        for code, language in enumerate(languages.dictionary.to_pylist()):
            rows = np.flatnonzero((codes == code) & ~blank)
            open_ = np.ones(len(rows), np.bool_)
            for rule in self.rules({name: column[rows] for name, column in values.items()}, self.thresholds_for(language)):
                for i in np.flatnonzero(rule.broken & open_):
                    reasons[rows[i]] = rule.reason
                    details[rows[i]] = measured(language, rule.value[i].item())
                open_ &= ~rule.broken
        return Verdicts(reasons, details)


def measured(language: str, value: float | int | None) -> dict[str, Any]:
    """The measured value of a broken rule, as verdicts and exclusions keep it."""
    return {"language": language, "value": round(value, 4) if isinstance(value, float) else value}
