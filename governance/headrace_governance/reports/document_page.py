"""One document on a page: its text as it is stored with the places that verdicts name, every verdict, and where it came from.

The text is foreign: it is escaped, shown by stretches of `STRETCH` characters, and its unseen characters are made visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from headrace_governance.documents import Span, Story, measured_line
from headrace_governance.reports.foreign import shown, visible
from headrace_governance.reports.html import Child, Element, el, facts, prose, table, tag
from headrace_governance.reports.links import Links

STRETCH = 20_000
"""Characters of the text on one page."""
_CUT = {"refinedweb": "cut", "duplicate_paragraph": "cut", "exact_substring": "cut", "pii": "masked"}
"""What becomes of the places that a verdict names when the tokens are written; others are only named."""
_MEANING = {
    "cut": "left out of the tokens",
    "masked": "replaced in the tokens",
    "named": "named by a verdict, kept",
}


def document_body(told: Story, capture: dict[str, Any] | None, links: Links, *, at: int = 0) -> list[Child]:
    """The sections of the page.

    Args:
        capture: the document's row of `captures`, None where nothing was stored.
        at: first character of the text that is shown.
    """
    return [
        el("section", _facts(told, capture, links)),
        _verdicts(told, links),
        _text(told, links, at),
    ]


def _facts(told: Story, capture: dict[str, Any] | None, links: Links) -> Element:
    d, p, c = told.document, told.passport, capture or {}
    kept = p is not None
    source = [el("a", str(told.slice_), href=links.slice_(told.slice_))]
    licence = (d or c or None) and f"{(d or c)['licence']} ({(d or c)['licence_class']})"
    size = d and f"{d['characters']:,} characters, {d['bytes']:,} bytes; {d['replaced_characters']:,} undecodable sequences replaced"
    tokens = p and (
        f"{p['token_count']:,} tokens from token {p['token_start']:,} of part {p['part']}, document {p['ordinal']:,} there; "
        f"bytes {p['byte_start']:,} to {p['byte_end']:,} of the text, language {p['language']}"
    )
    return facts(
        ("outcome", tag("good" if kept else "bad" if told.exclusions or told.quarantine else "none", told.outcome)),
        ("title", visible(d["title"], 300) if d and d["title"] else None),
        ("document", el("code", told.uid)),
        ("slice", source),
        ("address", visible((d or c or {"url": ""})["url"], 600) if d or c else None),
        ("after redirects", visible(c["final_url"], 600) if c and c["final_url"] != c["url"] else None),
        ("fetched", _time(c["fetched_at"]) if c else None),
        ("licence", visible(str(licence)) if licence else None),
        ("licence found in", visible(f"{c['licence_basis']}; evidence {c['licence_evidence']}") if c else None),
        ("answered by", visible(f"{c['answered_by']}, a mirror", 600) if c and c["answered_by"] else None),
        ("capture", _capture(c) if c else None),
        ("content", el("code", c["content_digest"]) if c else None),
        ("text", size or None),
        ("tokens", tokens or None),
        ("lineage", el("a", "which mixes, checkpoints and releases hold it", href=links.lineage(told.uid, told.slice_))),
    )


def _capture(c: dict[str, Any]) -> list[Child]:
    return [el("code", f"{c['warc_path']} at byte {c['warc_offset']:,}"), f", {c['content_bytes']:,} bytes decoded"]


def _verdicts(told: Story, links: Links) -> Element:
    reasons = {stage: reason for stage, reason, _ in told.exclusions}
    rows: list[Sequence[Child]] = [
        [
            verdict,
            tag("good", "kept") if keep else tag("bad", "dropped"),
            visible(reason or "", 120),
            visible(measured_line(measured), 400),
            el("a", "receipt", href=links.receipt_of(told.slice_, verdict)),
        ]
        for verdict, keep, reason, measured in told.verdicts
    ]
    heads = [("verdict", False), ("result", False), ("reason", False), ("measured", False), ("", False)]
    named = {verdict for verdict, *_ in told.verdicts}
    others: list[Sequence[Child]] = [
        [stage, tag("bad", "dropped"), visible(reason, 120), visible(measured_line(detail), 400), _rule(told, stage, reasons[stage], links)]
        for stage, reason, detail in told.exclusions
        if stage not in named
    ]
    others += [[stage, tag("warn", "failed"), "quarantined", visible(error, 600), ""] for stage, error in told.quarantine]
    why = "Every verdict that was made, with what it measured; a document enters the pool if all of them keep it."
    return el("section", el("h2", "Verdicts"), prose(why), table(heads, [*rows, *others], name="verdicts", find=False))


def _rule(told: Story, stage: str, reason: str, links: Links) -> Element:
    return el("a", "others", href=links.drops(told.slice_, stage, reason), title="other documents that this rule dropped")


def _text(told: Story, links: Links, at: int) -> Element:
    if told.document is None:
        return el("section", el("h2", "Text"), prose("No text was stored: the document was dropped before, or failed."))
    words = str(told.document["text"])
    at = min(max(0, at), max(0, len(words) - 1))
    kinds = sorted({_CUT.get(s.verdict, "named") for s in told.spans})
    key = [el("mark", _MEANING[kind], class_=kind) for kind in kinds]
    until = min(len(words), at + STRETCH)
    where = f"Characters {at + 1:,} to {until:,} of {len(words):,}, as they are stored." if words else "The text is empty."
    pager: list[Child] = []
    if at:
        pager.append(el("a", "← earlier", href=links.document(told.uid, told.slice_, at=max(0, at - STRETCH))))
    if until < len(words):
        pager.append(el("a", "later →", href=links.document(told.uid, told.slice_, at=until)))
    return el(
        "section",
        el("h2", "Text"),
        prose(where),
        el("div", key, class_="key") if key else None,
        el("pre", marked(words, told.spans, at, until), class_="text", dir="auto"),
        el("div", pager, class_="pager") if pager else None,
    )


def marked(words: str, spans: Sequence[Span], at: int, until: int) -> list[Child]:
    """A stretch of a text with the places that verdicts name; where places lie over each other, all are named in the tooltip.

    Args:
        at, until: the stretch, in characters; spans count in bytes of UTF-8.
    """
    begin = len(words[:at].encode("utf-8", "surrogatepass"))
    data = words[at:until].encode("utf-8", "surrogatepass")
    mine = [Span(max(0, s.start - begin), min(len(data), s.end - begin), s.verdict, s.kind) for s in spans]
    mine = [s for s in mine if s.start < s.end]
    edges = sorted({0, len(data), *(x for s in mine for x in (s.start, s.end))})
    out: list[Child] = []
    for start, end in pairwise(edges):
        piece = shown(data[start:end].decode("utf-8", "replace"))
        over = [s for s in mine if s.start <= start and end <= s.end]
        if not over:
            out.append(piece)
            continue
        kinds = {_CUT.get(s.verdict, "named") for s in over}
        kind = next(k for k in ("cut", "masked", "named") if k in kinds)
        why = "; ".join(dict.fromkeys(_name(s) for s in over))
        out.append(el("mark", piece, class_=kind, title=why))
    return out


def _name(span: Span) -> str:
    kind = f" ({span.kind})" if span.kind else ""
    return f"{span.verdict}{kind}: {_MEANING[_CUT.get(span.verdict, 'named')]}"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
