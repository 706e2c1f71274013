"""Find PII in a text: one detector a kind, after a cheap look at what a text must contain.

Kinds: `resident_id`, `bank_card`, `passport`, `plate`, `mobile` (Chinese), `phone` (others), `email`, `ip`, `address`, `name`. A finding
needs more than its form: a check digit, a registry, a number plan, or words around it (`numbers.py`, `phones.py`, `networks.py`,
`places.py`). Names and addresses are found here by cue and form only; names in running text are for a model (`names.py`).

Where findings overlap, the kind with the stronger check wins, then the longer one. Precision and recall by kind, on planted and on real
pages, are printed by `benchmarks/text/bench_pii.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from headrace_governance.text.pii.networks import emails, ips
from headrace_governance.text.pii.numbers import PASSPORT_WORDS, cards, mobiles, passports, plates, resident_ids
from headrace_governance.text.pii.phones import phones
from headrace_governance.text.pii.places import CAPITAL, NAME_CUES_ZH, addresses, names
from headrace_governance.text.pii.spans import Detector, Span

DETECTORS: dict[str, Detector] = {
    "resident_id": resident_ids,
    "bank_card": cards,
    "passport": passports,
    "email": emails,
    "ip": ips,
    "plate": plates,
    "mobile": mobiles,
    "phone": phones,
    "address": addresses,
    "name": names,
}
"""By strength of what proves the finding."""
KINDS = tuple(DETECTORS)
_STRENGTH: dict[str, int] = {kind: i for i, kind in enumerate(KINDS)}

PREFILTER: dict[str, str] = {
    "resident_id": r"\d{6}[ -]?\d{8}[ -]?\d{3}",
    "bank_card": r"\d(?:[ -]?\d){12}",
    "passport": rf"(?i:{PASSPORT_WORDS})|\d{{7}}[MFX<]\d{{7}}",
    "email": "@",
    "ip": r"\d\.\d{1,3}\.\d{1,3}\.\d|[23][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:",
    "plate": r"[\x{4e00}-\x{9fff}][A-Z]",
    "mobile": r"1[3-9]\d[ -]?\d{4}[ -]?\d{4}",
    "phone": r"\d(?:[ ().\-/\x{a0}\x{2010}\x{2011}\x{2013}（）－]{0,3}\d){5}",
    "address": r"\d[A-Z]? (?:[A-Z]\.? )?(?:[A-Z][^ ]*|\d{1,3}(?:st|nd|rd|th)) [A-Z]|[AFD]PO,? A[AEP] \d"
    r"|[路街道巷弄同里村镇乡][0-9A-Za-z一二三四五六七八九十百]",
    "name": rf"(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? {CAPITAL}|(?:ame|ontact|atient|ustomer|ecipient|ardholder|assenger|pplicant): ?{CAPITAL}"
    rf"|{NAME_CUES_ZH}",
}
"""What a text must contain (RE2) before a kind is looked for: nine texts of ten need no look."""


def find(text: str, language: str, kinds: tuple[str, ...] = KINDS) -> list[Span]:
    """All findings of a text that do not overlap, by place.

    Args:
        language: ISO 639-1 code, for forms that belong to a language.
    """
    return chosen([span for kind in kinds for span in DETECTORS[kind](text, language)])


def chosen(found: list[Span]) -> list[Span]:
    """Those that do not overlap, the stronger kind first, then the longer; by place."""
    found = sorted(set(found), key=lambda s: (_STRENGTH[s.kind], s.start - s.end, s.start))
    kept: list[Span] = []
    for span in found:
        at = bisect_right(kept, span.start, key=lambda s: s.start)
        if not (at and kept[at - 1].end > span.start) and not (at < len(kept) and kept[at].start < span.end):
            kept.insert(at, span)
    return kept


def candidates(texts: Any) -> dict[str, Any]:
    """Kind → boolean Arrow array: which texts of a column may hold it."""
    import pyarrow.compute as pc

    return {kind: pc.match_substring_regex(texts, pattern) for kind, pattern in PREFILTER.items()}
