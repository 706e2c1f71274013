"""Training runs on pages: the list of runs, and a run's loss curve, launches and evaluations.

The trainer records the training loss of every step. Held-out loss is measured by evaluations, at checkpoints, in bits per byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from headrace_governance.reports.charts import bars, curve, sparkline
from headrace_governance.reports.html import Child, Element, cell, el, facts, prose, table, tag, tiles
from headrace_governance.reports.links import Links
from headrace_jobs.trainer.pace import duration
from headrace_jobs.training_runs import Run, evaluations
from headrace_lake.receipts import Artifact

_TABLE_ROWS = 14


# -- the list -------------------------------------------------------------------------------------------------------------


def training_body(runs: Sequence[Run], artifacts: Sequence[Artifact], links: Links) -> list[Child]:
    """The sections of the list of runs."""
    rows: list[Sequence[Child]] = []
    for run in runs:
        last = run.points[-1] if run.points else None
        found = evaluations(run, artifacts)
        bits = found[-1].payload.get("overall", {}).get("bits_per_byte") if found else None
        rows.append(
            [
                el("a", run.recipe, href=links.run(run.id)),
                state(run),
                last.step if last else None,
                last.total_tokens if last else None,
                sparkline(f"loss of {run.id}", [(p.total_tokens, p.loss) for p in run.points]),
                _decimal(run.points[0].loss if run.points else None, 3),
                _decimal(run.last_loss if run.points else None, 3),
                _decimal(bits, 3),
                _took(run),
                f"{run.artifact.created_at:%Y-%m-%d %H:%M}" if run.artifact else "",
            ]
        )
    heads = [("recipe", False), ("state", False), ("steps", True), ("tokens", True), ("loss", False), ("first loss", True)]
    heads += [("last loss", True), ("bits per byte", True), ("took", True), ("finished (UTC)", False)]
    none = ["No run yet: ", el("code", "headrace train RECIPE"), ", or trigger the DAG pretrain."]
    why = "Loss in nats per token, the mean of the last ten steps; bits per byte of the newest evaluation, over all languages."
    return [el("section", el("h2", "Runs"), prose(why), table(heads, rows, name="runs", find=len(rows) > 10, none=none))]


def state(run: Run) -> Element:
    """How a run stands, in a coloured word."""
    if run.artifact is not None:
        return tag("good", "finished")
    if not run.running:
        return tag("warn", f"stopped {duration(run.silent_s)} ago")
    left = run.seconds_left
    return tag("none", "running" + (f", {duration(left)} left" if left is not None else ""))


def _took(run: Run) -> Element:
    took = sum(p.seconds for p in run.points)
    return cell(duration(took) if took else "", took, class_="n")


def _decimal(value: float | None, digits: int) -> Child:
    return "" if value is None or not math.isfinite(value) else cell(f"{value:,.{digits}f}", value, class_="n")


# -- one run --------------------------------------------------------------------------------------------------------------


def run_body(run: Run, artifacts: Sequence[Artifact], links: Links, *, by: str = "tokens") -> list[Child]:
    """The sections of a run's page.

    Args:
        by: what the curve is drawn over, `tokens` or `steps`.
    """
    made = run.artifact
    payload = made.payload if made else {}
    vocabulary = payload.get("vocabulary")
    last = run.points[-1] if run.points else None
    took = sum(p.seconds for p in run.points)
    figures: list[tuple[Child, Child]] = [(last.step if last else 0, "steps"), (last.total_tokens if last else 0, "tokens trained on")]
    if run.points:
        figures.append((f"{run.last_loss:.3f}", f"last loss, nats per token; {run.points[0].loss:.3f} at first"))
    if vocabulary and run.points:
        figures.append((f"{math.log(vocabulary) - run.last_loss:.2f}", f"nats below ln {vocabulary:,}, which knows nothing"))
    if took and last:
        figures.append((f"{sum(p.tokens for p in run.points) / took:,.0f}", "tokens a second"))
    if run.running and run.seconds_left is not None:
        figures.append((duration(run.seconds_left), f"left of {run.total_tokens or 0:,} tokens"))
    found = evaluations(run, artifacts)
    about = facts(
        ("state", state(run)),
        ("recipe", run.recipe),
        ("run", el("code", made.fingerprint if made else run.id)),
        ("mix", el("code", made.parents[0]) if made and made.parents else None),
        ("parameters", f"{payload['parameters']:,}" if "parameters" in payload else None),
        ("trained for", duration(took) if took else None),
        ("folder", el("code", made.path) if made else None),
        ("metrics", el("code", payload["files"]["jsonl"]) if payload.get("files", {}).get("jsonl") else None),
    )
    return [
        tiles(*figures),
        el("section", about),
        _curve(run, vocabulary, links, by),
        *_evaluated(found, artifacts),
        _launches(run),
        _steps(run),
    ]


def _curve(run: Run, vocabulary: int | None, links: Links, by: str) -> Element:
    over_steps = by == "steps"
    raw = [(float(p.step if over_steps else p.total_tokens), p.loss) for p in run.points]
    window = max(1, len(raw) // 40)
    limit = (math.log(vocabulary), f"ln {vocabulary:,} = {math.log(vocabulary):.2f}") if vocabulary else None
    at_step = {p.step: x for p, (x, _) in zip(run.points, raw, strict=True)}
    marks = [(at_step[s["after_step"]], f"launch {i + 1}") for i, s in enumerate(run.segments) if i and s.get("after_step") in at_step]
    seen = run.points[0].phase if run.points else ""
    for p in run.points:
        if p.phase != seen:
            marks.append((at_step[p.step], f"phase {p.phase}"))
            seen = p.phase
    other = "tokens" if over_steps else "steps"
    switch = el("a", f"by {other}", href=f"{links.run(run.id)}?by={other}")
    how = f"Every step, and the mean of {window} steps (dark). " if window > 1 else "Every step. "
    return el(
        "section",
        el("h2", "Training loss"),
        el("p", how, "Dashed: where it was launched again, and where a phase of the recipe begins. Show it ", switch, ".", class_="quiet"),
        curve(
            f"training loss of {run.id}",
            raw,
            smooth=smoothed(raw, window) if window > 1 else (),
            limit=limit,
            marks=marks,
            x_name="steps" if over_steps else "tokens",
            y_name="nats per token",
        ),
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


def _evaluated(found: Sequence[Artifact], artifacts: Sequence[Artifact]) -> list[Child]:
    steps = {a.fingerprint: a.payload.get("step") for a in artifacts if a.kind == "checkpoint"}
    sections: list[Child] = []
    for evaluation in reversed(found):
        p = evaluation.payload
        rows = [*p.get("languages", []), *([p["overall"]] if "overall" in p else [])]
        if not rows:
            continue
        step = next((steps[f] for f in evaluation.parents if f in steps), None)
        name = p.get("checkpoint", {}).get("name", "")
        body: list[Sequence[Child]] = [
            [
                r["language"],
                *(_decimal(r["bits_per_byte"], 4), f"{r['low']:.4f} to {r['high']:.4f}", _decimal(r["unigram"], 4)),
                tag("good", "yes") if r["better"] else tag("warn", "no"),
                *(r["documents"], r["bytes"]),
            ]
            for r in rows
        ]
        heads = [("language", False), ("bits per byte", True), ("95 % interval", True), ("unigram", True), ("better", False)]
        heads += [("documents", True), ("bytes", True)]
        chart = bars(
            "Bits per byte by language", [(r["language"], float(r["bits_per_byte"]), f"{r['bits_per_byte']:.3f}") for r in rows], label=60
        )
        told = (
            f"Held-out documents, checkpoint `{name}`"
            + (f" (step {step:,})" if step else "")
            + f", {evaluation.created_at:%Y-%m-%d %H:%M} "
            f"UTC. Lower is better; unigram is {p.get('baseline', 'a model of single tokens')}."
        )
        sections.append(
            el("section", el("h2", "Evaluation: bits per byte"), prose(told), chart, table(heads, body, name="evaluation", find=False))
        )
    return sections


def _launches(run: Run) -> Element | None:
    if not run.segments:
        return None
    rows: list[Sequence[Child]] = [
        [
            i + 1,
            s.get("after_step", 0) + 1,
            *(s.get("layers", {}).get("chosen", ""), s.get("softmax", {}).get("chosen", "")),
            f"{s.get('threads', '')} x {s.get('processes', '')}",
            f"{s.get('processor', '')} ({s.get('capability', '')})",
        ]
        for i, s in enumerate(run.segments)
    ]
    heads = [
        ("launch", True),
        ("from step", True),
        ("layers", False),
        ("softmax", False),
        ("threads x processes", False),
        ("processor", False),
    ]
    why = "Segments of the run: each launch may choose another precision, and says so."
    return el("section", el("h2", "Launches"), prose(why), table(heads, rows, name="launches", find=False))


def _steps(run: Run) -> Element:
    every = max(1, len(run.points) // _TABLE_ROWS)
    chosen = [*run.points[::every]]
    if run.points and chosen[-1] != run.points[-1]:
        chosen.append(run.points[-1])
    rows: list[Sequence[Child]] = [
        [
            *(p.step, p.total_tokens, p.phase, _decimal(p.loss, 4), _decimal(p.grad_norm, 3)),
            cell(f"{p.lr:.2e}", p.lr, class_="n"),
            cell(f"{p.tokens / p.seconds:,.0f}" if p.seconds else "", p.tokens / p.seconds if p.seconds else 0, class_="n"),
        ]
        for p in chosen
    ]
    heads = [
        ("step", True),
        ("tokens", True),
        ("phase", False),
        ("loss", True),
        ("gradient norm", True),
        ("learning rate", True),
        ("tokens/s", True),
    ]
    return el(
        "section", el("h2", "Steps"), prose(f"Every {every:,}th of {len(run.points):,}."), table(heads, rows, name="steps", find=False)
    )
