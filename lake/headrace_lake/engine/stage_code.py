"""Code identity of stages: the digest of a stage's code, and the digests that were proven equal to it in this lake.

An *equivalence* (`prove_equal.py`) says that two digests of a stage's code give the same bytes. It stands in the lake as an artifact; a
later one with the same fingerprint that is revoked takes it back. What any of the digests that equivalences join has written is adopted
by all of them. A result's own fingerprint always holds the digest of the code that it came from, so nothing has to be rewritten when an
equivalence comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from headrace_lake.fingerprint import code_digest, digest_of
from headrace_lake.receipts import Artifact, Receipt
from headrace_lake.stage import Stage
from headrace_lake.tables import table_spec

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
        self._joined: dict[tuple[str, str], frozenset[str]] = {}
        for a in self.equivalences:
            stage = a.payload["stage"]
            both = self.equal(stage, a.payload["before"]) | self.equal(stage, a.payload["after"])
            self._joined.update(dict.fromkeys(((stage, code) for code in both), both))
        self._digests: dict[type, str] = {}

    @classmethod
    def of(cls, lake: Lake) -> StageCodes:
        """Those of a lake, as it is now."""
        return cls(lake.artifacts(EQUIVALENCE))

    def equal(self, stage: str, code: str) -> frozenset[str]:
        """The digests of a stage's code that count as the same as one, that one among them."""
        return self._joined.get((stage, code), frozenset([code]))

    def digest(self, stage: Stage) -> str:
        """Digest of a stage's code as it is now."""
        kind = type(stage)
        if kind not in self._digests:
            self._digests[kind] = code_digest(kind)
        return self._digests[kind]

    def today(self, stage: Stage) -> list[str]:
        """The digests whose results count as those of a stage's code as it is now: its own first."""
        own = self.digest(stage)
        return [own, *sorted(self.equal(stage.name, own) - {own})]

    def same(self, stage: Stage, receipt: Receipt) -> bool:
        """Whether a receipt came from this code, or from code that was proven equal to it."""
        return receipt.code in self.equal(stage.name, self.digest(stage))

    def why_adopted(self, stage: Stage, receipt: Receipt | None) -> str:
        """`same fingerprint`, and what it rests on if the receipt came from other code."""
        if receipt is None or receipt.code == self.digest(stage):
            return "same fingerprint"
        joined = [a for a in self.equivalences if a.payload["stage"] == stage.name]
        bounds = ", ".join(f"{a.fingerprint[:12]}: {a.payload['parts']} of {a.payload['population']} parts" for a in joined)
        return f"same fingerprint; code {receipt.code[:12]} was proven equal ({bounds})"

    def equal_to(self, code: str) -> set[str]:
        """Digests that count as the same as one, that one among them, whichever stage they are of."""
        return {code}.union(*(joined for (_, digest), joined in self._joined.items() if digest == code))


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
