"""Judge a gate's rules against evidence from the lake; the verdict is there before anybody is asked."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headrace_governance.audit.removals.evidence import audit_on
from headrace_jobs.evaluation.bits_per_byte import require_comparable
from headrace_jobs.evaluation.run import newest_checkpoint
from headrace_jobs.gates.evidence import EVIDENCE_KIND, SIGN_AGAIN, GateEvidence, RuleResult, read_evidence, rules_table
from headrace_jobs.gates.policy import GatePolicy, Rule, changed_fields
from headrace_jobs.mix.compile import mix_slices, newest_mix
from headrace_jobs.mix.recipe import DEFAULT_GATE
from headrace_lake.errors import ConfigError, GateError, InputError
from headrace_lake.fingerprint import code_digest, digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact

_OPS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
_ENDS = {"value": "", "lower": "low", "upper": "high"}


def judge_rule(rule: Rule, evidence: Mapping[str, Any], inputs: Mapping[str, str]) -> list[RuleResult]:
    """Judge a rule; a `*` gives one result an entry.

    Args:
        evidence: kind → payload.
        inputs: kind → short name of the artifact it comes from.

    Raises:
        ConfigError: the metric or the threshold's field is not in the evidence; names the nearest known fields.
    """
    names = (inputs[rule.metric.partition(".")[0]],) if rule.metric.partition(".")[0] in inputs else ()
    judged = [_judge(rule, path, parent, field, names) for path, parent, field in _entries(rule, evidence)]
    if len(judged) < rule.at_least or not judged:
        wanted = f"at least {rule.at_least} entries" if rule.at_least else "no entry"
        text = f"{rule.metric}: {wanted}{_where(rule)}{'' if rule.at_least else ', nothing to judge'}"
        judged.append(RuleResult(rule=text, value=len(judged), passed=len(judged) >= rule.at_least, inputs=names))
    return judged


def _judge(rule: Rule, path: str, parent: Mapping[str, Any], field: str, names: tuple[str, ...]) -> RuleResult:
    value = _field(parent, field, path)
    measured = _field(parent, _ENDS[rule.use] or field, path)
    if rule.use != "value" and _interval(parent, value) == (None, None) and _finite(value):
        raise ConfigError(f"gate rule on {path}: 'low' and 'high' beside it are not an interval of this metric", "write 'use: value'")
    threshold: Any = (
        _field(parent, rule.threshold, path) if isinstance(rule.threshold, str) and rule.threshold in parent else rule.threshold
    )
    if isinstance(threshold, str) and isinstance(measured, int | float):
        raise ConfigError(f"gate rule on {path}: no field '{threshold}' to compare with", f"fields: {', '.join(sorted(parent))}")
    # NaN compares false with everything, infinities are not measurements: neither may pass.
    finite = _finite(measured) and _finite(value)
    shown = f"{threshold:.4g}" if isinstance(threshold, float) else str(threshold)
    label = f" ({rule.threshold})" if isinstance(rule.threshold, str) and rule.threshold != shown else ""
    end = "" if rule.use == "value" else f" ({rule.use} end of the interval)"
    low, high = _interval(parent, value)
    return RuleResult(
        rule=f"{path}{end} {rule.op} {shown}{label}",
        value=value if _finite(value) else str(value),
        low=low,
        high=high,
        passed=finite and bool(_OPS[rule.op](measured, threshold)),
        inputs=names,
    )


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _interval(parent: Mapping[str, Any], value: Any) -> tuple[float | None, float | None]:
    """The interval beside a metric, if it is this metric's: it must hold the value."""
    low, high = parent.get("low"), parent.get("high")
    numbers = all(isinstance(x, int | float) and math.isfinite(x) for x in (low, value, high))
    return (float(low), float(high)) if numbers and low <= value <= high else (None, None)  # type: ignore[arg-type]


