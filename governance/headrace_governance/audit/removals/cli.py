"""`headrace audit`: draw a sample of removals, show it, take judgements in, decide; and the drop-rate guard by hand.

Exit codes of `audit verdict`: 0 pass, 1 fail, 3 not enough judgements; 2 is a mistake in the command, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_lake.errors import ConfigError
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

if TYPE_CHECKING:
    from headrace_governance.audit.removals.judgements import Agreement
    from headrace_governance.audit.removals.sample import Sample
    from headrace_governance.audit.removals.verdict import AuditVerdict, Finding
    from headrace_lake.lake import Lake

app = typer.Typer(help="Were removals right? Samples, judgements, precision.", no_args_is_help=True)
SampleOption = Annotated[str, typer.Option("--sample", help="Fingerprint of the sample, 8 digits or more; the newest by default.")]
EXIT_CODES = {"pass": 0, "fail": 1, "not enough judgements": 3}


@app.command("sample")
def sample_command(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE[/INTERVAL]...", help="Slices, or sources with all their slices.")],
    verdicts: Annotated[str, typer.Option("--verdicts", help="Only these, with commas; all by default.")] = "",
    target: Annotated[int | None, typer.Option("--target", min=1, help="Cases of each verdict; the policy's by default.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the draw; the policy's by default.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the cases with their texts to this JSON Lines file.")] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the sample of removals that is to be judged; the same state of the lake gives the same sample."""
    from headrace_governance.audit.removals.policy import load_audit_policy
    from headrace_governance.audit.removals.removals import slices_named
    from headrace_governance.audit.removals.review import jsonl, shown_cases
    from headrace_governance.audit.removals.sample import draw_sample

    lake = open_lake(settings)
    policy = load_audit_policy(lake.settings)
    drawn, action = draw_sample(
        lake,
        slices_named(lake, sources),
        verdicts=_words(verdicts),
        target=target or policy.target,
        floor=policy.floor,
        seed=policy.seed if seed is None else seed,
    )
    rows = [[s.verdict, s.name.partition(", ")[2], s.population, s.drawn] for s in drawn.strata]
    show_table(f"sample {drawn.fingerprint[:16]}: {action}", ["verdict", "stratum", "removals", "cases"], rows)
    counts = {v: sum(s.drawn for s in drawn.strata if s.verdict == v) for v in drawn.verdicts}
    echo(", ".join(f"{v} {n:,}" for v, n in counts.items()))
    if out is not None:
        out.write_text(jsonl(drawn, shown_cases(lake, drawn.cases, policy.characters)), encoding="utf-8")
        echo(f"written: {out}")
    emit_result({"sample": drawn.fingerprint, "action": action, "cases": counts, "strata": len(drawn.strata)})


