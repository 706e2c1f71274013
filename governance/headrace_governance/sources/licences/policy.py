"""Licence policy (`policies/licences.yaml`): what may be fetched, further ids of one's own, and what a silent record is.

What a licence asks for is not the policy's to say: it is derived from the licence's id (`terms.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field, field_validator

from headrace_governance.sources.licences.rules import CLASSES, LicenceClass, duties_of_id, nearest_id, rules_digest
from headrace_governance.sources.licences.statements import bare_address, read_statement
from headrace_governance.sources.licences.terms import Terms, accepts, terms_of
from headrace_lake.errors import ConfigError, SourceError
from headrace_lake.strict import StrictModel, load_yaml

NO_ASSERTION = "NOASSERTION"
"""SPDX's word for a licence that nobody states. As a source's `licence.id`: each record names its own."""


class LicenceLink(StrictModel):
    """Further addresses of a licence's text: every address that starts with `prefix` (scheme and `www.` left out) means `id`."""

    prefix: str
    id: str


class DeclaredLicence(Protocol):
    """What is needed of a source file's `licence`."""

    @property
    def id(self) -> str: ...
    @property
    def cls(self) -> LicenceClass: ...
    @property
    def covers_silent_records(self) -> bool | str | None: ...


class DeclaredSource(Protocol):
    """What is needed of a source file."""

    @property
    def id(self) -> str: ...
    @property
    def licence(self) -> DeclaredLicence: ...
    @property
    def fetch(self) -> Any: ...


class LicencePolicy(StrictModel):
    """The policy file.

    Attributes:
        fetchable: classes that may be kept; every duty of a licence must be one that these stand for.
        silent_records_covered: kinds of `fetch` whose records a source's licence covers where they name none, unless the source file says
            `licence.covers_silent_records: false`. Where records have a field for their licence, only the source file can say so.
        licences: further ids (`LicenseRef-...`) and their classes; an id that SPDX knows may only be made more restrictive.
        links: further addresses of licences.
        refuse_robots_tags: X-Robots-Tag and `<meta name=robots>` values that refuse a page.
    """

    fetchable: tuple[LicenceClass, ...] = Field(min_length=1)
    silent_records_covered: tuple[str, ...] = ()
    licences: dict[str, LicenceClass] = Field(default_factory=dict)
    links: tuple[LicenceLink, ...] = ()
    refuse_robots_tags: tuple[str, ...] = Field(default=("noindex", "none", "noai"))

    @field_validator("licences")
    @classmethod
    def _not_laxer(cls, licences: dict[str, LicenceClass]) -> dict[str, LicenceClass]:
        for name, wanted in licences.items():
            known = duties_of_id(name)
            derived: LicenceClass = (known[-1] if known else "public") if known is not None else "own"
            if CLASSES.index(wanted) < CLASSES.index(derived):
                raise ValueError(f"{name} is '{derived}' by its terms: it cannot be made '{wanted}' here")
        return licences

    @cached_property
    def _added(self) -> Mapping[str, LicenceClass]:
        return {name.lower(): wanted for name, wanted in self.licences.items()}

    def record(self) -> dict[str, Any]:
        """All that decides, the shipped rules' digest included; part of fingerprints."""
        return {**self.model_dump(mode="json"), "rules": rules_digest()}

    def admits(self, terms: Terms) -> bool:
        """Whether a licence with these terms may be kept."""
        return accepts(self.fetchable, terms)

    def terms(self, expression: str) -> Terms:
        """Terms of an SPDX expression under this policy.

        Raises:
            ConfigError: no SPDX expression.
        """
        return terms_of(expression, admits=self.admits, added=self._added)

    def recorded(self, licence: str) -> Terms:
        """Terms of what a table's column `licence` holds; `unknown` for what is not an expression."""
        try:
            return self.terms(licence)
        except ConfigError:
            return Terms(licence[:200], ("unknown",), "unknown", unknown=(licence[:200],))

    def said(self, statement: str) -> Terms:
        """Terms of what a record says: an id, an address, a name or prose; `unknown` if nothing is recognised."""
        bare = bare_address(statement)
        added = next((link.id for link in self.links if bare.startswith(link.prefix)), "")
        if not added and statement.strip().lower() in self._added:
            added = statement.strip()
        found = (added,) if added else read_statement(statement)
        if not found:
            return Terms(statement[:200], ("unknown",), "unknown", unknown=(statement[:200],))
        return self.recorded(" AND ".join(f"({f})" if " OR " in f else f for f in found))

    def covers_silence(self, source: DeclaredSource) -> bool:
        """Whether a source's licence covers records that name none."""
        stated = source.licence.covers_silent_records
        if source.licence.id.upper() == NO_ASSERTION:
            return False
        if stated is None:
            return source.fetch.kind in self.silent_records_covered and not records_speak(source.fetch)
        return bool(stated)


