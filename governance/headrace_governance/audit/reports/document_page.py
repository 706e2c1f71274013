"""One document on a page: its text as it is stored with the places that verdicts name, every verdict, and where it came from.

The text is foreign: it is escaped, shown by stretches of `STRETCH` characters, and its unseen characters are made visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from headrace_governance.audit.document_trace import Span, Story, measured_line
from headrace_governance.audit.reports.foreign import shown, visible
from headrace_governance.audit.reports.html import render, text
from headrace_governance.audit.reports.links import Links

STRETCH = 20_000
"""Characters of the text on one page."""
_CUT = {"refinedweb": "cut", "duplicate_paragraph": "cut", "exact_substring": "cut", "pii": "masked"}
"""What becomes of the places that a verdict names when the tokens are written; others are only named."""
_MEANING = {
    "cut": "left out of the tokens",
    "masked": "replaced in the tokens",
    "named": "named by a verdict, kept",
}


@dataclass(frozen=True)
class _Verdict:
    """A row of the table of verdicts; `most` characters of what was measured are shown."""

    stage: str
    kind: str
    result: str
    reason: str
    measured: str
    most: int = 400
    receipt: str = ""
    others: str = ""


def document_body(told: Story, capture: dict[str, Any] | None, links: Links, *, at: int = 0) -> Markup:
    """The sections of the page.

    Args:
        capture: the document's row of `captures`, None where nothing was stored.
        at: first character of the text that is shown.
    """
    d, p = told.document, told.passport
    bad = told.exclusions or told.quarantine
    size = d and f"{d['characters']:,} characters, {d['bytes']:,} bytes; {d['replaced_characters']:,} undecodable sequences replaced"
    tokens = p and (
        f"{p['token_count']:,} tokens from token {p['token_start']:,} of part {p['part']}, document {p['ordinal']:,} there; "
        f"bytes {p['byte_start']:,} to {p['byte_end']:,} of the text, language {p['language']}"
    )
    return render(
        "headrace_governance.audit.reports/document.html.j2",
        told=told,
        capture=capture,
        links=links,
        outcome="good" if p is not None else "bad" if bad else "none",
        size=size,
        tokens=tokens,
        verdicts=_verdicts(told, links),
        visible=visible,
        **_text(told, links, at),
    )


def _verdicts(told: Story, links: Links) -> list[_Verdict]:
    """What was judged, then what dropped the document without a verdict of its own, then what failed."""
    rows = [
        _Verdict(
            verdict,
            "good" if keep else "bad",
            "kept" if keep else "dropped",
            reason or "",
            measured_line(measured),
            receipt=links.receipt_of(told.slice_, verdict),
        )
        for verdict, keep, reason, measured in told.verdicts
    ]
    reasons = {stage: reason for stage, reason, _ in told.exclusions}
    named = {row.stage for row in rows}
    rows += [
        _Verdict(stage, "bad", "dropped", reason, measured_line(detail), others=links.drops(told.slice_, stage, reasons[stage]))
        for stage, reason, detail in told.exclusions
        if stage not in named
    ]
    return rows + [_Verdict(stage, "warn", "failed", "", error, 600) for stage, error in told.quarantine]


def _text(told: Story, links: Links, at: int) -> dict[str, Any]:
    """What the section of the text shows."""
    words = str((told.document or {}).get("text", ""))
    at = min(max(0, at), max(0, len(words) - 1))
    until = min(len(words), at + STRETCH)
    return {
        "kinds": [(kind, _MEANING[kind]) for kind in sorted({_CUT.get(s.verdict, "named") for s in told.spans})],
        "where": f"Characters {at + 1:,} to {until:,} of {len(words):,}, as they are stored." if words else "The text is empty.",
        "stretch": marked(words, told.spans, at, until),
        "earlier": links.document(told.uid, told.slice_, at=max(0, at - STRETCH)) if at else "",
        "later": links.document(told.uid, told.slice_, at=until) if until < len(words) else "",
    }


def marked(words: str, spans: Sequence[Span], at: int, until: int) -> Markup:
    """A stretch of a text with the places that verdicts name; where places lie over each other, all are named in the tooltip.

    Args:
        at, until: the stretch, in characters; spans count in bytes of UTF-8.
    """
    begin = len(words[:at].encode("utf-8", "surrogatepass"))
    data = words[at:until].encode("utf-8", "surrogatepass")
    mine = [Span(max(0, s.start - begin), min(len(data), s.end - begin), s.verdict, s.kind) for s in spans]
    mine = [s for s in mine if s.start < s.end]
    edges = sorted({0, len(data), *(x for s in mine for x in (s.start, s.end))})
    out: list[Markup] = []
    for start, end in pairwise(edges):
        piece = shown(data[start:end].decode("utf-8", "replace"))
        over = [s for s in mine if s.start <= start and end <= s.end]
        if not over:
            out.append(piece)
            continue
        kinds = {_CUT.get(s.verdict, "named") for s in over}
        kind = next(k for k in ("cut", "masked", "named") if k in kinds)
        why = "; ".join(dict.fromkeys(_name(s) for s in over))
        out.append(Markup('<mark class="{}" title="{}">{}</mark>').format(kind, text(why), piece))
    return Markup("").join(out)


def _name(span: Span) -> str:
    kind = f" ({span.kind})" if span.kind else ""
    return f"{span.verdict}{kind}: {_MEANING[_CUT.get(span.verdict, 'named')]}"
