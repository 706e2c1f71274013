"""Licence evidence: what the source's policy, the headers and the page itself say, and the decision made of it.

The source's declared licence comes first. A page, header or record can only make it *more* restrictive: one that names another
licence takes the stricter of the two, one that names something nobody knows is `unknown`. A record that names nothing is under the
source's licence only where that covers silent records (`LicencePolicy.covers_silence`), else `unknown`; unknown ones are dropped as
`licence_unknown`. A decision taken on headers comes before the body is read, one taken on the page before its bytes are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from headrace_governance.acquire.crawl.fetch import Response
from headrace_governance.acquire.crawl.path_rules import PathRules, Undecided
from headrace_governance.acquire.crawl.robots import path_of, rule_pattern
from headrace_governance.acquire.crawl.urls import joined
from headrace_governance.sources.licences.policy import NO_ASSERTION, LicenceLink, LicencePolicy, load_licence_policy
from headrace_governance.sources.licences.rules import Duty
from headrace_governance.sources.licences.statements import bare_address
from headrace_governance.sources.licences.terms import Terms
from headrace_governance.sources.source import Licence
from headrace_lake.fingerprint import digest_bytes

__all__ = [
    "Decision",
    "LicenceLink",
    "LicencePolicy",
    "PageFacts",
    "TdmReservations",
    "decide",
    "facts_of_headers",
    "header_facts",
    "load_licence_policy",
]  # fmt: skip

_RECORDS = ("article", "metadata", "post", "column", "book", "document")
"""Places of imported records (`importers`) that name the licence of this one record, not of a site."""


@dataclass(frozen=True)
class Decision:
    """May this page be kept, under which licence, and why.

    Attributes:
        licence: SPDX expression, or the words of a licence that nobody knows.
        licence_class: its class.
        refusal: reason for the exclusion table, empty if the page may be kept.
        basis: where the licence was found: policy (the source file), rel-license, meta, header, or the record (article, column, post ...).
        duties: what the licence asks for.
        choice: the alternatives taken, where the licence is an OR.
        silent: nothing named a licence; it is the source's, if that covers such records.
        evidence: everything the decision rests on, as JSON; equal for pages in equal circumstances.
    """

    licence: str
    licence_class: str
    basis: str
    refusal: str
    detail: str
    evidence: str
    duties: tuple[Duty, ...] = ()
    choice: str = ""
    silent: bool = False

    @property
    def digest(self) -> str:
        """Digest of the evidence."""
        return digest_bytes(self.evidence.encode())


@dataclass
class PageFacts:
    """What a response and its page say about their use."""

    licence_links: list[tuple[str, str]] = field(default_factory=list)
    """(where: rel-license, meta or header; address or name)"""
    robots_tags: list[str] = field(default_factory=list)
    tdm_reserved: str = ""
    """where text and data mining is reserved, or empty"""
    nofollow: bool = False


_REL = re.compile(r"\brel\s{0,5}=\s{0,5}(?:\"([^\"]{0,200})\"|'([^']{0,200})'|([^\s;,\"']{1,200}))", re.IGNORECASE)
_LINK = re.compile(r"<([^<>]{1,2000})>((?:\s{0,20};(?:[^;,<>\"]|\"[^\"]{0,500}\"){1,200}){0,10})")
_TAGS = re.compile(r"[,;]")


def facts_of_headers(response: Response, agent: str) -> PageFacts:
    """What the headers say: Link rel=license, X-Robots-Tag (for us or for all), TDM-Reservation."""
    return header_facts(response.url, response.headers, agent)


def header_facts(url: str, headers: Sequence[tuple[str, str]], agent: str) -> PageFacts:
    """The same of headers that came with a record.

    Args:
        headers: names in lower case.
        agent: our product token; empty where only what holds for everybody counts.
    """
    facts = PageFacts()
    for name, value in headers:
        if name == "link":
            for target, params in _LINK.findall(value):
                rel = _REL.search(params)
                if rel and "license" in (rel[1] or rel[2] or rel[3] or "").lower().split():
                    facts.licence_links.append(("header", joined(url, target) or target))
        elif name == "x-robots-tag":
            facts.robots_tags += _robots_tags(value, agent)
        elif name == "tdm-reservation" and value.strip() == "1":
            facts.tdm_reserved = "header"
    facts.nofollow = bool({"nofollow", "none"} & set(facts.robots_tags))
    return facts


def _robots_tags(value: str, agent: str) -> list[str]:
    """Directives of one header: `agent: a, b` holds for that agent only, and a directive may have a value (`max-snippet: 3`)."""
    tags: list[str] = []
    mine = True
    for item in _TAGS.split(value):
        name, sep, rest = item.strip().lower().partition(":")
        if sep and not name.startswith(("max-", "unavailable_after")):
            mine = name.strip() == agent.lower()
            name = rest.strip()
        if mine and name:
            tags.append(name.strip())
    return tags


class TdmReservations:
    """What a host's `/.well-known/tdmrep.json` reserves (TDMRep, W3C Community Group), compiled once; the first matching entry counts.

    Patterns are those of robots.txt (TDMRep, "location"), and so is the form in which they are compared.
    """

    def __init__(self, tdmrep: bytes = b"") -> None:
        try:
            entries = json.loads(tdmrep) if tdmrep else []
        except (ValueError, RecursionError):
            entries = []
        self._reserved: dict[str, bool] = {}
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("location"), str):
                self._reserved.setdefault(rule_pattern(entry["location"]), str(entry.get("tdm-reservation")) == "1")
        self._rules = PathRules(self._reserved)

    def reserves(self, url: str) -> bool:
        """Whether text and data mining is reserved for an address; so it is where too many entries nearly match to say."""
        if not self._reserved:
            return False
        try:
            found = self._rules.first(path_of(url))
        except Undecided:
            return True
        return found is not None and self._reserved[found]


def decide(
    source: Licence, policy: LicencePolicy, facts: PageFacts, *, respect_tdm: bool, silence_covered: bool = True, complete: bool = True
) -> Decision:
    """The decision for one page or record from what is known so far (headers, or headers and page).

    Args:
        silence_covered: the source's licence covers records that name none.
        complete: all that the record says is known; before that, silence refuses nothing.
    """
    terms, basis = _strictest(source, policy, facts.licence_links)
    silent = not facts.licence_links
    refusal, detail = "", ""
    tags = sorted(set(facts.robots_tags) & set(policy.refuse_robots_tags))
    if silent and complete and not silence_covered:
        terms = Terms(NO_ASSERTION, ("unknown",), "unknown", unknown=(NO_ASSERTION,))
    if tags:
        refusal, detail = "robots_tag", ", ".join(tags)
    elif respect_tdm and facts.tdm_reserved:
        refusal, detail = "tdm_reserved", facts.tdm_reserved
    elif silent and not complete:
        pass
    elif not policy.admits(terms):
        refusal = "licence_unknown" if terms.cls == "unknown" else "licence"
        detail = "the record names no licence" if silent else f"{terms.expression} ({terms.cls})"
    record = {"licence": terms.expression, "class": terms.cls, "basis": basis, "refusal": refusal, "detail": detail}
    evidence: dict[str, Any] = {
        "source": source.model_dump(mode="json", by_alias=True),
        "page": asdict(facts),
        "decision": {**record, "duties": list(terms.duties), "choice": terms.choice},
    }
    text = json.dumps(evidence, sort_keys=True, ensure_ascii=False)
    return Decision(terms.expression, terms.cls, basis, refusal, detail, text, terms.duties, terms.choice, silent)


def _strictest(source: Licence, policy: LicencePolicy, links: list[tuple[str, str]]) -> tuple[Terms, str]:
    """The strictest of the source's terms and what was said, and where that stands."""
    ground = policy.terms(source.id)
    terms, basis = ground, "policy"
    named = {part.strip() for part in re.split(r"\s(?:OR|AND|WITH)\s|[()]", ground.expression)}
    known_url = bare_address(source.evidence.url) if source.evidence.url else ""
    only_records = source.id.upper() == NO_ASSERTION
    for where, text in links:
        if known_url and bare_address(text) == known_url and not only_records:
            basis = where if basis == "policy" else basis
            continue
        said = policy.said(text)
        if only_records:
            if terms is ground or said.rank > terms.rank:
                terms, basis = said, where
        elif said.expression in named and terms is ground:
            basis = where
        elif said.rank[0] > terms.rank[0]:
            terms, basis = said, where
        elif said.cls == terms.cls and basis == "policy" and where in _RECORDS:
            terms, basis = said, where  # as strict as the source's, and what the record itself says
    return terms, basis
