"""A lake with an evaluated checkpoint, and gates' policies that a test may edit: what a gate of a release looks at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from headrace_jobs.evaluation.bits_per_byte import DEFINITION
from headrace_jobs.gates.evidence import GateEvidence
from headrace_jobs.gates.judge import evaluate_gate
from headrace_jobs.gates.policy import load_policy
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.settings import Settings, load_settings

GOOD, BAD = {"value": 0.7, "low": 0.612, "high": 0.781}, {"value": -0.7, "low": -0.781, "high": -0.612}


class World:
    """A recipe `tiny` whose own gate is `release`, in a lake of its own.

    Attributes:
        good: whether every rule holds for the newest evaluation.
    """

    def __init__(self, folder: Path, checkout: Path, **settings: Any) -> None:
        shutil.copytree(checkout / "governance" / "policies", folder / "policies")
        self.file = folder / "headrace.yaml"
        held = {"base": str(checkout), "lake": {"root": str(folder / "lake")}, "policies": str(folder / "policies"), **settings}
        self.file.write_text(yaml.safe_dump(held), encoding="utf-8")
        self.settings: Settings = load_settings(self.file)
        self.lake = Lake.open(self.settings)
        self.made: dict[str, Artifact] = {}
        self.record("mix", held_out_documents=96, release_gate="release")

    def record(self, kind: str, *, says: object = 0, **payload: Any) -> Artifact:
        """Record an artifact upon those that it is made from."""
        order = ("mix", "run", "checkpoint", "evaluation")
        parents = tuple(self.made[k].fingerprint for k in order[: order.index(kind)] if k in self.made)
        fingerprint = digest_of([kind, says, parents])
        self.made[kind] = Artifact(kind=kind, name="tiny", fingerprint=fingerprint, digest=fingerprint, parents=parents, payload=payload)
        self.lake.record_artifact(self.made[kind])
        return self.made[kind]

    def evaluated(self, *, good: bool = True, says: object = 0, checkpoint: bool = True) -> Artifact:
        """A new checkpoint (unless told otherwise) and its evaluation."""
        if checkpoint:
            self.record("run", says=says, steps=150)
            self.record("checkpoint", says=says)
        row = {"bits_per_byte": 2.2, "low": 2.1, "high": 2.3, "unigram": 2.9, "documents": 96, "training_bytes": 2_400_000}
        row["advantage"] = GOOD if good else BAD
        payload = {"definition": DEFINITION, "languages": [{"language": "en", **row}], "overall": {"language": "all", **row}}
        return self.record("evaluation", says=[says, good], **payload)

    def judged(self, gate: str = "release", *, triggered_by: str = "alice") -> GateEvidence:
        """What `headrace gate evaluate` records."""
        return evaluate_gate(self.lake, load_policy(self.settings, gate), "tiny", triggered_by=triggered_by)[0]

    def edit(self, gate: str, **changes: Any) -> None:
        """Change fields of a policy's file."""
        file = self.file.parent / "policies" / "gates" / f"{gate}.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    @property
    def about(self) -> dict[str, str]:
        """What a release of the newest checkpoint is about."""
        return {kind: self.made[kind].fingerprint for kind in ("checkpoint", "mix", "evaluation")}
