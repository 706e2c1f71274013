"""Which checkpoint and evaluation a release is about."""

from __future__ import annotations

from headrace_jobs.evaluation.bits_per_byte import require_comparable
from headrace_jobs.evaluation.run import newest_checkpoint
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact


def newest_evaluation(lake: Lake, mix: Artifact) -> tuple[Artifact, Artifact]:
    """The newest checkpoint of a mix and the newest evaluation of it.

    Raises:
        InputError: no checkpoint, or it was never evaluated by today's definition.
    """
    checkpoint = newest_checkpoint(lake, mix.fingerprint)
    found = [e for e in lake.artifacts("evaluation") if checkpoint.fingerprint in e.parents]
    if not found:
        raise InputError(f"checkpoint {checkpoint.name} has no evaluation", f"run 'headrace eval run {mix.name}'")
    require_comparable(found[-1].payload, mix.name)
    return checkpoint, found[-1]
