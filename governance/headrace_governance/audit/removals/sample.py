"""Samples: the cases that the audit judges, drawn once for a state of the lake and recorded as an artifact `audit-sample`.

A sample holds references and digests, no text, so a text that is taken down later is in no sample; texts are read when a page or a
file is written, and a text that is no longer the one that was removed is said to be so. Its fingerprint is made of the verdicts'
content, the parameters and the code: the same state gives the same sample, in any order of runs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.audit.removals.removals import Judged, check_verdicts, read_removals
from headrace_governance.audit.removals.strata import draw
from headrace_governance.audit.removals.texts import TextKey, text_digests
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import code_digest, digest_bytes, digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.slices import Slice
from headrace_lake.strict import StrictModel, parse

SAMPLE_KIND = "audit-sample"


class Case(StrictModel):
    """One removal to be judged.

    Attributes:
        case: digest of the removal, the texts' digests included: a judgement holds for this very removal.
        keeper: source/slice/uid of the copy that was kept; None for a filter.
        text_digest, keeper_digest: of the texts as they were when the sample was drawn; empty where there was none.
    """

    case: str
    stratum: str
    verdict: str
    reason: str
    language: str
    source: str
    slice: str
    uid: str
    measured: str | None = None
    keeper: str | None = None
    copies: int | None = None
    similarity: float | None = None
    text_digest: str = ""
    keeper_digest: str = ""

    @property
    def removed(self) -> TextKey:
        """Where the removed text is."""
        return Slice(self.source, self.slice), self.uid

    @property
    def kept(self) -> TextKey | None:
        """Where the kept text is, for a duplicate."""
        return None if self.keeper is None else keeper_of(self.keeper)


class StratumSize(StrictModel):
    """A stratum: removals in it, and cases drawn."""

    name: str
    verdict: str
    population: int
    drawn: int


class Sample(StrictModel):
    """A recorded sample.

    Attributes:
        judged: verdicts on slices, with their receipts and contents.
    """

    fingerprint: str
    slices: tuple[str, ...]
    verdicts: tuple[str, ...]
    judged: tuple[dict[str, str], ...]
    strata: tuple[StratumSize, ...]
    cases: tuple[Case, ...]


def keeper_of(text: str) -> TextKey:
    """`source/slice/uid`, taken apart."""
    source, interval, uid = text.split("/", 2)
    return Slice(source, interval), uid


def draw_sample(
    lake: Lake, slices: Sequence[Slice], *, verdicts: Sequence[str] = (), target: int = 400, floor: int = 5, seed: int = 1
) -> tuple[Sample, str]:
    """The sample of some slices' removals; returns it and `computed` or `adopted`.

    Args:
        verdicts: only these; all that were made by default.
        target: cases of each verdict, at least, where so many were removed.
    """
    chosen = check_verdicts(verdicts)
    removals, judged = read_removals(lake, slices, chosen)
    params = {"target": target, "floor": floor, "seed": seed}
    inputs = [[j.verdict, j.slice, j.digest] for j in judged]
    fingerprint = digest_of({"kind": SAMPLE_KIND, "inputs": inputs, "params": params, "code": code_digest(__name__)})
    found = lake.find_artifact(SAMPLE_KIND, fingerprint=fingerprint)
    if found is not None and lake.storage.exists(found.path):
        return load_sample(lake, found), "adopted"
    strata, drawn = [], []
    for verdict in chosen:
        mine = removals.filter(pc.equal(removals["verdict"], verdict))
        for stratum in draw(mine, target=target, floor=floor, seed=seed):
            strata.append(StratumSize(name=stratum.name, verdict=verdict, population=stratum.population, drawn=len(stratum.rows)))
            rows = mine.take(pa.array(stratum.rows, pa.int64()))
            drawn += [row | {"stratum": stratum.name} for row in rows.to_pylist()]
    made = tuple(dict.fromkeys(j.verdict for j in judged))
    sample = Sample(
        fingerprint=fingerprint,
        slices=tuple(map(str, slices)),
        verdicts=made,
        judged=tuple(j.__dict__ for j in judged),
        strata=tuple(strata),
        cases=tuple(_cases(lake, drawn)),
    )
    _record(lake, sample, params, judged)
    return sample, "computed"


def _cases(lake: Lake, rows: list[dict[str, Any]]) -> list[Case]:
    keys = [(Slice(r["source"], r["slice"]), r["uid"]) for r in rows] + [keeper_of(r["keeper"]) for r in rows if r["keeper"] is not None]
    digests = text_digests(lake, keys)
    cases = []
    for row in rows:
        mine = digests.get((Slice(row["source"], row["slice"]), row["uid"]), "")
        theirs = digests.get(keeper_of(row["keeper"]), "") if row["keeper"] is not None else ""
        reason = row["reason"] or ""
        identity = [row["verdict"], reason, row["source"], row["slice"], row["uid"], mine, row["keeper"], theirs]
        kept = {
            k: row[k] for k in ("stratum", "verdict", "language", "source", "slice", "uid", "measured", "keeper", "copies", "similarity")
        }
        cases.append(Case(case=digest_of(identity), reason=reason, text_digest=mine, keeper_digest=theirs, **kept))
    return cases


def _record(lake: Lake, sample: Sample, params: dict[str, int], judged: list[Judged]) -> None:
    text = json.dumps(sample.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    with tempfile.TemporaryDirectory(prefix="headrace-audit-") as folder:
        file = Path(folder) / "sample.json"
        file.write_text(text, encoding="utf-8")
        path = lake.put_object(file, kind=SAMPLE_KIND, suffix=".json")
    removed = sum(s.population for s in sample.strata)
    lake.record_artifact(
        Artifact(
            kind=SAMPLE_KIND,
            name=sample.fingerprint[:16],
            fingerprint=sample.fingerprint,
            digest=digest_bytes(text.encode("utf-8")),
            path=path,
            parents=tuple(dict.fromkeys(j.receipt for j in judged)),
            payload={
                **params,
                "slices": list(sample.slices),
                "verdicts": list(sample.verdicts),
                "removals": removed,
                "cases": len(sample.cases),
                "strata": len(sample.strata),
                "summary": f"{len(sample.cases):,} of {removed:,} removals in {len(sample.strata)} strata",
            },
        )
    )


def load_sample(lake: Lake, artifact: Artifact) -> Sample:
    """A recorded sample."""
    return parse(json.loads(lake.storage.read_bytes(artifact.path)), Sample, where=f"audit sample {artifact.name}")


def find_sample(lake: Lake, fingerprint: str = "") -> Sample:
    """The sample with this fingerprint, or its first 8 digits or more; the newest without.

    Raises:
        InputError: none, or several.
    """
    if fingerprint and len(fingerprint) < 8:
        raise InputError(f"'{fingerprint}' is too short for a sample's fingerprint", "give 8 digits or more")
    found = {a.fingerprint: a for a in lake.artifacts(SAMPLE_KIND) if a.fingerprint.startswith(fingerprint)}
    if not found or (fingerprint and len(found) > 1):
        raise InputError(
            f"no single audit sample '{fingerprint}'" if fingerprint else "no audit sample yet", "run 'headrace audit sample SOURCE'"
        )
    return load_sample(lake, list(found.values())[-1])
