"""A gate's policy: a YAML in `governance/policies/gates` that says what must hold, who may sign, and for how long.

A metric is a path into the evidence: `evaluation.overall.bits_per_byte`, `mix.by_language.*.share`. One `*` walks a
list or a mapping; each entry is judged for itself, and `where` picks the entries.
"""

from __future__ import annotations

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
    evidence: tuple[Literal["mix", "court", "run", "checkpoint", "evaluation"], ...] = ("evaluation", "mix")
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
        return self


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


def may_sign(policy: GatePolicy, triggered_by: str, signer: str) -> None:
    """Whether `signer` may answer the gate of a run that `triggered_by` started.

    Raises:
        GateError: nobody signed, the signer is no approver, or signs his own run where the policy forbids it.
    """
    if not signer.strip() or signer == AUTOMATIC_SIGNER:
        raise GateError(f"gate {policy.name}: nobody has signed", "give --signer")
    if signer.startswith(AUTOMATIC_SIGNER):
        if not policy.automatic or signer != f"{AUTOMATIC_SIGNER}{policy.name}":
            raise GateError(f"gate {policy.name}: '{signer}' may not sign", "only an automatic policy signs by itself, under its own name")
        return
    if signer == triggered_by and not policy.self_approval:
        raise GateError(f"gate {policy.name}: {signer} triggered the run and cannot sign its gate", "ask somebody else")
    if policy.approvers and signer not in policy.approvers:
        raise GateError(f"gate {policy.name}: {signer} is no approver", f"approvers: {', '.join(policy.approvers)}")