def load_licence_policy(folder: str | Path) -> LicencePolicy:
    """`licences.yaml` of the policies' folder."""
    return load_yaml(Path(folder) / "licences.yaml", LicencePolicy)


def records_speak(fetch: Any) -> bool:
    """Whether the records have a place where each names its own licence (a mapped column, the metadata file, the format's element)."""
    if fetch.kind in ("jsonl", "parquet"):
        return bool(fetch.licence)
    if fetch.kind == "latex":
        return bool(fetch.metadata)
    return fetch.kind in ("jats", "gutenberg", "stackexchange", "news")


def require_licence(source: DeclaredSource, policy: LicencePolicy) -> Terms:
    """Hold a source's declared licence against its terms and the policy; asked at every step: check, crawl, import, mix, release.

    Raises:
        SourceError: no SPDX expression, an unknown id, a class that is not the licence's, one that may not be fetched, or a source none of
            whose records could be kept.
    """
    declared = source.licence
    where = f"source {source.id}: licence {declared.id}"
    try:
        terms = policy.terms(declared.id)
    except ConfigError as exc:
        raise SourceError(f"source {source.id}: {exc.what}", _hint(declared.id) + exc.way_out) from exc
    if declared.id.upper() == NO_ASSERTION:
        if not records_speak(source.fetch):
            raise SourceError(
                f"{where}: records of kind '{source.fetch.kind}' have no place to name their own", "declare the licence that they are under"
            )
    elif terms.unknown:
        hint = _hint(terms.unknown[0])
        raise SourceError(
            f"source {source.id}: unknown licence id '{terms.unknown[0]}'",
            f"{hint}ids are SPDX's; add a LicenseRef-... of your own with its class to 'licences' of policies/licences.yaml",
        )
    if declared.cls != terms.cls:
        chosen = f" (chosen: {terms.choice})" if terms.choice else ""
        raise SourceError(
            f"{where} is '{terms.cls}'{chosen}, not '{declared.cls}' (duties: {', '.join(terms.duties) or 'none'})",
            f"write licence.class: {terms.cls}, or correct licence.id",
        )
    if declared.id.upper() != NO_ASSERTION and not policy.admits(terms):
        raise SourceError(f"{where}: class '{terms.cls}' may not be fetched", f"fetchable classes: {', '.join(policy.fetchable)}")
    if not policy.covers_silence(source) and not _may_speak(source.fetch):
        raise SourceError(
            f"{where}: no record of kind '{source.fetch.kind}' names a licence, and the source does not state that its own covers them",
            "add licence.covers_silent_records with the reason, or map the column that holds each record's licence (fetch.licence)",
        )
    return terms


def _hint(licence: str) -> str:
    """What somebody may have meant: the licence of an address or name, else the id that looks most like it."""
    said = [s for s in read_statement(licence) if not s.startswith("LicenseRef-")]
    near = " AND ".join(said) or nearest_id(licence)
    return f"did you mean '{near}'? " if near else ""


def _may_speak(fetch: Any) -> bool:
    """Whether a record may name a licence at all; pages do in links and meta elements."""
    html = getattr(fetch, "content_type", "") in ("text/html", "application/xhtml+xml")
    return html or records_speak(fetch) or fetch.kind in ("crawl", "warc", "folder", "legal")