@app.command("page")
def page_command(
    out: Annotated[Path, typer.Option("--out", help="File of the page.")],
    sample: SampleOption = "",
    verdicts: Annotated[str, typer.Option("--verdicts", help="Only these, with commas.")] = "",
    unjudged: Annotated[bool, typer.Option("--unjudged", help="Only cases that no person has judged.")] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the page on which people judge: one file, works offline, asks nothing of any network."""
    from headrace_governance.audit.removals.judgements import recorded_judgements
    from headrace_governance.audit.removals.policy import load_audit_policy
    from headrace_governance.audit.removals.removals import check_verdicts
    from headrace_governance.audit.removals.review import page, shown_cases
    from headrace_governance.audit.removals.sample import find_sample

    lake = open_lake(settings)
    found = find_sample(lake, sample)
    wanted = check_verdicts(_words(verdicts))
    people = {j.case for j in recorded_judgements(lake, found) if j.kind == "person"} if unjudged else set()
    cases = [c for c in found.cases if c.verdict in wanted and c.case not in people]
    text = page(found, shown_cases(lake, cases, load_audit_policy(lake.settings).characters))
    out.write_text(text, encoding="utf-8")
    echo(f"{out}: {len(cases):,} cases of sample {found.fingerprint[:16]}; open it in a browser, keys 1, 2, 3, j, k, s")
    emit_result({"sample": found.fingerprint, "cases": len(cases), "page": str(out)})


@app.command("judge")
def judge_command(
    file: Annotated[Path, typer.Option("--file", help="Judgements that the page saved, or written by hand.")],
    sample: SampleOption = "",
    revise: Annotated[bool, typer.Option("--revise", help="Let a judge change what was recorded before.")] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check and record a file of judgements."""
    from headrace_governance.audit.removals.judgements import read_judgements, record
    from headrace_governance.audit.removals.sample import find_sample

    lake = open_lake(settings)
    found = find_sample(lake, sample)
    artifact, action = record(lake, found, read_judgements(file, found), revise=revise)
    echo(f"sample {found.fingerprint[:16]}: {artifact.payload['summary']}: {action}")
    _show_agreement(lake, found)
    emit_result({"sample": found.fingerprint, "action": action, **artifact.payload})


@app.command("model")
def model_command(
    sample: SampleOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the policy's model about every case, those that people judged too: agreement shows what it is worth. Texts are sent to it."""
    from headrace_governance.audit.removals.judgements import record
    from headrace_governance.audit.removals.model_judge import ask_model
    from headrace_governance.audit.removals.policy import load_audit_policy
    from headrace_governance.audit.removals.sample import find_sample
    from headrace_lake.terminal.progress import progress

    lake = open_lake(settings)
    model = load_audit_policy(lake.settings).model
    if model is None:
        raise ConfigError("the removal audit's policy names no model", "fill in 'model' in governance/policies/audit.yaml")
    found = find_sample(lake, sample)
    with progress(f"{model.name} judges", len(found.cases), "cases") as bar:
        asked = ask_model(lake, found, model, progress=lambda _: bar.advance(1))
    action = record(lake, found, asked.judgements, revise=True)[1] if asked.judgements else "nothing to record"
    echo(
        f"{len(asked.judgements):,} judgements ({asked.cached:,} answered before), {len(asked.failures):,} failed, "
        f"{asked.left:,} beyond the budget; {asked.requests:,} requests, {asked.characters:,} characters sent; {action}"
    )
    for case, why in list(asked.failures.items())[:5]:
        echo(f"case {case[:16]}: {why}")
    _show_agreement(lake, found)
    emit_result({"sample": found.fingerprint, "judgements": len(asked.judgements), "failed": len(asked.failures), "left": asked.left})


@app.command("verdict")
def verdict_command(
    sample: SampleOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Precision with its interval, by verdict and stratum, held against what is asked for; recorded, so that a gate can read it."""
    from headrace_governance.audit.removals.policy import load_audit_policy
    from headrace_governance.audit.removals.sample import find_sample
    from headrace_governance.audit.removals.verdict import decide

    lake = open_lake(settings)
    verdict, artifact, action = decide(lake, find_sample(lake, sample), load_audit_policy(lake.settings))
    _show_verdict(verdict)
    echo(f"audit {artifact.fingerprint[:16]}: {action}: {verdict.decision}")
    emit_result({"fingerprint": artifact.fingerprint, "action": action, **artifact.payload})
    raise typer.Exit(EXIT_CODES[verdict.decision])


@app.command("drop-rate")
def drop_rate_command(
    sources: Annotated[list[str] | None, typer.Argument(help="Source ids; all with documents by default.")] = None,
    pipeline: Annotated[str, typer.Option("--pipeline", help="Whose guard and verdicts.")] = "text",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What each family of filters took of each source; exits with 2 where one took nearly everything."""
    from headrace_governance.audit.drop_rate_guard import guard_of, verdicts_of
    from headrace_governance.audit.removals.removals import slices_named

    lake = open_lake(settings)
    guard, stages = guard_of(lake.settings, pipeline)
    slices = slices_named(lake, sources) if sources else lake.slices("documents")
    drop_rates = [t for source in sorted({s.source for s in slices}) for t in guard.drop_rates(lake, source, verdicts_of(stages))]
    rows = [[t.source, t.family, t.pages, t.dropped, f"{t.share:.1%}"] for t in sorted(drop_rates, key=lambda t: -t.share) if t.dropped]
    show_table("pages of which nothing is left", ["source", "family", "pages", "gone", "share"], rows)
    for line in guard.check(lake, slices, stages):
        echo(line)
    emit_result({"drop_rates": [t.__dict__ | {"share": t.share} for t in drop_rates]})


@app.command("waive")
def waive_command(
    source: Annotated[str, typer.Argument(help="Source id.")],
    family: Annotated[str, typer.Option("--family", help="Of filters, as the guard's message names it.")],
    signer: Annotated[str, typer.Option("--signer", help="Who signs.")],
    reason: Annotated[str, typer.Option("--reason", help="Why nearly all of the source may be dropped.")],
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="How long it holds.")] = 168.0,
    pipeline: Annotated[str, typer.Option("--pipeline", help="Whose guard.")] = "text",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign that a source's drop rate may pass the guard for a while."""
    from headrace_governance.audit.drop_rate_guard import guard_of, verdicts_of, waive

    lake = open_lake(settings)
    guard, stages = guard_of(lake.settings, pipeline)
    drop_rates = {t.family: t for t in guard.drop_rates(lake, source, verdicts_of(stages))}
    if family not in drop_rates:
        raise ConfigError(f"no family '{family}' of filters", f"families: {', '.join(drop_rates)}")
    artifact = waive(lake, drop_rates[family], signer=signer, reason=reason, hours=hours)
    echo(f"{artifact.payload['summary']}; until {artifact.payload['expires_at'][:16]} UTC")
    emit_result({"fingerprint": artifact.fingerprint, **artifact.payload})


def _words(text: str) -> list[str]:
    return [w.strip() for w in text.split(",") if w.strip()]


def _show_verdict(verdict: AuditVerdict) -> None:
    columns = ["", "removals", "cases", "judged", "people", "right", "wrong", "unsure", "precision", "interval", "decision"]
    rows = [[*_row(v), v.decision] for v in verdict.verdicts] + [[*_row(verdict.overall), verdict.decision]]
    show_table(f"precision of removals; the lower end must reach {verdict.precision_at_least}", columns, rows)
    strata = [_row(s) for v in verdict.verdicts for s in v.strata if s.judged]
    show_table("by stratum", columns[:-1], sorted(strata, key=lambda r: str(r[8])))
    _show_agreements(verdict.agreements)


def _row(found: Finding) -> list[object]:
    p = found.precision
    interval = f"{p.low:.3f} to {p.high:.3f}"
    counts = [found.removals, found.cases, found.judged, found.people, found.right, found.wrong, found.unsure]
    return [found.name, *counts, f"{p.value:.3f}" if found.judged or not found.removals else "", interval]


def _show_agreement(lake: Lake, sample: Sample) -> None:
    from headrace_governance.audit.removals.judgements import agreements, recorded_judgements

    _show_agreements(agreements(recorded_judgements(lake, sample)))


def _show_agreements(found: Sequence[Agreement]) -> None:
    rows = [[a.one, a.other, a.cases, f"{a.agreed:.1%}", f"{a.kappa:.2f}"] for a in found]
    if rows:
        show_table("agreement of judges", ["judge", "judge", "cases", "agree", "Cohen's kappa"], rows)
