"""A gate's policy: a YAML in `governance/policies/gates` that says what must hold, who may sign, and for how long.

A recipe names the gate of its releases (`release_gate`). A release may be judged by another policy only if that one is signed by a
person and asks for no less (`weaker_than`).

A metric is a path into the evidence: `evaluation.overall.bits_per_byte`, `mix.by_language.*.share`. One `*` walks a
list or a mapping; each entry is judged for itself, and `where` picks the entries.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from headrace_lake.errors import ConfigError, GateError
from headrace_lake.nearest import did_you_mean
from headrace_lake.settings import Settings
from headrace_lake.strict import StrictModel, load_yaml

GATES = "gates"
Op = Literal["<", "<=", ">", ">=", "=="]
Use = Literal["value", "lower", "upper"]
AUTOMATIC_SIGNER = "policy:"
OWN = "own"
"""Stands for the recipe's own gate, where a gate is named."""
_LIKE_A_POLICY = re.compile(r"\s*policy\s*[:/]", re.IGNORECASE)


class Condition(StrictModel):
    """Which entries of a `*` a rule judges: `field op value`."""

    field: str
    op: Op
    value: float | int | str


class Rule(StrictModel):
    """One thing that must hold.

    Attributes:
        threshold: a number, or a field beside the metric (`unigram` beside `...*.bits_per_byte`).
        use: judge the value, or the lower or upper end of its 95 % interval (fields `low`, `high` beside the metric).
        where: conditions on the entries of a `*`.
        at_least: so many entries must be judged; a rule that judges nothing never holds.
        why: where the threshold comes from.
    """

    metric: str
    op: Op
    threshold: float | int | str
    use: Use = "value"
    where: tuple[Condition, ...] = ()
    at_least: int = Field(default=1, ge=0)
    why: str

    @model_validator(mode="after")
    def _metric(self) -> Rule:
        if self.metric.split(".").count("*") > 1:
            raise ValueError("one '*' at most")
        if self.where and "*" not in self.metric.split("."):
            raise ValueError("'where' needs a '*' in the metric")
        return self


class GatePolicy(StrictModel):
    """A gate.

    Attributes:
        name: equals the file's name.
        opens: what a Go allows.
        evidence: kinds of artifacts whose payloads the rules look into.
        approvers: who may sign; empty means anybody.
        self_approval: who triggered the run may sign it.
        automatic: the policy signs a Go by itself; never a No-Go.
        reason: why it may (needed when automatic).
        expiry_hours: how long a decision holds.
    """

    name: str = Field(pattern="^[a-z0-9_-]+$")
    opens: tuple[Literal["release", "train"], ...] = ("release",)
    evidence: tuple[Literal["mix", "audit", "run", "checkpoint", "evaluation"], ...] = ("evaluation", "mix")
    rules: tuple[Rule, ...] = Field(min_length=1)
    approvers: tuple[str, ...] = ()
    self_approval: bool = False
    automatic: bool = False
    reason: str = ""
    expiry_hours: float = Field(default=168.0, gt=0)

    @model_validator(mode="after")
    def _automatic_has_a_reason(self) -> GatePolicy:
        if self.automatic and not self.reason.strip():
            raise ValueError("an automatic gate must say why: give 'reason'")
        if self.name == OWN:
            raise ValueError(f"'{OWN}' stands for the recipe's own gate: give another name")
        return self

    def who_signs(self) -> str:
        """Who signs, what is forbidden and how long it holds, in one line; for forms, pages and logs."""
        hours = f"a decision holds for {self.expiry_hours:g} hours"
        if self.automatic:
            return f"AUTOMATIC: signs a Go by itself when every rule holds, no human is asked ({self.reason}); {hours}"
        who = f"signed by {' or '.join(self.approvers)}" if self.approvers else "signed by a person"
        own = "who triggered the run may sign it" if self.self_approval else "never by who triggered the run"
        return f"{who}, {own}; {hours}"


def load_policy(settings: Settings, name: str) -> GatePolicy:
    """Read a gate by name.

    Raises:
        ConfigError: no such gate, or a field is wrong.
    """
    folder = settings.resolve(settings.policies) / GATES
    file = folder / f"{name}.yaml"
    if not file.exists():
        raise ConfigError(f"no gate '{name}' in {Path(settings.policies) / GATES}", did_you_mean(name, known_gates(settings), of="gates"))
    policy = load_yaml(file, GatePolicy)
    if policy.name != name:
        raise ConfigError(f"{file}: field 'name' is '{policy.name}'", f"call it '{name}', as the file")
    return policy


def known_gates(settings: Settings) -> list[str]:
    """Names of all gates."""
    return sorted(p.stem for p in (settings.resolve(settings.policies) / GATES).glob("*.yaml"))


def changed_fields(then: GatePolicy, now: GatePolicy) -> list[str]:
    """Names of the fields in which two versions of a policy differ."""
    old, new = then.model_dump(mode="json"), now.model_dump(mode="json")
    return sorted(k for k in new if old[k] != new[k])


