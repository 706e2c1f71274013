"""Pages of one slice: its stages with their receipts, one receipt, and the documents that a rule dropped.

A receipt names everything that its figures were made of, so these pages compute nothing: they show counts of receipts and rows of
`exclusions`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from headrace_governance.audit.document_trace import measured_line
from headrace_governance.audit.reports.charts import bars, short
from headrace_governance.audit.reports.foreign import visible
from headrace_governance.audit.reports.html import render
from headrace_governance.audit.reports.links import Links
from headrace_lake.receipts import ALARM_FROM, ALARM_SHARE, Receipt
from headrace_lake.slices import Slice

PAGE = 50
"""Rows on a page of a long list."""
_SHOWN_REASONS = 15
_SHOWN_FILES = 100
_LONG, _LONGEST = 300, 20_000
"""Characters of a parameter: what is shown at once, and what is shown at all."""
_MIXED = "select"
"""Its reasons are those of other stages, told once more."""


# -- a list by pages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """Which part of a list a page shows: `first` to `last`, exclusive."""

    page: int
    pages: int
    first: int
    last: int


def cut(rows: int, page: int, size: int = PAGE) -> Cut:
    """The part of a list of so many rows; a page that is not there becomes the nearest one."""
    pages = max(1, -(-rows // size))
    page = min(max(1, page), pages)
    return Cut(page, pages, (page - 1) * size, min(rows, page * size))


# -- a slice --------------------------------------------------------------------------------------------------------------


def slice_body(slice_: Slice, history: Sequence[Receipt], tokens: Mapping[str, int], links: Links) -> Markup:
    """The sections of a slice's page.

    Args:
        history: the slice's receipts, oldest first.
        tokens: `documents` and `tokens` of its shards.
    """
    newest: dict[str, Receipt] = {}
    for r in history:
        newest.pop(r.stage, None)  # so that the stages stand in the order of their last commits
        newest[r.stage] = r
    now = list(newest.values())
    visible_now = {(r.stage, r.run_id) for r in now}
    rules = _rules(now)
    return render(
        "headrace_governance.audit.reports/slice.html.j2",
        slice_=slice_,
        links=links,
        kept=[(newest[stage].counts.kept, what) for stage, what in _FIGURES if stage in newest],
        tokens=tokens.get("tokens", 0),
        rows_failed=sum(r.counts.failed for r in now),
        failed=sum(e.success is False for r in now for e in r.expectations),
        judged=sum(e.success is not None for r in now for e in r.expectations),
        now=now,
        seconds=seconds,
        expected=_expected,
        rules=rules[:_SHOWN_REASONS],
        all_rules=len(rules),
        alarm=f"over {ALARM_SHARE:.0%}",
        earlier=[r for r in reversed(history) if (r.stage, r.run_id) not in visible_now],
        most=PAGE,
    )


_FIGURES = (("crawl", "captures"), ("import", "captures"), ("extract", "documents with text"), ("select", "admitted"))
"""Stages whose kept rows are shown first, and what those are."""


def _expected(r: Receipt) -> tuple[str, str] | None:
    """How a receipt's expectations fared: kind of tag and words."""
    judged = [e for e in r.expectations if e.success is not None]
    failed = [e for e in judged if e.success is False]
    if failed:
        return "bad" if any(e.severity == "error" for e in failed) else "warn", f"{len(failed)} of {len(judged)} failed"
    return ("good", f"{len(judged)} passed") if judged else None


@dataclass(frozen=True)
class _Rule:
    """What one rule dropped of a slice."""

    stage: str
    reason: str
    rows: int
    share: float
    alarm: bool


def _rules(now: Sequence[Receipt]) -> list[_Rule]:
    """What each rule dropped, most first."""
    found = []
    for r in (r for r in now if r.stage != _MIXED):
        for reason, n in r.counts.reasons.items():
            share = n / max(1, r.counts.read)
            found.append(_Rule(r.stage, reason, n, share, r.counts.read >= ALARM_FROM and share > ALARM_SHARE))
    return sorted(found, key=lambda f: (-f.rows, f.stage, f.reason))


# -- a receipt ------------------------------------------------------------------------------------------------------------


def receipt_body(r: Receipt, producers: Mapping[str, Receipt], links: Links, *, current: bool) -> Markup:
    """The sections of a receipt's page.

    Args:
        producers: receipts by fingerprint, as far as they are known: inputs lead to them.
        current: whether its outputs are visible now.
    """
    reasons = sorted(r.counts.reasons.items(), key=lambda item: (-item[1], item[0]))
    shares = [(k, float(n), f"{n:,}  ({n / r.counts.read:.1%})") for k, n in reasons[:_SHOWN_REASONS]]
    return render(
        "headrace_governance.audit.reports/receipt.html.j2",
        r=r,
        links=links,
        current=current,
        took=seconds(r),
        reasons=reasons,
        chart=bars("Rows dropped by reason", shares, label=260) if shares else None,
        producers=producers,
        params=[(k, json.dumps(v, ensure_ascii=False, sort_keys=True)) for k, v in r.params.items()],
        long=_LONG,
        longest=_LONGEST,
        files=sorted(r.outputs, key=lambda o: (o.table, o.part, o.path)),
        most=_SHOWN_FILES,
        size=short(sum(o.bytes for o in r.outputs)),
        visible=visible,
    )


# -- dropped documents ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dropped:
    """One row of a list of dropped documents; `title` and `url` are empty where no text was stored."""

    uid: str
    stage: str
    reason: str
    detail: str
    title: str = ""
    url: str = ""
    characters: int | None = None


def drops_body(
    slice_: Slice,
    rows: Sequence[Dropped],
    by_rule: Sequence[tuple[str, str, int]],
    total: int,
    at: Cut,
    links: Links,
    *,
    stage: str,
    reason: str,
) -> Markup:
    """The sections of the list.

    Args:
        rows: of this page.
        by_rule: (stage, reason, documents) over the whole slice, largest first.
        total: rows that match.
    """
    return render(
        "headrace_governance.audit.reports/drops.html.j2",
        slice_=slice_,
        rows=rows,
        by_rule=by_rule,
        total=total,
        at=at,
        links=links,
        stage=stage,
        reason=reason,
        measured_line=measured_line,
        visible=visible,
    )


def seconds(r: Receipt) -> str:
    """How long a run took, from the start of its pass."""
    took = (r.finished_at - r.started_at).total_seconds()
    return f"{took:.1f} s" if took < 100 else f"{took / 60:.1f} min"


def as_rows(dropped: Sequence[dict[str, Any]], documents: Mapping[str, dict[str, Any]]) -> list[Dropped]:
    """Rows of `exclusions` with what `documents` says of them; without a text, a crawl's detail begins with the address."""
    out = []
    for r in dropped:
        d = documents.get(r["uid"])
        detail = r["detail"] or ""
        if d is None and "://" in detail.partition(" ")[0]:
            url, _, detail = detail.partition(" ")
            out.append(Dropped(r["uid"], r["stage"], r["reason"], detail, url=url))
        else:
            found = d or {}
            out.append(
                Dropped(
                    r["uid"], r["stage"], r["reason"], detail, found.get("title") or "", found.get("url") or "", found.get("characters")
                )
            )
    return out
