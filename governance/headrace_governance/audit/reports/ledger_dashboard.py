"""The ledger's dashboard: one HTML file made from the ledger's table and the receipts, for a browser without a network.

Every figure can be traced: a source's name leads to its receipts, and a receipt's row holds the run id, the fingerprint and the
counts that the figure was summed from. Tokens that are estimated carry a `~`. Cost: the receipts of the lake, read once; the page
grows by about 250 bytes a receipt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa
from markupsafe import Markup

from headrace_governance.audit.ledger import ALL, LEVELS, MOST_EPOCHS
from headrace_governance.audit.reports.charts import bars, nested, short, waterfall
from headrace_governance.audit.reports.html import page, render
from headrace_governance.audit.reports.links import Links
from headrace_lake.receipts import ALARM_FROM, ALARM_SHARE, Receipt
from headrace_lake.slices import Slice

GOAL_LANGUAGES = 10
"""Languages that the pool must hold (done.md, chapter 2)."""
_SHOWN_REASONS = 5
_MIXED = ("select",)
"""Its reasons are those of other stages, told once more."""


class ReceiptReader(Protocol):
    """What the dashboard needs of a lake."""

    def receipts(self) -> list[Receipt]:
        """All receipts, oldest first."""
        ...


@dataclass(frozen=True)
class _Drop:
    source: str
    stage: str
    reason: str
    rows: int
    read: int

    @property
    def share(self) -> float:
        return self.rows / max(1, self.read)

    @property
    def alarm(self) -> bool:
        return self.read >= ALARM_FROM and self.share > ALARM_SHARE


def current(receipts: Iterable[Receipt]) -> list[Receipt]:
    """The newest receipt of each slice and stage, by slice and in the order of their commits.

    Args:
        receipts: in the order of their commits.
    """
    newest: dict[tuple[str, str, str], Receipt] = {}
    for r in receipts:
        newest.pop((r.source, r.slice, r.stage), None)
        newest[r.source, r.slice, r.stage] = r
    return sorted(newest.values(), key=lambda r: (r.source, r.slice))


_Made = tuple[str, str, str, str]


def _made_key(r: Receipt) -> _Made:
    return (r.source, r.slice, r.stage, r.fingerprint)


def made(history: Iterable[Receipt]) -> dict[_Made, datetime]:
    """When each result was first computed: restoring it, or judging it again, leaves a receipt with the same fingerprint."""
    first: dict[_Made, datetime] = {}
    for r in history:
        first.setdefault(_made_key(r), r.finished_at)
    return first


def anchor(receipt: Receipt) -> str:
    """The id of a receipt's row; the stages of one run share its run id."""
    return f"{receipt.run_id}-{receipt.stage}"


def ledger_dashboard(lake: ReceiptReader, ledger: pa.Table, *, now: datetime) -> str:
    """The page.

    Args:
        ledger: as `headrace_governance.audit.ledger.ledger` makes it.
        now: when the page is made; ages count from it.
    """
    history = lake.receipts()
    receipts = render("headrace_governance.audit.reports/ledger_receipts.html.j2", receipts=current(history), anchor=anchor)
    return page("Ledger", ledger_sections(history, ledger, now=now), receipts)


def ledger_sections(history: Sequence[Receipt], ledger: pa.Table, *, now: datetime, links: Links | None = None) -> Markup:
    """The page's sections, without the receipts.

    Args:
        history: all receipts, oldest first.
        links: where slices and receipts have pages of their own; without, they are rows of this page.
    """
    receipts = current(history)
    rows = ledger.to_pylist()
    totals = [r for r in rows if r["language"] == ALL]
    live = [r for r in totals if r["captures"] or r["fetched_documents"]]
    drops = _drops(receipts)
    estimated = any(r["estimated_tokens"] for r in live)
    languages = {r["language"] for r in rows if r["language"] != ALL and r["admissible_tokens"]}
    return render(
        "headrace_governance.audit.reports/ledger.html.j2",
        links=links,
        now=now,
        admissible=_estimated(sum(r["admissible_tokens"] for r in live), estimated),
        tokens=sum(r["tokens"] for r in live),
        documents=sum(r["admissible_documents"] for r in live),
        languages=len(languages),
        goal=GOAL_LANGUAGES,
        slices=len({(r.source, r.slice) for r in receipts}),
        sources=len(live),
        alarms=sum(d.alarm for d in drops),
        judged=sum(e.success is not None for r in receipts for e in r.expectations),
        by_language=language_bars(rows),
        by_step=_pool(live),
        by_source=_sources(live),
        levels=LEVELS,
        steps=[f"#{level}" for level in LEVELS],
        supply=[(r, *_supply(r)) for r in totals if r["declared_tokens"] or r["admissible_tokens"]],
        most_epochs=MOST_EPOCHS,
        entries=[r for r in rows if r["captures"] or r["fetched_documents"]],
        all=ALL,
        known={r.source for r in receipts},
        drops=_shown(drops),
        shown_reasons=_SHOWN_REASONS,
        alarm_share=f"{ALARM_SHARE:.0%}",
        alarm_from=ALARM_FROM,
        failures=[(r, e) for r in receipts for e in r.expectations if e.success is False],
        freshness=_freshness(receipts, made(history), now),
        estimated=_estimated,
        anchor=anchor,
        age=age,
    )


