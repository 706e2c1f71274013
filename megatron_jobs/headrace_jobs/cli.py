"""`headrace mix | eval | gate | release`. What is heavy is imported inside the functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace_lake import completion
from headrace_lake.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table
from headrace_lake.errors import ConfigError

mix_app = typer.Typer(help="Compile recipes into mixes; look at them.", no_args_is_help=True)
eval_app = typer.Typer(help="Bits per byte on held-out documents.", no_args_is_help=True)
gate_app = typer.Typer(help="Go or No-Go: judge, show, sign.", no_args_is_help=True)
release_app = typer.Typer(help="Build, verify and list releases.", no_args_is_help=True)
apps: dict[str, typer.Typer] = {"mix": mix_app, "eval": eval_app, "gate": gate_app, "release": release_app}

RecipeArgument = Annotated[
    str, typer.Argument(help="Name in megatron_jobs/configs/recipes, or a YAML file.", autocompletion=completion.recipes)
]


@mix_app.command("compile")
def mix_compile(
    recipe: RecipeArgument,
    allow_stale: Annotated[
        bool, typer.Option("--allow-stale", help="Take slices that are out of date as they are; the mix records which, and why.")
    ] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the documents of a recipe from the lake as it is now. Exit code 1 if slices of it are out of date; names them."""
    from headrace_jobs.gates.policy import load_policy
    from headrace_jobs.mix.compile import compile_mix
    from headrace_jobs.mix.recipe import load_recipe
    from headrace_lake.interrupt import says_what_stays

    lake = open_lake(settings)
    chosen = load_recipe(lake.settings, recipe)
    load_policy(lake.settings, chosen.release_gate)  # a gate that is not there is found before training, not after
    with says_what_stays(lambda: "the lake is as it was, for a mix is recorded when it is whole"):
        mix, action = compile_mix(lake, chosen, allow_stale=allow_stale)
    _show_mix(mix.record)
    echo(f"mix {mix.fingerprint[:16]}: {action}; readable again at tag {mix.record['tag']}")
    emit_result(
        {
            "action": action,
            "fingerprint": mix.fingerprint,
            "tag": mix.record["tag"],
            "tokens": sum(p.tokens for p in mix.phases),
            "documents": mix.documents.num_rows,
            "held_out_documents": mix.record["held_out_documents"],
            "stale": mix.record.get("stale", {}),
            "languages": {k: v["planned_tokens"] for k, v in mix.record["by_language"].items()},
        }
    )


