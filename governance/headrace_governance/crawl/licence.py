"""Licence evidence: what the source's policy, the headers and the page itself say, and the decision made of it.

The source's declared licence is the ground. A page or header can only make it *more* restrictive: a page that names
another licence takes the stricter class of the two; one that nobody knows counts as restricted. A decision taken on
headers comes before the body is read, one taken on the page before its bytes are kept.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from headrace_governance.crawl.fetch import Response
from headrace_governance.crawl.robots import any_matches
from headrace_governance.crawl.urls import joined
from headrace_governance.sources import Licence, LicenceClass
from headrace_lake.fingerprint import digest_bytes
from headrace_lake.strict import StrictModel, load_yaml


class LicenceLink(StrictModel):
    """Addresses of a licence's text: every address that starts with `prefix` (scheme left out) means `id`."""

    prefix: str
    id: str


class LicencePolicy(StrictModel):
    """Which licence is of which class, and what may be fetched at all (`policies/licences.yaml`).

    Attributes:
        order: classes from least to most restrictive.
        fetchable: classes that may be kept.
        licences: SPDX id → class.
        links: how a `rel=license` address is read.
        refuse_robots_tags: X-Robots-Tag and `<meta name=robots>` values that refuse a page.
    """

    order: tuple[LicenceClass, ...]
    fetchable: tuple[LicenceClass, ...]
    licences: dict[str, LicenceClass]
    links: tuple[LicenceLink, ...] = ()
    refuse_robots_tags: tuple[str, ...] = Field(default=("noindex", "none", "noai"))

    def stricter(self, a: LicenceClass, b: LicenceClass) -> LicenceClass:
        """The more restrictive of two classes."""
        return max(a, b, key=self.order.index)


def load_licence_policy(folder: str | Path) -> LicencePolicy:
    """`licences.yaml` of the policies' folder."""
    return load_yaml(Path(folder) / "licences.yaml", LicencePolicy)


_RECORDS = ("article", "metadata", "post")
"""Places of imported records (`importers`) that name the licence of this one record, not of a site."""


@dataclass(frozen=True)
class Decision:
    """May this page be kept, under which licence, and why.

    Attributes:
        refusal: reason for the exclusion table, empty if the page may be kept.
        basis: where the licence was found: policy, rel-license, meta, header.
        evidence: everything the decision rests on, as JSON; equal for pages in equal circumstances.
    """

    licence: str
    licence_class: str
    basis: str
    refusal: str
    detail: str
    evidence: str

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


_LINK = re.compile(r"<([^<>]{1,2000})>((?:\s*;\s*[^;,<>]{1,200}){0,10})")


def facts_of_headers(response: Response, agent: str) -> PageFacts:
    """What the headers say: Link rel=license, X-Robots-Tag (for us or for all), TDM-Reservation."""
    facts = PageFacts()
    for target, params in _LINK.findall(response.header("link")):
        if re.search(r"rel\s*=\s*\"?(?:[\w-]+\s+)*license\b", params, re.IGNORECASE):
            facts.licence_links.append(("header", joined(response.url, target) or target))
    for name, value in response.headers:
        if name == "x-robots-tag":
            facts.robots_tags += _robots_tags(value, agent)
    if response.header("tdm-reservation").strip() == "1":
        facts.tdm_reserved = "header"
    facts.nofollow = bool({"nofollow", "none"} & set(facts.robots_tags))
    return facts


def _robots_tags(value: str, agent: str) -> list[str]:
    """Directives of one header: `agent: a, b` holds for that agent only, and a directive may have a value (`max-snippet: 3`)."""
    tags: list[str] = []
    mine = True
    for item in value.split(","):
        name, sep, rest = item.strip().lower().partition(":")
        if sep and not name.startswith(("max-", "unavailable_after")):
            mine = name.strip() == agent.lower()
            name = rest.strip()
        if mine and name:
            tags.append(name.strip())
    return tags


def tdm_reserves(tdmrep: bytes, url: str) -> bool:
    """Whether `/.well-known/tdmrep.json` reserves text and data mining for the address; the first matching entry counts."""
    try:
        entries = json.loads(tdmrep)
    except (ValueError, RecursionError):
        return False
    for entry in entries if isinstance(entries, list) else []:
        # Patterns are those of robots.txt (TDMRep, "location"), and so is the form in which they are compared.
        if isinstance(entry, dict) and isinstance(entry.get("location"), str) and any_matches([entry["location"]], url):
            return str(entry.get("tdm-reservation")) == "1"
    return False


def decide(source: Licence, policy: LicencePolicy, facts: PageFacts, *, respect_tdm: bool) -> Decision:
    """The decision for one page from what is known so far (headers, or headers and page)."""
    licence, cls, basis = source.id, source.cls, "policy"
    known_url = _bare(source.evidence.url)
    for where, address in facts.licence_links:
        if known_url and _bare(address) == known_url:
            basis = where if basis == "policy" else basis
            continue
        found = _licence_of(address, policy)
        page_class: LicenceClass = policy.licences.get(found, "restricted") if found else "restricted"
        if found in re.split(r"\s+(?:OR|AND|WITH)\s+|[()]", source.id):
            basis = where
        elif policy.stricter(cls, page_class) != cls:
            licence, cls, basis = found or address[:200], page_class, where
        elif found and page_class == cls and basis == "policy" and where in _RECORDS:
            licence, basis = found, where  # as strict as the source's, and what the record itself says
    refusal, detail = "", ""
    tags = sorted(set(facts.robots_tags) & set(policy.refuse_robots_tags))
    if tags:
        refusal, detail = "robots_tag", ", ".join(tags)
    elif respect_tdm and facts.tdm_reserved:
        refusal, detail = "tdm_reserved", facts.tdm_reserved
    elif cls not in policy.fetchable:
        refusal, detail = "licence", f"{licence} ({cls})"
    evidence: dict[str, Any] = {
        "source": source.model_dump(mode="json", by_alias=True),
        "page": asdict(facts),
        "decision": {"licence": licence, "class": cls, "basis": basis, "refusal": refusal, "detail": detail},
    }
    return Decision(licence, cls, basis, refusal, detail, json.dumps(evidence, sort_keys=True, ensure_ascii=False))


def _bare(url: str) -> str:
    """An address without scheme and host's port, so that a mirror's licence page equals the declared one."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or ''}{parts.path}".rstrip("/")
    except ValueError:
        return url


def _licence_of(address: str, policy: LicencePolicy) -> str:
    if address in policy.licences:
        return address
    bare = _bare(address).removeprefix("www.")
    return next((link.id for link in policy.links if bare.startswith(link.prefix)), "")
