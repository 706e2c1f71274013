"""An evaluation as files: JSON for programs, JSON lines by document, a chart, and a page that shows both without a network."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace_governance.audit.reports.html import page, render
from headrace_jobs.evaluation.bits_per_byte import definition_line


def write_report(result: dict[str, Any], documents: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write `evaluation.json`, `.jsonl`, `.png` and `.html`; the same result gives the same JSON, lines and page.

    Args:
        documents: one entry a scored document: `uid`, `language`, `tokens` of its text, `bytes` of its encoded text, `nats`.
    """
    chart = folder / "evaluation.png"
    _plot(result, chart)
    data = folder / "evaluation.json"
    data.write_text(json.dumps(result, sort_keys=True, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    lines = folder / "evaluation.jsonl"
    lines.write_text("".join(json.dumps(d, sort_keys=True) + "\n" for d in documents), encoding="utf-8")
    page = folder / "evaluation.html"
    page.write_text(_page(result, chart.read_bytes()), encoding="utf-8")
    return [data, lines, chart, page]


def _plot(result: dict[str, Any], file: Path) -> None:
    """Bars with intervals beside the unigram baseline, one pair a language."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [*result["languages"], result["overall"]]
    figure = Figure(figsize=(max(6.0, 0.7 * len(rows)), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    at = range(len(rows))
    errors = [[max(0.0, r["bits_per_byte"] - r["low"]) for r in rows], [max(0.0, r["high"] - r["bits_per_byte"]) for r in rows]]
    axes.bar([x - 0.2 for x in at], [r["bits_per_byte"] for r in rows], 0.4, yerr=errors, capsize=3, label="model", color="#1f77b4")
    axes.bar([x + 0.2 for x in at], [r["unigram"] for r in rows], 0.4, label="unigram", color="#c7c7c7")
    axes.set_xticks(list(at), [r["language"] for r in rows])
    axes.set_ylabel("bits per byte (lower is better)")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _page(result: dict[str, Any], chart: bytes) -> str:
    body = render(
        "headrace_jobs.evaluation/report.html.j2",
        definition=definition_line(result),
        baseline=result["baseline"],
        chart=base64.b64encode(chart).decode("ascii"),
        rows=[*result["languages"], result["overall"]],
    )
    return page(f"{result['checkpoint']['name']} on held-out documents of {result['mix']['name']}", body, pictures=True)
