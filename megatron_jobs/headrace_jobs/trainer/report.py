"""Training runs on pages: the list of runs, and a run's loss curve, launches and evaluations.

The trainer records the training loss of every step. Held-out loss is measured by evaluations, at checkpoints, in bits per byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from headrace_governance.audit.reports.charts import bars, curve, sparkline
from headrace_governance.audit.reports.html import render
from headrace_governance.audit.reports.links import Links
from headrace_jobs.trainer.pace import duration
from headrace_jobs.trainer.runs import Point, Run, evaluations
from headrace_lake.receipts import Artifact

_TABLE_ROWS = 14


# -- the list -------------------------------------------------------------------------------------------------------------


def training_body(runs: Sequence[Run], artifacts: Sequence[Artifact], links: Links) -> Markup:
    """The sections of the list of runs."""
    return render(
        "headrace_jobs.trainer/runs.html.j2",
        rows=[_listed(run, artifacts) for run in runs],
        links=links,
        decimal=_decimal,
    )


def _listed(run: Run, artifacts: Sequence[Artifact]) -> dict[str, Any]:
    found = evaluations(run, artifacts)
    took = sum(p.seconds for p in run.points)
    return {
        "run": run,
        "state": state(run),
        "last": run.points[-1] if run.points else None,
        "loss": sparkline(f"loss of {run.id}", [(p.total_tokens, p.loss) for p in run.points]),
        "first_loss": run.points[0].loss if run.points else None,
        "last_loss": run.last_loss if run.points else None,
        "bits": found[-1].payload.get("overall", {}).get("bits_per_byte") if found else None,
        "took": took,
        "took_words": duration(took) if took else "",
    }


def state(run: Run) -> tuple[str, str]:
    """How a run stands: kind of tag and words."""
    if run.artifact is not None:
        return "good", "finished"
    if not run.running:
        return "warn", f"stopped {duration(run.silent_s)} ago"
    left = run.seconds_left
    return "none", "running" + (f", {duration(left)} left" if left is not None else "")


def _decimal(value: float | None, digits: int) -> str:
    """A measured value; empty if there is none that is finite."""
    return "" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


# -- one run --------------------------------------------------------------------------------------------------------------


def run_body(run: Run, artifacts: Sequence[Artifact], links: Links, *, by: str = "tokens") -> Markup:
    """The sections of a run's page.

    Args:
        by: what the curve is drawn over, `tokens` or `steps`.
    """
    made = run.artifact
    payload = made.payload if made else {}
    vocabulary = payload.get("vocabulary")
    took = sum(p.seconds for p in run.points)
    return render(
        "headrace_jobs.trainer/run.html.j2",
        run=run,
        launches=list(enumerate(run.segments, start=1)),
        state=state(run),
        made=made,
        payload=payload,
        figures=_figures(run, vocabulary, took),
        took=duration(took) if took else "",
        metrics=payload.get("files", {}).get("jsonl"),
        other="tokens" if by == "steps" else "steps",
        links=links,
        window=_window(run),
        curve=_curve(run, vocabulary, by),
        evaluations=_evaluated(evaluations(run, artifacts), artifacts),
        every=max(1, len(run.points) // _TABLE_ROWS),
        steps=_steps(run),
        decimal=_decimal,
    )


def _figures(run: Run, vocabulary: int | None, took: float) -> list[tuple[int | str, str]]:
    """What a run's page begins with: value and what it is."""
    last = run.points[-1] if run.points else None
    figures: list[tuple[int | str, str]] = [(last.step if last else 0, "steps"), (last.total_tokens if last else 0, "tokens trained on")]
    if run.points:
        figures.append((f"{run.last_loss:.3f}", f"last loss, nats per token; {run.points[0].loss:.3f} at first"))
    if vocabulary and run.points:
        figures.append((f"{math.log(vocabulary) - run.last_loss:.2f}", f"nats below ln {vocabulary:,}, which knows nothing"))
    if took and last:
        figures.append((f"{sum(p.tokens for p in run.points) / took:,.0f}", "tokens a second"))
    if run.running and run.seconds_left is not None:
        figures.append((duration(run.seconds_left), f"left of {run.total_tokens or 0:,} tokens"))
    return figures


def _window(run: Run) -> int:
    """Steps that the curve is smoothed over."""
    return max(1, len(run.points) // 40)


def _curve(run: Run, vocabulary: int | None, by: str) -> Markup:
    over_steps = by == "steps"
    raw = [(float(p.step if over_steps else p.total_tokens), p.loss) for p in run.points]
    window = _window(run)
    limit = (math.log(vocabulary), f"ln {vocabulary:,} = {math.log(vocabulary):.2f}") if vocabulary else None
    at_step = {p.step: x for p, (x, _) in zip(run.points, raw, strict=True)}
    marks = [(at_step[s["after_step"]], f"launch {i + 1}") for i, s in enumerate(run.segments) if i and s.get("after_step") in at_step]
    seen = run.points[0].phase if run.points else ""
    for p in run.points:
        if p.phase != seen:
            marks.append((at_step[p.step], f"phase {p.phase}"))
            seen = p.phase
    return curve(
        f"training loss of {run.id}",
        raw,
        smooth=smoothed(raw, window) if window > 1 else (),
        limit=limit,
        marks=marks,
        x_name="steps" if over_steps else "tokens",
        y_name="nats per token",
    )


def smoothed(raw: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """Mean over the last `window` points, from the first place where there are so many."""
    out, total = [], 0.0
    for i, (x, y) in enumerate(raw):
        total += y
        if i >= window:
            total -= raw[i - window][1]
        if i + 1 >= window:
            out.append((x, total / window))
    return out


def _evaluated(found: Sequence[Artifact], artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """The evaluations that hold a row, the newest first."""
    steps = {a.fingerprint: a.payload.get("step") for a in artifacts if a.kind == "checkpoint"}
    shown = []
    for evaluation in reversed(found):
        p = evaluation.payload
        rows = [*p.get("languages", []), *([p["overall"]] if "overall" in p else [])]
        if not rows:
            continue
        step = next((steps[f] for f in evaluation.parents if f in steps), None)
        chart = bars(
            "Bits per byte by language", [(r["language"], float(r["bits_per_byte"]), f"{r['bits_per_byte']:.3f}") for r in rows], label=60
        )
        told = (
            f"Held-out documents, checkpoint `{p.get('checkpoint', {}).get('name', '')}`"
            + (f" (step {step:,})" if step else "")
            + f", {evaluation.created_at:%Y-%m-%d %H:%M} "
            f"UTC. Lower is better; unigram is {p.get('baseline', 'a model of single tokens')}."
        )
        shown.append({"told": told, "chart": chart, "rows": rows})
    return shown


def _steps(run: Run) -> list[Point]:
    """Some of the steps, evenly, and the last one."""
    every = max(1, len(run.points) // _TABLE_ROWS)
    chosen = [*run.points[::every]]
    if run.points and chosen[-1] != run.points[-1]:
        chosen.append(run.points[-1])
    return chosen
