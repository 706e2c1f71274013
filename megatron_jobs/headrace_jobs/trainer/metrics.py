"""The metrics file of a run (one JSON object a step), and the page that shows it without a network.

    metrics.jsonl: step, loss (nats per token), lr, grad_norm, tokens, total_tokens, tokens_per_second, seconds, phase

A resumed run cuts the file back to the step it goes on from, so each step has one line.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from headrace_governance.audit.reports.html import page, render
from headrace_jobs.trainer.observer import StepRecord

METRICS = "metrics.jsonl"
LAST_STEPS = 10
"""`last_loss` is the mean over the tokens of so many steps: a single small batch says too little, the last one most of all."""


def read_metrics(file: Path, *, up_to: int | None = None) -> list[StepRecord]:
    """Steps in a metrics file; a line cut short by a kill is left out."""
    found: list[StepRecord] = []
    if not file.exists():
        return found
    for line in file.read_text(encoding="utf-8").split("\n"):
        try:
            record = StepRecord(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if up_to is None or record.step <= up_to:
            found.append(record)
    return found


def cut_metrics(file: Path, step: int) -> None:
    """Keep the lines up to a step."""
    kept = read_metrics(file, up_to=step)
    partial = file.with_suffix(".partial")
    partial.write_text("".join(_line(r) for r in kept), encoding="utf-8")
    partial.replace(file)


def append_metrics(file: Path, record: StepRecord) -> None:
    """Add a step."""
    with open(file, "a", encoding="utf-8") as f:
        f.write(_line(record))


def mean_loss(records: Sequence[StepRecord]) -> float:
    """Nats per token over all tokens of the steps."""
    tokens = sum(r.tokens for r in records)
    return sum(r.loss * r.tokens for r in records) / tokens if tokens else math.nan


def write_page(records: Sequence[StepRecord], folder: Path, *, title: str, vocabulary: int, notes: Sequence[str] = ()) -> list[Path]:
    """Write `loss.png` and `run.html`; `notes` are lines about the run's launches."""
    chart = folder / "loss.png"
    _plot(records, chart, vocabulary)
    page = folder / "run.html"
    page.write_text(_page(records, chart.read_bytes(), title, vocabulary, notes), encoding="utf-8")
    return [chart, page]


def _line(record: StepRecord) -> str:
    return json.dumps(asdict(record), sort_keys=True) + "\n"


def _plot(records: Sequence[StepRecord], file: Path, vocabulary: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    at = [r.total_tokens for r in records]
    left.plot(at, [r.loss for r in records], color="#1f77b4", linewidth=1.2, label="loss")
    left.axhline(math.log(vocabulary), color="#7f7f7f", linestyle=":", label=f"ln {vocabulary:,}")
    left.set_xlabel("tokens")
    left.set_ylabel("nats per token")
    right = left.twinx()
    right.plot(at, [r.lr for r in records], color="#ff7f0e", linewidth=0.8, label="learning rate")
    right.set_ylabel("learning rate")
    figure.legend(loc="upper right", frameon=False, bbox_to_anchor=(0.88, 0.93))
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _page(records: Sequence[StepRecord], chart: bytes, title: str, vocabulary: int, notes: Sequence[str]) -> str:
    nothing = math.log(vocabulary)
    body = render(
        "headrace_jobs.trainer/metrics.html.j2",
        steps=len(records),
        last=min(LAST_STEPS, len(records)),
        below=f"{nothing - mean_loss(records[-LAST_STEPS:]):.2f}",
        level=f"ln {vocabulary:,} = {nothing:.2f}",
        notes=notes,
        chart=base64.b64encode(chart).decode("ascii"),
        rows=records if len(records) <= 40 else [*records[:: max(1, len(records) // 40)], records[-1]],
    )
    return page(title, body, pictures=True)