def language_bars(rows: Sequence[dict[str, Any]]) -> Markup:
    """Admissible tokens by language, of the ledger's rows."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for r in rows:
        if r["language"] != ALL:
            sums[r["language"]][0] += r["admissible_tokens"]
            sums[r["language"]][1] += r["fetched_tokens"]
    whole = sum(a for a, _ in sums.values()) or 1
    held = sorted(((k, a) for k, (a, _) in sums.items() if a), key=lambda item: (-item[1], item[0]))
    lost = sorted(k for k, (a, f) in sums.items() if f and not a)
    chart = bars("Admissible tokens by language", [(k, float(a), f"{a / whole:.1%}  {short(a)}") for k, a in held], label=50, width=560)
    note = f"{len(held)} languages hold admissible tokens; the goal is {GOAL_LANGUAGES}."
    gone = f" Fetched, but nothing admissible: {', '.join(lost)}." if lost else ""
    return render("headrace_governance.audit.reports/languages.html.j2", note=note + gone, chart=chart)


def _pool(live: Sequence[dict[str, Any]]) -> Markup:
    """The chart of the tokens that each step left."""
    sums = {level: sum(r[f"{level}_tokens"] for r in live) for level in LEVELS}
    counted = sum(r["tokens"] for r in live)
    steps = [(level, float(v), _estimated(v, v != counted, brief=True)) for level, v in sums.items()]
    return waterfall("Tokens of the pool by step", steps, width=560)


def _sources(live: Sequence[dict[str, Any]]) -> Markup:
    """The chart of each source's tokens by step."""
    ordered = sorted(live, key=lambda r: (-r["fetched_tokens"], r["source"]))
    charted: list[tuple[str, Sequence[float], str]] = [
        (r["source"], [float(r[f"{level}_tokens"]) for level in LEVELS], f"{r['admissible_tokens'] / max(1, r['fetched_tokens']):.0%} left")
        for r in ordered
    ]
    return nested("Tokens by source and step", charted)


def _supply(r: Mapping[str, Any]) -> tuple[float | None, str, str]:
    """How often what is declared holds what is measured, and a verdict about it: kind of tag and words."""
    declared, found, epochs = r["declared_tokens"], r["admissible_tokens"], r["effective_epochs"]
    times = declared / found if declared and found else None
    if epochs is not None and epochs > MOST_EPOCHS:
        return times, "bad", f"over {MOST_EPOCHS:g} epochs"
    if not found:
        return times, "none", "nothing measured"
    if times is not None and times > MOST_EPOCHS:
        return times, "warn", f"declared over {MOST_EPOCHS:g} times"
    return times, "", ""


def _drops(receipts: Sequence[Receipt]) -> list[_Drop]:
    rows: dict[tuple[str, str, str], int] = defaultdict(int)
    read: dict[tuple[str, str], int] = defaultdict(int)
    for r in receipts:
        read[r.source, r.stage] += r.counts.read
        for reason, n in r.counts.reasons.items():
            rows[r.source, r.stage, reason] += n
    found = [_Drop(s, stage, reason, n, read[s, stage]) for (s, stage, reason), n in rows.items() if stage not in _MIXED]
    return sorted(found, key=lambda d: (d.source, -d.rows, d.stage, d.reason))


def _shown(drops: Sequence[_Drop]) -> list[_Drop]:
    """The rules of each source that take most, and every one that takes too much."""
    by_source: dict[str, list[_Drop]] = defaultdict(list)
    for d in drops:
        by_source[d.source].append(d)
    return [d for found in by_source.values() for place, d in enumerate(found) if d.alarm or place < _SHOWN_REASONS]


@dataclass(frozen=True)
class _Fresh:
    """A slice with the oldest and the newest of its results that are visible, and when those were computed."""

    slice_: Slice
    stages: int
    ends: tuple[tuple[Receipt, datetime], ...]
    since: float


def _freshness(receipts: Sequence[Receipt], made_at: Mapping[_Made, datetime], now: datetime) -> list[_Fresh]:
    slices: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
    for r in receipts:
        slices[r.source, r.slice].append(r)
    committed = {key: place for place, key in enumerate(made_at)}  # in the order of the first commits
    fresh = []
    for (source, interval), found in slices.items():
        oldest, newest = (end(found, key=lambda r: committed[_made_key(r)]) for end in (min, max))
        ends = tuple((r, made_at[_made_key(r)]) for r in (oldest, newest))
        fresh.append(_Fresh(Slice(source, interval), len(found), ends, (now - ends[0][1]).total_seconds()))
    return fresh


def _estimated(value: int, is_estimate: bool, *, brief: bool = False) -> str:
    return ("~" if is_estimate else "") + (short(value) if brief else f"{value:,}")


def age(seconds: float) -> str:
    """A length of time in one unit: `3 h`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