def _entries(rule: Rule, evidence: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """(path in words, mapping that holds the metric, the metric's last name) of everything that the rule judges."""
    before, star, after = rule.metric.partition(".*.")
    *parents, last = (after if star else before).split(".")
    node: Any = evidence
    for step in before.split(".") if star else parents:
        node = _field(node, step, before)
    if not star:
        yield rule.metric, node, last
        return
    children = node.items() if isinstance(node, Mapping) else ((_name(item, i), item) for i, item in enumerate(node))
    for name, child in children:
        if all(_OPS[c.op](_field(child, c.field, f"{before}.{name}"), c.value) for c in rule.where):
            for step in parents:
                child = _field(child, step, f"{before}.{name}")
            yield f"{before}.{name}.{after}", child, last


def _name(item: Any, number: int) -> str:
    return str(item.get("language") or item.get("name") or number) if isinstance(item, Mapping) else str(number)


def _field(node: Any, name: str, where: str) -> Any:
    if isinstance(node, Mapping) and name in node:
        return node[name]
    known = ", ".join(sorted(map(str, node))) if isinstance(node, Mapping) else f"a {type(node).__name__}"
    raise ConfigError(f"gate metric '{where}': the evidence has no '{name}'", f"it has: {known}")


def _where(rule: Rule) -> str:
    return "".join(f" with {c.field} {c.op} {c.value}" for c in rule.where)


def gather(lake: Lake, policy: GatePolicy, recipe: str) -> dict[str, Artifact]:
    """Kind → the artifact that the gate looks at: the recipe's newest mix, its newest checkpoint, and what belongs to it; for
    `audit`, the newest verdict on removals that covers every slice of the mix and is still about what the lake holds. A gate that
    opens a release is always about a checkpoint, whatever its rules look at.

    Raises:
        InputError: one is missing, or the evaluation is of another definition; says which command makes it.
    """
    mix = newest_mix(lake, recipe)
    found = {"mix": mix}
    if "audit" in policy.evidence:
        found["audit"] = audit_on(lake, mix_slices(lake, mix))
    if set(policy.evidence) - {"mix", "audit"} or "release" in policy.opens:
        checkpoint = newest_checkpoint(lake, mix.fingerprint)
        found["checkpoint"] = checkpoint
        for run in lake.artifacts("run"):
            if run.fingerprint in checkpoint.parents:
                found["run"] = run
        for evaluation in lake.artifacts("evaluation"):
            if checkpoint.fingerprint in evaluation.parents:
                found["evaluation"] = evaluation
    missing = sorted(set(policy.evidence) - set(found))
    if missing:
        command = {"evaluation": "eval run", "run": "train", "checkpoint": "train"}[missing[0]]
        raise InputError(f"gate {policy.name}: recipe '{recipe}' has no {missing[0]} yet", f"run 'headrace {command} {recipe}'")
    if "evaluation" in policy.evidence:
        require_comparable(found["evaluation"].payload, recipe)
    return found


def own_gate(mix: Artifact) -> str:
    """Name of the gate that the recipe of a compiled mix names for its releases; mixes of before it was recorded have the default."""
    return str(mix.payload.get("release_gate") or DEFAULT_GATE)


def evaluate_gate(lake: Lake, policy: GatePolicy, recipe: str, *, triggered_by: str = "") -> tuple[GateEvidence, str]:
    """Judge a gate for a recipe and record the evidence; returns it and `computed` or `adopted`.

    Args:
        triggered_by: who asked for it; who did cannot sign it, so each of them gets evidence of his own.
    """
    artifacts = gather(lake, policy, recipe)
    used: dict[str, Artifact] = {kind: artifacts[kind] for kind in sorted(policy.evidence)}
    inputs = {kind: [a.fingerprint, a.digest] for kind, a in artifacts.items()}
    identity = {"kind": EVIDENCE_KIND, "policy": policy.model_dump(mode="json"), "inputs": inputs}
    if triggered_by:
        identity["triggered_by"] = triggered_by
    fingerprint = digest_of({**identity, "code": code_digest(__name__)})
    found = lake.find_artifact(EVIDENCE_KIND, fingerprint=fingerprint)
    if found is not None:
        return read_evidence(found)[0], "adopted"
    names = {kind: f"{kind} {a.fingerprint[:12]}" for kind, a in used.items()}
    payloads = {kind: a.payload for kind, a in used.items()}
    results = tuple(r for rule in policy.rules for r in judge_rule(rule, payloads, names))
    evidence = GateEvidence(
        gate=policy.name,
        fingerprint=fingerprint,
        policy=policy.name,
        passed=all(r.passed for r in results),
        triggered_by=triggered_by,
        automatic=policy.automatic,
        self_approval=policy.self_approval,
        approvers=policy.approvers,
        rules=results,
    )
    lake.record_artifact(
        Artifact(
            kind=EVIDENCE_KIND,
            name=policy.name,
            fingerprint=fingerprint,
            digest=digest_of(evidence.model_dump(mode="json")),
            parents=tuple(dict.fromkeys(a.fingerprint for kind, a in artifacts.items() if kind in (*policy.evidence, "checkpoint"))),
            payload={
                "evidence": evidence.model_dump(mode="json"),
                "policy": policy.model_dump(mode="json"),
                "inputs": {kind: a.fingerprint for kind, a in artifacts.items()},
                "recipe": recipe,
                "summary": "Go: every rule holds"
                if evidence.passed
                else f"No-Go: {sum(not r.passed for r in results)} of {len(results)} rules fail",
            },
        )
    )
    return evidence, "computed"


def recorded_evidence(lake: Lake, policy: GatePolicy, recipe: str, *, triggered_by: str = "") -> GateEvidence:
    """The evidence that was recorded last about what `gather` finds now, under the policy as it is now, for who asks.

    Args:
        triggered_by: who asked for it; evidence that was recorded for somebody else does not count.

    Raises:
        GateError: nobody has judged just that yet, or what is recorded contradicts itself.
        InputError: there is nothing to judge.
    """
    inputs = {kind: a.fingerprint for kind, a in gather(lake, policy, recipe).items()}
    for found in reversed(lake.artifacts(EVIDENCE_KIND)):
        if (found.name, found.payload["inputs"], found.payload["recipe"]) != (policy.name, inputs, recipe):
            continue
        evidence, then = read_evidence(found)
        if evidence.triggered_by == triggered_by and not changed_fields(then, policy):
            return evidence
    about = ", ".join(f"{kind} {value[:12]}" for kind, value in sorted(inputs.items()))
    asked = f" for {triggered_by}" if triggered_by else ""
    raise GateError(
        f"gate {policy.name}: the lake holds no evidence{asked} on {about} under the policy as it is now",
        f"clear the task that judges, or {SIGN_AGAIN.format(gate=policy.name)}",
    )


def evidence_markdown(evidence: GateEvidence) -> str:
    """The evidence as a Markdown table, for a terminal and a log."""
    lines = [
        f"### Gate `{evidence.gate}`: {'**Go**, every rule holds' if evidence.passed else '**No-Go**'}",
        "",
        *(["This policy is automatic: it signs a Go by itself, no human is asked.", ""] if evidence.automatic else []),
        *rules_table(evidence),
    ]
    return "\n".join(lines)