def weaker_than(own: GatePolicy, other: GatePolicy) -> list[str]:
    """In what `other` asks for less than a recipe's own gate; empty if a release may be judged by it instead.

    Any gate that a person signs asks for more than an automatic one. Otherwise every rule of the recipe's own gate must be among the
    other's, and signers, self-approval and expiry may only be tighter.
    """
    if other.name == own.name:
        return []
    if other.automatic:
        return ["it is automatic: no human would be asked"]
    if own.automatic:
        return []
    found = []
    if other.self_approval and not own.self_approval:
        found.append("it lets who triggered the run sign")
    if own.approvers and not (other.approvers and set(other.approvers) <= set(own.approvers)):
        found.append(f"others than {', '.join(own.approvers)} may sign it")
    if other.expiry_hours > own.expiry_hours:
        found.append(f"its decisions hold for {other.expiry_hours:g} hours, not {own.expiry_hours:g}")
    asked = [rule.model_dump(exclude={"why"}) for rule in other.rules]
    found += [
        f"it lacks the rule {rule.metric} {rule.op} {rule.threshold}" for rule in own.rules if rule.model_dump(exclude={"why"}) not in asked
    ]
    return found


def gate_of_release(settings: Settings, own: str, named: str | None = None) -> GatePolicy:
    """The policy whose decision a release needs: the recipe's own, or another that asks for no less.

    Args:
        own: name of the recipe's own gate.
        named: the gate that somebody chose instead; None or `own` is the recipe's own.

    Raises:
        GateError: the chosen gate opens no release, or is weaker than the recipe's own.
    """
    policy = load_policy(settings, own if named in (None, OWN) else str(named))
    if "release" not in policy.opens:
        raise GateError(
            f"gate {policy.name} opens {', '.join(policy.opens)}, not a release", f"gates of releases: {', '.join(release_gates(settings))}"
        )
    lacking = weaker_than(load_policy(settings, own), policy)
    if lacking:
        raise GateError(
            f"gate {policy.name} cannot stand in for '{own}', the recipe's own gate: {'; '.join(lacking)}",
            f"leave the gate out, and '{own}' counts; another gate may only be stricter",
        )
    return policy


def release_gates(settings: Settings) -> dict[str, GatePolicy]:
    """The policies that open a release and that a person signs: what may be chosen for a release. Name → policy."""
    read = (load_policy(settings, name) for name in known_gates(settings))
    return {policy.name: policy for policy in read if "release" in policy.opens and not policy.automatic}


REASON_AT_MOST = 4_000
"""Characters of a reason: a form, a job's command line and a bundle's README carry it. Linux takes 128 KiB a word (MAX_ARG_STRLEN)."""


def refuse_reason(reason: str) -> str:
    """Why a written reason cannot be kept ('' if it can): too long, or with a NUL or half a surrogate pair, which no command line takes."""
    if len(reason) > REASON_AT_MOST:
        return f"the reason has {len(reason):,} characters, at most {REASON_AT_MOST:,} are kept"
    wrong = next((place for place, c in enumerate(reason) if c == "\0" or "\ud800" <= c <= "\udfff"), None)
    if wrong is not None:
        return f"the reason holds the character U+{ord(reason[wrong]):04X} at place {wrong + 1}, which no command line takes"
    return ""


def same_person(one: str, other: str) -> bool:
    """Whether two names of users are the same but for case, outer spaces and Unicode's compatible forms."""
    first, second = (unicodedata.normalize("NFKC", name).strip().casefold() for name in (one, other))
    return bool(first) and first == second


def may_sign(policy: GatePolicy, triggered_by: str | tuple[str, ...], signer: str) -> None:
    """Whether `signer` may answer the gate of a run that `triggered_by` started (one name, or all that are known).

    Raises:
        GateError: nobody signed, the signer is not an approver, or signs his own run where the policy forbids it.
    """
    if not signer.strip() or signer == AUTOMATIC_SIGNER:
        raise GateError(f"gate {policy.name}: nobody has signed", "give --signer")
    if signer.startswith(AUTOMATIC_SIGNER):
        if not policy.automatic or signer != f"{AUTOMATIC_SIGNER}{policy.name}":
            raise GateError(f"gate {policy.name}: '{signer}' may not sign", "only an automatic policy signs by itself, under its own name")
        return
    if _LIKE_A_POLICY.match(unicodedata.normalize("NFKC", signer)):
        raise GateError(f"gate {policy.name}: '{signer}' is neither a person nor a policy", f"a policy signs as '{AUTOMATIC_SIGNER}NAME'")
    starters = (triggered_by,) if isinstance(triggered_by, str) else triggered_by
    if any(same_person(signer, name) for name in starters) and not policy.self_approval:
        raise GateError(f"gate {policy.name}: {signer} triggered the run and cannot sign its gate", "ask somebody else")
    if policy.approvers and signer not in policy.approvers:
        raise GateError(f"gate {policy.name}: {signer} is not an approver", f"approvers: {', '.join(policy.approvers)}")
