"""Guard `drop_rate`: a filter that takes more than 80 % of a source's pages stops the run.

Each verdict is measured for itself, the verdicts of a family together, and never the total of all: that a source of manuals passes
one rule in ten after eight filters is the filters' work, while a single filter that leaves a fifth of a source is either wrong for
it or the source should not be crawled. A *page* is an address of the source, over all its slices; it is dropped if no slice
keeps it. So the copies of a page that is crawled every day and never changes, which are duplicates by right, are not counted as dropped.

Sources of less than `min_documents` pages are left alone. What may go on: `allow_drop_rate: {family: why}` in the source's YAML, or
a waiver that a person signed (`headrace audit waive`), which expires.

Cost: three columns of the family's verdict tables, about 100 bytes of memory a document of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headrace_governance.sources.source import get_source
from headrace_lake.engine import Guard
from headrace_lake.errors import ConfigError, DropRateError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.stage import Stage
from headrace_lake.strict import StrictModel
from headrace_lake.tables import TABLES

WAIVER_KIND = "drop-rate-waiver"
_VERDICT = "verdict_"


class DropRateParams(StrictModel):
    """Parameters of the guard.

    Attributes:
        max_share: of a source's pages that a family may take.
        min_documents: pages from which a source is measured.
        families: verdicts that are measured together, by name; every other verdict is its own family.
    """

    max_share: float = Field(default=0.8, gt=0, le=1)
    min_documents: int = Field(default=100, ge=1)
    families: dict[str, tuple[str, ...]] = Field(default={"duplicates": ("exact_duplicate", "near_duplicate")})


@dataclass(frozen=True)
class DropRate:
    """What a family of filters took of a source: pages seen, and pages of which nothing is left."""

    source: str
    family: str
    pages: int
    dropped: int

    @property
    def share(self) -> float:
        """Of the pages."""
        return self.dropped / self.pages if self.pages else 0.0

    def __str__(self) -> str:
        return f"{self.family} took {self.share:.0%} of source {self.source} ({self.dropped:,} of {self.pages:,} pages)"


class DropRateGuard(Guard):
    """Raises where a family took nearly everything of a source."""

    name = "drop_rate"
    Params = DropRateParams
    params: DropRateParams

    def check(self, lake: Lake, slices: Sequence[Slice], stages: Sequence[Stage]) -> list[str]:
        found = [t for source in sorted({s.source for s in slices}) for t in self.drop_rates(lake, source, verdicts_of(stages))]
        dropped = [t for t in found if self.is_above(t)]
        lines, stopped = [], []
        for rate in dropped:
            reason = allowed(lake, rate.source, rate.family)
            if reason:
                lines.append(f"drop rate let pass: {rate}: {reason}")
            else:
                stopped.append(rate)
        if stopped:
            one = stopped[0]
            raise DropRateError(
                f"drop rate: {'; '.join(map(str, stopped))}; a family may take {self.params.max_share:.0%}",
                f"look with 'headrace drops' and 'headrace audit sample {one.source}', mend the threshold or the source; if it is right, "
                f"write allow_drop_rate: {{{one.family}: why}} into {one.source}.yaml, or sign 'headrace audit waive {one.source}'",
            )
        return lines

    def is_above(self, rate: DropRate) -> bool:
        """Whether that is too much of a source that is large enough."""
        return rate.pages >= self.params.min_documents and rate.share > self.params.max_share

    def drop_rates(self, lake: Lake, source: str, verdicts: Sequence[str]) -> list[DropRate]:
        """What each family that these verdicts touch took of a source."""
        families = {f: members for f, members in self.params.families.items() if set(members) & set(verdicts)}
        grouped = {v for members in families.values() for v in members}
        families |= {v: (v,) for v in verdicts if v not in grouped}
        return [_toll(lake, source, family, members) for family, members in families.items()]


def _toll(lake: Lake, source: str, family: str, verdicts: Sequence[str]) -> DropRate:
    where = f"source = '{source}'"
    tables = [
        t for v in verdicts if _VERDICT + v in TABLES for t in lake.stream(_VERDICT + v, columns=["slice", "uid", "keep"], where=where)
    ]
    if not tables:
        return DropRate(source, family, 0, 0)
    rows = pa.concat_tables(tables)
    rows = rows.set_column(rows.column_names.index("keep"), "keep", rows["keep"].cast(pa.int8()))
    # A version of a page survives if every verdict of the family keeps it, a page if one of its versions does.
    versions = rows.group_by(["slice", "uid"]).aggregate([("keep", "min")])
    pages = versions.group_by("uid").aggregate([("keep_min", "max")])
    return DropRate(source, family, pages.num_rows, pages.num_rows - int(pc.sum(pages["keep_min_max"]).as_py()))


def allowed(lake: Lake, source: str, family: str, *, now: datetime | None = None) -> str:
    """Why a family may take nearly everything of a source; empty if nobody has said so."""
    folder = lake.settings.resolve(lake.settings.sources)
    declared = get_source(folder, source).allow_drop_rate if (folder / f"{source}.yaml").is_file() else {}
    if family in declared:
        return declared[family]
    moment = now or datetime.now(UTC)
    for waiver in reversed(lake.artifacts(WAIVER_KIND)):
        p = waiver.payload
        if (p["source"], p["family"]) == (source, family):
            expires = datetime.fromisoformat(p["expires_at"])
            return f"{p['reason']} (signed by {p['signer']} until {p['expires_at'][:16]} UTC)" if expires > moment else ""
    return ""


def waive(lake: Lake, rate: DropRate, *, signer: str, reason: str, hours: float = 168.0, now: datetime | None = None) -> Artifact:
    """Record that a person lets a drop rate above the guard's pass for a while.

    Raises:
        ConfigError: nobody signs, or gives no reason.
    """
    if not signer.strip() or not reason.strip():
        raise ConfigError(f"a waiver for {rate.source} needs a signer and a reason", "give --signer and --reason")
    moment = now or datetime.now(UTC)
    payload = {
        "source": rate.source,
        "family": rate.family,
        "pages": rate.pages,
        "dropped": rate.dropped,
        "signer": signer,
        "reason": reason,
        "signed_at": moment.isoformat(),
        "expires_at": (moment + timedelta(hours=hours)).isoformat(),
        "summary": f"{rate}: let pass by {signer}: {reason}",
    }
    name = f"{rate.source}:{rate.family}"
    artifact = Artifact(
        kind=WAIVER_KIND,
        name=name,
        fingerprint=digest_of([WAIVER_KIND, payload]),
        digest=digest_of(payload),
        created_at=moment,
        payload=payload,
    )
    lake.record_artifact(artifact)
    return artifact


def verdicts_of(stages: Sequence[Stage]) -> list[str]:
    """Names of the verdicts that stages write."""
    return [s.output.removeprefix(_VERDICT) for s in stages if s.output is not None and TABLES[s.output].is_verdict]


def guard_of(settings: Settings, pipeline: str) -> tuple[DropRateGuard, Sequence[Stage]]:
    """The guard of a pipeline with its own parameters, and the pipeline's stages.

    Raises:
        ConfigError: the pipeline has no such guard.
    """
    from headrace_lake.engine import load_pipeline

    chosen = load_pipeline(settings, pipeline)
    for guard in chosen.guards:
        if isinstance(guard, DropRateGuard):
            return guard, chosen.stages
    raise ConfigError(
        f"pipeline {chosen.name} has no guard 'drop_rate'", "add 'guards: [{use: headrace_governance.audit.drop_rate_guard:DropRateGuard}]'"
    )
