"""`headrace gate`: judge a gate's rules, show evidence, sign decisions."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_jobs.command_line import list_artifacts, recipe_name
from headrace_lake.errors import ConfigError
from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

app = typer.Typer(help="Go or No-Go: judge, show, sign.", no_args_is_help=True)


@app.command("evaluate")
def gate_evaluate(
    recipe: Annotated[str, typer.Option("--recipe", help="Whose newest checkpoint.", autocompletion=completion.recipes)],
    gate: Annotated[
        str,
        typer.Argument(help="Name in governance/policies/gates; 'own' is the gate that the recipe names.", autocompletion=completion.gates),
    ] = "own",
    triggered_by: Annotated[str, typer.Option("--triggered-by", help="Who asks for it; may not sign unless the policy allows.")] = "",
    for_release: Annotated[
        bool, typer.Option("--for-release", help="Refuse a gate that opens no release, or asks for less than the recipe's own.")
    ] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a gate's rules and record the evidence; signs nothing."""
    from headrace_jobs.gates.judge import evaluate_gate, evidence_markdown, own_gate
    from headrace_jobs.gates.policy import OWN, gate_of_release, load_policy
    from headrace_jobs.mix.compile import newest_mix

    lake = open_lake(settings)
    name = recipe_name(recipe)
    if for_release or gate == OWN:
        policy = gate_of_release(lake.settings, own_gate(newest_mix(lake, name)), gate)
    else:
        policy = load_policy(lake.settings, gate)
    echo(f"gate {policy.name}{f', which recipe {name} names,' if gate == OWN else ''} is {policy.who_signs()}")
    evidence, action = evaluate_gate(lake, policy, name, triggered_by=triggered_by)
    echo(evidence_markdown(evidence))
    echo(f"\nevidence {evidence.fingerprint[:16]}: {action}; 'headrace gate sign {evidence.fingerprint[:16]}' records a decision")
    emit_result(evidence.model_dump(mode="json"))


@app.command("show")
def gate_show(
    fingerprint: Annotated[str, typer.Argument(help="Of the evidence; 8 digits or more.", autocompletion=completion.evidence)],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evidence and every decision on it."""
    from headrace_jobs.gates.decide import GATE_KIND, find_evidence
    from headrace_jobs.gates.evidence import read_evidence
    from headrace_jobs.gates.judge import evidence_markdown

    lake = open_lake(settings)
    found = find_evidence(lake, fingerprint)
    echo(evidence_markdown(read_evidence(found)[0]))
    decisions = [d.payload for d in lake.artifacts(GATE_KIND) if found.fingerprint in d.parents]
    rows = [(d["decision"], d["signer"], d["note"], d["signed_at"][:16], d["expires_at"][:16], d["reason"]) for d in decisions]
    show_table("decisions", ("decision", "signer", "how", "signed", "expires", "reason"), rows)
    emit_result({"evidence": found.payload["evidence"], "decisions": decisions})


@app.command("sign")
def gate_sign(
    fingerprint: Annotated[str, typer.Argument(help="Of the evidence; 8 digits or more.", autocompletion=completion.evidence)],
    decision: Annotated[str, typer.Option("--decision", help="go, no-go, or waiver: lets a No-Go pass, needs a reason.")],
    signer: Annotated[str, typer.Option("--signer", help="Who signs.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    triggered_by: Annotated[
        str, typer.Option("--triggered-by", help="Who started the run, beside those that the evidence names; may not sign.")
    ] = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a signed decision."""
    from headrace_jobs.gates.decide import describe, sign

    if decision not in ("go", "waiver", "no-go"):
        raise ConfigError(f"no decision '{decision}'", "write go, waiver or no-go")
    lake = open_lake(settings)
    artifact, action = sign(lake, fingerprint, decision=decision, signer=signer, reason=reason, triggered_by=triggered_by)  # type: ignore[arg-type]
    p = artifact.payload
    echo(f"{describe(artifact)}; {action}")
    kept = ("gate", "decision", "signer", "automatic", "reason", "signed_at", "expires_at")
    emit_result({"action": action, "fingerprint": artifact.fingerprint, **{k: p[k] for k in kept}})


@app.command("policies")
def gate_policies(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """The gates there are: what each opens and who signs it."""
    from headrace_jobs.gates.policy import known_gates, load_policy
    from headrace_lake.settings import load_settings

    chosen = load_settings(settings)
    rows = [(p.name, ", ".join(p.opens), p.who_signs()) for p in (load_policy(chosen, name) for name in known_gates(chosen))]
    show_table("gates", ("gate", "opens", "who signs"), rows)
    emit_result({"gates": [list(row) for row in rows]})


@app.command("ls")
def gate_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All evidence and decisions."""
    list_artifacts(("gate-evidence", "gate"), settings)