@mix_app.command("show")
def mix_show(recipe: RecipeArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """The newest compiled mix of a recipe: pools, planned tokens, epochs, licences."""
    from headrace_jobs.mix.compile import load_mix, newest_mix

    lake = open_lake(settings)
    mix = load_mix(lake, newest_mix(lake, _name(recipe)))
    _show_mix(mix.record)
    rows = [(r["bucket"], r["pool_tokens"], r["planned_tokens"], r["epochs"]) for r in mix.record["plan"]]
    show_table("buckets", ("bucket", "pool tokens", "planned tokens", "epochs"), rows)
    emit_result({"fingerprint": mix.fingerprint, "plan": mix.record["plan"]})


@mix_app.command("ls")
def mix_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All compiled mixes."""
    _list(("mix",), settings)


def _show_mix(record: dict[str, Any]) -> None:
    for field in ("language", "source", "licence_class"):
        rows = [
            (name, r["documents"], r["pool_tokens"], r["planned_tokens"], f"{r['share']:.2%}") for name, r in record[f"by_{field}"].items()
        ]
        show_table(f"by {field.replace('_', ' ')}", (field, "documents", "pool tokens", "planned tokens", "share"), rows)
    echo(f"held out: {record['held_out_documents']} documents; refused by licence: {record['refused_licences']}")
    for slice_, cause in record.get("stale", {}).items():
        echo(f"out of date when it was compiled, and allowed: {slice_} ({cause})")


@eval_app.command("run")
def eval_run(
    recipe: RecipeArgument,
    window: Annotated[int | None, typer.Option("--window", min=2, help="Context in tokens; the recipe's length by default.")] = None,
    stride: Annotated[int | None, typer.Option("--stride", min=1, help="Tokens that a window scores; the window by default.")] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1000, help="Of the bootstrap.")] = 10_000,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score the newest checkpoint of the recipe's newest mix on its held-out documents."""
    from headrace_jobs.evaluation.run import EvaluationParams, evaluate_recipe, load_evaluation
    from headrace_jobs.mix.recipe import load_recipe

    lake = open_lake(settings)
    chosen = load_recipe(lake.settings, recipe)
    length = window or chosen.train.get("sequence_length", 256)
    if not isinstance(length, int):
        raise ConfigError(f"recipe {chosen.name}: field 'train.sequence_length' is '{length}'", "give a whole number")
    params = EvaluationParams(window=length, stride=stride, resamples=resamples)
    artifact, action = evaluate_recipe(lake, chosen.name, params)
    result = load_evaluation(lake, artifact)
    _show_evaluation(result)
    echo(f"evaluation {artifact.fingerprint[:16]}: {action}; page: {artifact.payload['files']['html']}")
    kept = {"definition": result["definition"], "languages": result["languages"], "overall": result["overall"]}
    emit_result({"action": action, "fingerprint": artifact.fingerprint, "path": artifact.path, **kept})


@eval_app.command("show")
def eval_show(recipe: RecipeArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """The newest evaluation of a recipe."""
    from headrace_jobs.evaluation.run import load_evaluation
    from headrace_lake.errors import InputError

    lake = open_lake(settings)
    found = lake.find_artifact("evaluation", name=_name(recipe))
    if found is None:
        raise InputError(f"recipe '{recipe}' has no evaluation", f"run 'headrace eval run {recipe}'")
    result = load_evaluation(lake, found)
    _show_evaluation(result)
    emit_result(result)


@eval_app.command("ls")
def eval_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All evaluations; what another definition measured is marked."""
    from headrace_jobs.evaluation.bits_per_byte import not_comparable

    _list(("evaluation",), settings, note=not_comparable)


def _show_evaluation(result: dict[str, Any]) -> None:
    from headrace_jobs.evaluation.bits_per_byte import definition_line

    rows = [
        (
            r["language"],
            f"{r['bits_per_byte']:.4f}",
            f"{r['low']:.4f} to {r['high']:.4f}",
            f"{r['unigram']:.4f}",
            "yes" if r["better"] else "no",
            r["documents"],
            r["bytes"],
        )
        for r in [*result["languages"], result["overall"]]
    ]
    columns = ("language", "bits per byte", "95 % interval", "unigram", "better", "documents", "bytes")
    show_table(f"held-out bits per byte of {result['checkpoint']['name']}", columns, rows)
    echo(definition_line(result))


@gate_app.command("evaluate")
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
    name = _name(recipe)
    if for_release or gate == OWN:
        policy = gate_of_release(lake.settings, own_gate(newest_mix(lake, name)), gate)
    else:
        policy = load_policy(lake.settings, gate)
    echo(f"gate {policy.name}{f', which recipe {name} names,' if gate == OWN else ''} is {policy.who_signs()}")
    evidence, action = evaluate_gate(lake, policy, name, triggered_by=triggered_by)
    echo(evidence_markdown(evidence))
    echo(f"\nevidence {evidence.fingerprint[:16]}: {action}; 'headrace gate sign {evidence.fingerprint[:16]}' records a decision")
    emit_result(evidence.model_dump(mode="json"))


@gate_app.command("show")
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


@gate_app.command("sign")
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


@gate_app.command("policies")
def gate_policies(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """The gates there are: what each opens and who signs it."""
    from headrace_jobs.gates.policy import known_gates, load_policy
    from headrace_lake.settings import load_settings

    chosen = load_settings(settings)
    rows = [(p.name, ", ".join(p.opens), p.who_signs()) for p in (load_policy(chosen, name) for name in known_gates(chosen))]
    show_table("gates", ("gate", "opens", "who signs"), rows)
    emit_result({"gates": [list(row) for row in rows]})


@gate_app.command("ls")
def gate_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All evidence and decisions."""
    _list(("gate-evidence", "gate"), settings)


@release_app.command("build")
def release_build(
    recipe: RecipeArgument,
    gate: Annotated[
        str | None, typer.Option("--gate", help="A stricter gate than the recipe's own, whose decision counts instead.")
    ] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the bundle of the newest evaluated checkpoint; needs a valid Go."""
    from headrace_jobs.release.bundle import build_release
    from headrace_lake.interrupt import says_what_stays

    lake = open_lake(settings)
    with says_what_stays(lambda: "the lake is as it was, for a release is recorded when it is whole"):
        artifact, action = build_release(lake, _name(recipe), gate=gate)
    where = lake.storage.uri(artifact.path).removeprefix("file://")
    p = artifact.payload["gate"]
    echo(f"gate {p['gate']}: {p['decision']}, signed by {p['signer']}; {p['note']}")
    echo(f"release {artifact.payload['bundle']}: {action}, {artifact.payload['files']} files, root {artifact.digest}")
    echo(where)
    emit_result({"action": action, "fingerprint": artifact.fingerprint, "path": where, "root": artifact.digest, **artifact.payload["gate"]})


@release_app.command("verify")
def release_verify(
    release: Annotated[
        str, typer.Argument(help="A bundle's folder, its name, or a recipe (its newest release).", autocompletion=completion.recipes)
    ],
    root: Annotated[str, typer.Option("--root", help="The root digest that was published, for a folder from elsewhere.")] = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check digests, weights, tokenizer and sample without a network."""
    from headrace_jobs.release.verify import verify_folder, verify_release

    if Path(release).is_dir():
        where, checks = release, verify_folder(Path(release), expected_root=root)
    else:
        where, checks = verify_release(open_lake(settings), _name(release))
    show_table(f"release {where}", ("check", "found"), [(c.name, c.detail) for c in checks])
    emit_result({"path": where, "passed": True, "checks": {c.name: c.detail for c in checks}})


@release_app.command("ls")
def release_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All releases."""
    _list(("release",), settings)


def _list(kinds: tuple[str, ...], settings: Path | None, *, note: Callable[[dict[str, Any]], str] = lambda _: "") -> None:
    """Artifacts of kinds; `note` says of a payload what stands behind its summary."""
    lake = open_lake(settings)
    listed: dict[str, list[dict[str, Any]]] = {}
    for kind in kinds:
        rows: list[dict[str, Any]] = []
        for a in lake.artifacts(kind):
            what = "; ".join(filter(None, (str(a.payload.get("summary", "")), note(a.payload))))
            rows.append({"name": a.name, "fingerprint": a.fingerprint, "created": a.created_at, "what": what})
        shown = [(r["name"], r["fingerprint"][:16], f"{r['created']:%Y-%m-%d %H:%M}", r["what"]) for r in rows]
        show_table(kind, ("name", "fingerprint", "created", "what"), shown)
        listed[kind] = rows
    emit_result(listed)


def _name(recipe: str) -> str:
    """A recipe's name; for a YAML file its stem."""
    return Path(recipe).stem if recipe.endswith((".yaml", ".yml")) else recipe
