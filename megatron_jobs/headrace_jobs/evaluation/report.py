"""An evaluation as files: JSON for programs, JSON lines by document, a chart, and a page that shows both without a network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    columns = ("language", "bits per byte", "95 % interval", "unigram", "better", "documents", "bytes")
    lines = []
    for r in [*result["languages"], result["overall"]]:
        cells = (
            r["language"],
            f"{r['bits_per_byte']:.4f}",
            f"{r['low']:.4f} to {r['high']:.4f}",
            f"{r['unigram']:.4f}",
            "yes" if r["better"] else "no",
            f"{r['documents']:,}",
            f"{r['bytes']:,}",
        )
        lines.append("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
    head = "".join(f"<th>{c}</th>" for c in columns)
    picture = base64.b64encode(chart).decode("ascii")
    name = html.escape(f"{result['checkpoint']['name']} on held-out documents of {result['mix']['name']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        "<style>body{font:15px system-ui;margin:2em;max-width:60em}td,th{padding:.2em .8em;text-align:right}"
        "td:first-child,th:first-child{text-align:left}img{max-width:100%}</style>"
        f"<h1>{name}</h1><p>{html.escape(definition_line(result))} Baseline: {html.escape(result['baseline'])}.</p>"
        f'<img alt="bits per byte by language" src="data:image/png;base64,{picture}">'
        f"<table><tr>{head}</tr>{''.join(lines)}</table></html>\n"
    )
