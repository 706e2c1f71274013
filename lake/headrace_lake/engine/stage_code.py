"""Code identity of stages: the digest of a stage's code, or the older digest that it was proven equal to in this lake.

An *equivalence* (`prove_equal.py`) says that two digests of a stage's code give the same bytes. It stands in the lake as an artifact; a
later one with the same fingerprint that is revoked takes it back. All digests that are joined by equivalences count as the one that was
there first, so that what any of them wrote is adopted by all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from headrace_lake.fingerprint import code_digest, digest_of
from headrace_lake.receipts import Artifact, Receipt
from headrace_lake.schemas import table_spec
from headrace_lake.stage import Stage

if TYPE_CHECKING:
    from headrace_lake.lake import Lake

EQUIVALENCE = "equivalence"
"""Kind of the artifact."""


class StageCodes:
    """Code identities as one lake sees them.

    Args:
        equivalences: artifacts in the order of their commits.
    """

    def __init__(self, equivalences: Iterable[Artifact] = ()) -> None:
        newest = {a.fingerprint: a for a in equivalences}
        self.equivalences: tuple[Artifact, ...] = tuple(a for a in newest.values() if not a.payload.get("revoked"))
        self._first: dict[tuple[str, str], str] = {}
        for a in self.equivalences:
            stage, before, after = a.payload["stage"], a.payload["before"], a.payload["after"]
            kept, gone = self.representative(stage, before), self.representative(stage, after)
            for key, value in list(self._first.items()):
                if key[0] == stage and value == gone:
                    self._first[key] = kept
            self._first[stage, after] = self._first[stage, gone] = kept
        self._digests: dict[type, str] = {}

    @classmethod
    def of(cls, lake: Lake) -> StageCodes:
        """Those of a lake, as it is now."""
        return cls(lake.artifacts(EQUIVALENCE))

    def representative(self, stage: str, code: str) -> str:
        """The digest that counts for one of a stage's digests."""
        return self._first.get((stage, code), code)

    def digest(self, stage: Stage) -> str:
        """Digest of a stage's code as it is now."""
        kind = type(stage)
        if kind not in self._digests:
            self._digests[kind] = code_digest(kind)
        return self._digests[kind]

    def identity(self, stage: Stage) -> str:
        """What of its code belongs to the fingerprint of a stage's results."""
        return self.representative(stage.name, self.digest(stage))

    def same(self, stage: Stage, receipt: Receipt) -> bool:
        """Whether a receipt came from this code, or from code that was proven equal to it."""
        return self.representative(stage.name, receipt.code) == self.identity(stage)

    def why_adopted(self, stage: Stage, receipt: Receipt | None) -> str:
        """`same fingerprint`, and what it rests on if the receipt came from other code."""
        if receipt is None or receipt.code == self.digest(stage):
            return "same fingerprint"
        joined = [a for a in self.equivalences if a.payload["stage"] == stage.name]
        bounds = ", ".join(f"{a.fingerprint[:12]}: {a.payload['parts']} of {a.payload['population']} parts" for a in joined)
        return f"same fingerprint; code {receipt.code[:12]} was proven equal ({bounds})"

    def equal_to(self, code: str) -> set[str]:
        """Digests that count as the same as one, that one among them, whichever stage they are of."""
        stages = {stage for (stage, digest), first in self._first.items() if code in (digest, first)}
        kept = {(stage, self.representative(stage, code)) for stage in stages}
        return {code} | {d for (s, d), first in self._first.items() if (s, first) in kept} | {first for _, first in kept}


def output_columns(stage: Stage) -> str:
    """Digest of the columns of a stage's own tables: names, types, and which may be null."""
    tables: Mapping[str, list[list[object]]] = {
        name: [[f.name, str(f.type), f.nullable] for f in table_spec(name).schema]
        for name in (*([stage.output] if stage.output else []), *stage.also)
    }
    return digest_of(tables)


def same_recipe(stage: Stage, receipt: Receipt | None, codes: StageCodes) -> bool:
    """Whether a receipt came from the same code, output columns and parameters (its input may differ)."""
    return receipt is not None and not recipe_changes(stage, receipt, codes)


def recipe_changes(stage: Stage, before: Receipt, codes: StageCodes) -> list[str]:
    """What of a stage itself is another than when it left a receipt: `version`, `code`, `output columns`, `parameters (minimum)`."""
    changed = []
    if before.version != stage.version:
        changed.append("version")
    if not codes.same(stage, before):
        changed.append("code")
    if before.columns != output_columns(stage):
        changed.append("output columns")
    params = stage.params.model_dump(mode="json")
    if before.params_digest != digest_of(params):
        keys = sorted(k for k in {*params, *before.params} if params.get(k) != before.params.get(k))
        changed.append(f"parameters ({', '.join(keys)})")
    return changed
