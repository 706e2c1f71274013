"""Judgements: lines of a JSON Lines file, checked one by one, recorded in the lake, and combined to one label a case.

A line is `{"sample": ..., "case": ..., "judge": ..., "label": "right" | "wrong" | "unsure", "note": ...}`. People override the
model: where a person has judged, the model's label does not count. Of several people the majority counts, and a tie is `unsure`.
`unsure` counts against the filter: a removal that nobody can call right is not shown to be right. Who cannot read a text leaves the
case out.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from headrace_governance.audit.removals.sample import Sample
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.strict import StrictModel

JUDGEMENTS_KIND = "audit-judgements"
Label = Literal["right", "wrong", "unsure"]
JudgeKind = Literal["person", "model"]
MAX_FILE_BYTES, MAX_LINE_CHARACTERS = 64 << 20, 16 << 10


class Judgement(StrictModel):
    """One judge's label for one case.

    Attributes:
        judge: a person's name; a model's name and revision.
        prompt: digest of the prompt that a model was given.
    """

    sample: str
    case: str
    judge: str = Field(min_length=1, max_length=200, pattern=r"^\S(.*\S)?$")
    label: Label
    kind: JudgeKind = "person"
    note: str = Field(default="", max_length=2000)
    prompt: str = ""


def read_judgements(file: Path, sample: Sample) -> list[Judgement]:
    """A person's file of judgements; blank lines are passed over, a judgement that is repeated word for word counts once.

    Raises:
        InputError: the file is missing or too large, or a line is wrong; names the line.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{file}: larger than {MAX_FILE_BYTES:,} bytes", "a judgement is one short line; give the downloaded file")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise InputError(f"{file}: no such file", "check the path") from exc
    except (UnicodeDecodeError, IsADirectoryError) as exc:
        raise InputError(f"{file}: not a UTF-8 text file", "give the file that the page saved") from exc
    cases = {c.case for c in sample.cases}
    seen: dict[tuple[str, str], tuple[int, Judgement]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        judgement = _parsed(line, f"{file}:{number}")
        if judgement.sample != sample.fingerprint:
            raise InputError(f"{file}:{number}: of sample {judgement.sample[:16]}, not {sample.fingerprint[:16]}", "give --sample")
        if judgement.case not in cases:
            raise InputError(f"{file}:{number}: case {judgement.case[:32]} is not in the sample", "judge cases of 'headrace audit page'")
        if judgement.kind != "person":
            raise InputError(f"{file}:{number}: a model's judgements are not taken from a file", "run 'headrace audit model'")
        key = (judgement.case, judgement.judge)
        earlier = seen.setdefault(key, (number, judgement))
        if earlier[1].label != judgement.label:
            raise InputError(
                f"{file}:{number}: {judgement.judge} calls case {judgement.case[:16]} {judgement.label}, and {earlier[1].label} in line "
                f"{earlier[0]}",
                "keep one of the two lines",
            )
    if not seen:
        raise InputError(f"{file}: no judgement in it", "judge some cases first")
    return [judgement for _, judgement in seen.values()]


def _parsed(line: str, where: str) -> Judgement:
    if len(line) > MAX_LINE_CHARACTERS:
        raise InputError(f"{where}: longer than {MAX_LINE_CHARACTERS:,} characters", "a judgement is one short line")
    try:
        return Judgement.model_validate(json.loads(line))
    except (ValueError, RecursionError) as exc:
        if isinstance(exc, ValidationError):
            first = exc.errors()[0]
            problem = f"field '{'.'.join(map(str, first['loc']))}': {first['msg']}"
        else:
            problem = "not JSON"
        raise InputError(f"{where}: {problem}", 'write {"sample", "case", "judge", "label": right, wrong or unsure}') from exc


def record(lake: Lake, sample: Sample, judgements: Sequence[Judgement], *, revise: bool = False) -> tuple[Artifact, str]:
    """Record judgements; returns the artifact and `computed`, or `adopted` if these very ones were recorded before.

    Args:
        revise: let judges change what they said before.

    Raises:
        InputError: a judge has called a case something else before.
    """
    lines = sorted(json.dumps(j.model_dump(mode="json"), sort_keys=True, ensure_ascii=False) for j in judgements)
    fingerprint = digest_of({"kind": JUDGEMENTS_KIND, "sample": sample.fingerprint, "lines": lines})
    recorded = [a for a in lake.artifacts(JUDGEMENTS_KIND) if sample.fingerprint in a.parents]
    if recorded and recorded[-1].fingerprint == fingerprint:
        return recorded[-1], "adopted"
    before = {(j.case, j.judge, j.kind): j for j in recorded_judgements(lake, sample)}
    for j in judgements:
        said = before.get((j.case, j.judge, j.kind))
        if said is not None and said.label != j.label and not revise:
            raise InputError(f"{j.judge} has called case {j.case[:16]} {said.label} before, now {j.label}", "give --revise to change it")
    with tempfile.TemporaryDirectory(prefix="headrace-audit-") as folder:
        file = Path(folder) / "judgements.jsonl"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        path = lake.put_object(file, kind=JUDGEMENTS_KIND, suffix=".jsonl")
    labels = Counter(j.label for j in judgements)
    judges = sorted({j.judge for j in judgements})
    artifact = Artifact(
        kind=JUDGEMENTS_KIND,
        name=sample.fingerprint[:16],
        fingerprint=fingerprint,
        digest=digest_of(lines),
        path=path,
        parents=(sample.fingerprint,),
        payload={
            "judges": judges,
            "labels": dict(sorted(labels.items())),
            "summary": f"{len(judgements):,} judgements by {', '.join(judges)}",
        },
    )
    lake.record_artifact(artifact)
    return artifact, "computed"


def recorded_judgements(lake: Lake, sample: Sample) -> list[Judgement]:
    """Everything that was recorded on a sample's cases, under whichever sample: a case is one very removal, texts included. Of what
    a judge said of a case, the last."""
    cases = {c.case for c in sample.cases}
    last: dict[tuple[str, str, str], Judgement] = {}
    for artifact in lake.artifacts(JUDGEMENTS_KIND):
        for line in lake.storage.read_bytes(artifact.path).decode("utf-8").split("\n"):
            judgement = Judgement.model_validate(json.loads(line)) if line else None
            if judgement is not None and judgement.case in cases:
                last[judgement.case, judgement.judge, judgement.kind] = judgement
    return list(last.values())


def combined(judgements: Iterable[Judgement]) -> dict[str, tuple[Label, JudgeKind]]:
    """Case → its label and who decided it."""
    votes: dict[str, dict[JudgeKind, Counter[Label]]] = {}
    for j in judgements:
        votes.setdefault(j.case, {}).setdefault(j.kind, Counter())[j.label] += 1
    decided: dict[str, tuple[Label, JudgeKind]] = {}
    for case, by_kind in votes.items():
        kind: JudgeKind = "person" if "person" in by_kind else "model"
        first, *rest = by_kind[kind].most_common()
        tie = bool(rest) and rest[0][1] == first[1]
        decided[case] = ("unsure" if tie else first[0], kind)
    return decided


class Agreement(StrictModel):
    """How far two judges agree on the cases that both judged."""

    one: str
    other: str
    cases: int
    agreed: float
    kappa: float


def agreements(judgements: Iterable[Judgement]) -> list[Agreement]:
    """Cohen's kappa (1960) of each two judges with cases in common."""
    labels: dict[str, dict[str, Label]] = {}
    for j in judgements:
        labels.setdefault(j.judge, {})[j.case] = j.label
    found = []
    for one, other in itertools.combinations(sorted(labels), 2):
        shared = sorted(labels[one].keys() & labels[other].keys())
        if shared:
            pairs = [(labels[one][c], labels[other][c]) for c in shared]
            found.append(Agreement(one=one, other=other, cases=len(shared), agreed=_agreed(pairs), kappa=cohens_kappa(pairs)))
    return found


def _agreed(pairs: Sequence[tuple[str, str]]) -> float:
    return sum(a == b for a, b in pairs) / len(pairs)


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float:
    """Agreement beyond chance; 1 where both always say the same one thing, of which chance is certain too."""
    n = len(pairs)
    ones: Mapping[str, int] = Counter(a for a, _ in pairs)
    others: Mapping[str, int] = Counter(b for _, b in pairs)
    chance = sum(ones[label] * others.get(label, 0) for label in ones) / n**2
    return 1.0 if chance == 1 else (_agreed(pairs) - chance) / (1 - chance)
