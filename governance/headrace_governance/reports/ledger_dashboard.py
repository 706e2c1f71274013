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

from headrace_governance.ledger import ALL, LEVELS, MOST_EPOCHS
from headrace_governance.reports.charts import bars, legend, nested, short, waterfall
from headrace_governance.reports.html import Child, Element, cell, el, page, prose, table, tag
from headrace_governance.reports.links import Links
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
        ledger: as `headrace_governance.ledger.ledger` makes it.
        now: when the page is made; ages count from it.
    """
    history = lake.receipts()
    return page("Ledger", *ledger_sections(history, ledger, now=now), _receipts(current(history)))


def ledger_sections(history: Sequence[Receipt], ledger: pa.Table, *, now: datetime, links: Links | None = None) -> list[Element]:
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
    return [
        prose(f"What each source and language declared, brought, lost and gave. Made {now:%Y-%m-%d %H:%M} UTC."),
        _tiles(rows, live, receipts, drops),
        el("div", language_bars(rows), _pool(live), class_="pair"),
        _sources(live),
        _supply(totals, links),
        _entries(rows, receipts, links),
        _reasons(drops, links),
        _failed(receipts, links),
        _freshness(receipts, made(history), now, links),
    ]


def _tiles(rows: Sequence[dict[str, Any]], live: Sequence[dict[str, Any]], receipts: Sequence[Receipt], drops: Sequence[_Drop]) -> Element:
    languages = {r["language"] for r in rows if r["language"] != ALL and r["admissible_tokens"]}
    failed = [e for r in receipts for e in r.expectations if e.success is False]
    judged = sum(e.success is not None for r in receipts for e in r.expectations)
    alarms = sum(d.alarm for d in drops)
    estimated = any(r["estimated_tokens"] for r in live)
    enough = len(languages) >= GOAL_LANGUAGES

    def tile(value: Child, what: Child) -> Element:
        return el("div", el("b", value), el("span", what), class_="tile")

    return el(
        "div",
        tile(_estimated(sum(r["admissible_tokens"] for r in live), estimated), "admissible tokens"),
        tile(sum(r["tokens"] for r in live), "of them tokenised"),
        tile(sum(r["admissible_documents"] for r in live), "admissible documents"),
        tile(len(languages), ["languages ", tag("good" if enough else "warn", f"goal {GOAL_LANGUAGES}")]),
        tile(len({(r.source, r.slice) for r in receipts}), f"slices of {len(live)} sources"),
        tile(alarms, ["rules over 30 % ", tag("warn", "look") if alarms else tag("good", "none")]),
        tile(len(failed), [f"of {judged:,} expectations failed ", tag("warn", "look") if failed else tag("good", "none")]),
        class_="tiles",
    )


def language_bars(rows: Sequence[dict[str, Any]]) -> Element:
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
    return el("section", el("h2", "Language share of the pool"), prose(note + gone), chart)


def _pool(live: Sequence[dict[str, Any]]) -> Element:
    sums = {level: sum(r[f"{level}_tokens"] for r in live) for level in LEVELS}
    counted = sum(r["tokens"] for r in live)
    steps = [(level, float(v), _estimated(v, v != counted, brief=True)) for level, v in sums.items()]
    return el(
        "section",
        el("h2", "From fetched to admissible"),
        el(
            "p",
            "Tokens that remain after each step; in brackets, of the step before. ~ is estimated from bytes.",
            class_="quiet",
        ),
        waterfall("Tokens of the pool by step", steps, width=560),
    )


def _sources(live: Sequence[dict[str, Any]]) -> Element:
    ordered = sorted(live, key=lambda r: (-r["fetched_tokens"], r["source"]))
    charted: list[tuple[str, Sequence[float], str]] = [
        (r["source"], [float(r[f"{level}_tokens"]) for level in LEVELS], f"{r['admissible_tokens'] / max(1, r['fetched_tokens']):.0%} left")
        for r in ordered
    ]
    return el(
        "section",
        el("h2", "By source"),
        prose("Tokens, largest first; each step lies within the one before it."),
        legend(*LEVELS),
        nested("Tokens by source and step", charted),
    )


def _supply(totals: Sequence[dict[str, Any]], links: Links | None) -> Element:
    """Declared against measured, and how often a mix repeats what there is."""
    rows = []
    for r in totals:
        declared, found, epochs = r["declared_tokens"], r["admissible_tokens"], r["effective_epochs"]
        if not declared and not found:
            continue
        times = declared / found if declared and found else None
        verdict: Child = ""
        if epochs is not None and epochs > MOST_EPOCHS:
            verdict = tag("bad", f"over {MOST_EPOCHS:g} epochs")
        elif not found:
            verdict = tag("none", "nothing measured")
        elif times is not None and times > MOST_EPOCHS:
            verdict = tag("warn", f"declared over {MOST_EPOCHS:g} times")
        rows.append(
            [
                _source_link(links, r["source"], bool(r["fetched_documents"])),
                *(declared, _tokens(found, r["estimated_tokens"]), times, r["planned_tokens"], epochs, verdict),
            ]
        )
    heads = [
        ("source", False),
        ("declared", True),
        ("measured", True),
        ("declared / measured", True),
        ("planned", True),
        ("epochs", True),
        ("", False),
    ]
    why = (
        "Where a source keeps its declared weight but holds less, its tokens are repeated: `declared / measured` is how often. "
        f"`epochs` is what the newest mix really draws. More than {MOST_EPOCHS:g} passes cost quality (Muennighoff et al. 2023)."
    )
    return el("section", el("h2", "Declared, measured, repeated"), prose(why), table(heads, rows, name="supply"))


def _entries(rows: Sequence[dict[str, Any]], receipts: Sequence[Receipt], links: Links | None) -> Element:
    known = {r.source for r in receipts}
    heads = [("source", False), ("language", False), ("captures", True), ("MB", True), ("documents", True)]
    heads += [(level, True) for level in LEVELS] + [("tokens", True), ("bytes/token", True)]
    body = []
    for r in rows:
        if not (r["captures"] or r["fetched_documents"]):
            continue
        size, ratio = r["captured_bytes"], r["bytes_per_token"]
        shown = "" if ratio is None else f"{'~' if r['ratio_of'] == 'pool' else ''}{ratio:.2f}"
        body.append(
            [
                _source_link(links, r["source"], r["source"] in known),
                "all" if r["language"] == ALL else r["language"],
                *(r["captures"], None if size is None else cell(f"{size / 1e6:,.2f}", size, class_="n"), r["admissible_documents"]),
                *(_tokens(r[f"{level}_tokens"], r[f"{level}_tokens"] - r["tokens"]) for level in LEVELS),
                *(r["tokens"], shown),
            ]
        )
    why = "In tokens; `all` is a source's total. ~ marks what is estimated, with the language's bytes per token (or ~ the pool's)."
    return el("section", el("h2", "By source and language"), prose(why), table(heads, body, name="the ledger"))


def _drops(receipts: Sequence[Receipt]) -> list[_Drop]:
    rows: dict[tuple[str, str, str], int] = defaultdict(int)
    read: dict[tuple[str, str], int] = defaultdict(int)
    for r in receipts:
        read[r.source, r.stage] += r.counts.read
        for reason, n in r.counts.reasons.items():
            rows[r.source, r.stage, reason] += n
    found = [_Drop(s, stage, reason, n, read[s, stage]) for (s, stage, reason), n in rows.items() if stage not in _MIXED]
    return sorted(found, key=lambda d: (d.source, -d.rows, d.stage, d.reason))


def _reasons(drops: Sequence[_Drop], links: Links | None) -> Element:
    by_source: dict[str, list[_Drop]] = defaultdict(list)
    for d in drops:
        by_source[d.source].append(d)
    shown = [d for found in by_source.values() for d in found if d.alarm or found.index(d) < _SHOWN_REASONS]
    body = [
        [
            _source_link(links, d.source, True, d.stage),
            *(d.stage, d.reason, d.rows, cell(f"{d.share:.1%}", d.share, class_="n")),
            tag("warn", f"over {ALARM_SHARE:.0%}") if d.alarm else "",
        ]
        for d in shown
    ]
    heads = [("source", False), ("stage", False), ("reason", False), ("rows", True), ("of what it read", True), ("alarm", False)]
    why = (
        f"The {_SHOWN_REASONS} rules of each source that take most, and every rule that takes over {ALARM_SHARE:.0%} of at least "
        f"{ALARM_FROM} rows: then the source is odd or the rule is wrong for it. `headrace drops` shows the documents."
    )
    return el("section", el("h2", "What the rules dropped"), prose(why), table(heads, body, name="reasons"))


def _failed(receipts: Sequence[Receipt], links: Links | None) -> Element:
    body = [
        [
            _receipt_link(links, r),
            e.table,
            e.expectation,
            _arguments(e.arguments),
            e.observed,
            tag("bad" if e.severity == "error" else "warn", e.severity),
        ]
        for r in receipts
        for e in r.expectations
        if e.success is False
    ]
    heads = [("receipt", False), ("table", False), ("expectation", False), ("arguments", False), ("observed", True), ("severity", False)]
    why = "Of the newest receipts. `headrace docs build` makes pages of all results; an error in a new run would have stopped it."
    return el("section", el("h2", "Expectations that failed"), prose(why), table(heads, body, name="failed expectations"))


def _freshness(receipts: Sequence[Receipt], made_at: Mapping[_Made, datetime], now: datetime, links: Links | None) -> Element:
    slices: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
    for r in receipts:
        slices[r.source, r.slice].append(r)
    committed = {key: place for place, key in enumerate(made_at)}  # in the order of the first commits
    body: list[Sequence[Child]] = []
    for (source, interval), found in slices.items():
        times = {anchor(r): made_at[_made_key(r)] for r in found}
        oldest, newest = (end(found, key=lambda r: committed[_made_key(r)]) for end in (min, max))
        since = (now - times[anchor(oldest)]).total_seconds()
        ends = [_receipt_link(links, r, f"{times[anchor(r)]:%Y-%m-%d %H:%M}") for r in (oldest, newest)]
        shown: Child = interval if links is None else el("a", interval, href=links.slice_(Slice(source, interval)))
        body.append([source, shown, len(found), *ends, cell(age(since), since, class_="n")])
    heads = [("source", False), ("slice", False), ("stages", True), ("oldest result (UTC)", False), ("newest result (UTC)", False)]
    why = "When the results that are visible were computed; restoring or judging them again makes nothing younger. Age is the oldest's."
    return el("section", el("h2", "Freshness of slices"), prose(why), table([*heads, ("age", True)], body, name="slices"))


def _receipts(receipts: Sequence[Receipt]) -> Element:
    heads = [("receipt", False), ("slice", False), ("stage", False), ("fingerprint", False)]
    heads += [("read", True), ("kept", True), ("dropped", True), ("failed", True), ("expectations", True), ("finished (UTC)", False)]
    body: list[Sequence[Child]] = []
    for r in receipts:
        c = r.counts
        passed, judged = sum(e.success is True for e in r.expectations), sum(e.success is not None for e in r.expectations)
        body.append(
            [
                el("td", el("code", r.run_id), id=anchor(r), class_="id"),
                *(str(r.slice_), r.stage, el("code", r.fingerprint[:16])),
                *(c.read, c.kept, c.dropped, c.failed, f"{passed} of {judged}" if judged else "", f"{r.finished_at:%Y-%m-%d %H:%M:%S}"),
            ]
        )
    why = "The newest of each slice and stage. `headrace table history` finds a run id's commit, `headrace lineage` a fingerprint."
    return el("section", el("h2", "Receipts"), prose(why), table(heads, body, name="receipts"), id="receipts")


def _source_link(links: Links | None, source: str, known: bool, stage: str = "") -> Child:
    """A source's name, leading to its slices; in a page by itself to its receipts (of one stage) by filling in their filter."""
    if not known:
        return source
    if links is not None:
        return el("a", source, href=links.slices(q=source))
    return el("a", source, href="#receipts", data_filter=f"{source} {stage}".strip())


def _receipt_link(links: Links | None, receipt: Receipt, shown: str = "") -> Element:
    href = f"#{anchor(receipt)}" if links is None else links.receipt(receipt)
    return el("a", shown or f"{receipt.slice_} {receipt.stage}", href=href)


def _tokens(value: int, estimated: int) -> Element:
    return cell(_estimated(value, bool(estimated)), value, class_="n")


def _estimated(value: int, is_estimate: bool, *, brief: bool = False) -> str:
    return ("~" if is_estimate else "") + (short(value) if brief else f"{value:,}")


def age(seconds: float) -> str:
    """A length of time in one unit: `3 h`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in arguments.items())
