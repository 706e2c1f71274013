"""Sources: one YAML file each, saying what it is, under which licence it may be used, and how it is fetched.

A source without a licence and its legal basis is refused before anything else is looked at. Seeds may be paths: they
are joined to `base_url`, or to one of the `mirrors` that the file lists; a command or a run's parameter chooses among those
and can name no other. Addresses are *recorded* under the declared `base_url`, whatever the mirror, so document ids do not
depend on where a page was fetched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import AliasChoices, ConfigDict, Field, field_validator, model_validator

from headrace_governance.sources.import_options import (
    GutenbergFetch,
    JatsFetch,
    LatexFetch,
    LegalFetch,
    NewsFetch,
    StackexchangeFetch,
    WikipediaFetch,
)
from headrace_governance.sources.licences.rules import LicenceClass
from headrace_lake.errors import ConfigError, SourceError
from headrace_lake.strict import StrictModel, parse, read_yaml_file

Modality = Literal["text", "audio", "image", "video"]
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_TEXT_TYPES = ("text/html", "application/xhtml+xml", "text/plain")


class Evidence(StrictModel):
    """What a person can look at to check the licence: an address, or the words themselves."""

    url: str = ""
    text: str = ""

    @model_validator(mode="after")
    def _something(self) -> Evidence:
        if not (self.url or self.text):
            raise ValueError("give 'url' or 'text'")
        return self


class Licence(StrictModel):
    """The licence of a source.

    Attributes:
        id: SPDX expression; `NOASSERTION` where only the records say under which licence they are.
        cls: its class (`class` in YAML). It follows from the expression; a declared class that disagrees is an error at every door.
        basis: why we may use it: what grants the licence, and to whom.
        evidence: where that can be checked.
        covers_silent_records: why this licence covers records that name none (or just `true`); `false`: it does not. If it is left out,
            records that have a field for their licence are not covered; for other kinds the policy's `silent_records_covered` decides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    id: str = Field(min_length=1)
    cls: LicenceClass = Field(alias="class", validation_alias=AliasChoices("class", "cls"))
    basis: str = Field(min_length=1)
    evidence: Evidence
    covers_silent_records: bool | str | None = None

    @field_validator("covers_silent_records")
    @classmethod
    def _with_reason(cls, covers: bool | str | None) -> bool | str | None:
        if isinstance(covers, str) and not covers.strip():
            raise ValueError("say why the licence covers records that name none")
        return covers


class CrawlFetch(StrictModel):
    """Fetch by the polite crawler.

    Attributes:
        base_url: what seeds that are paths are joined to, and the site that addresses are recorded under.
        mirrors: other places where the same site is served, which a command may fetch from instead. What comes from one is recorded under
            `base_url`, and the capture says who answered. One on a private address must be named in `allow_hosts` too.
        seeds: addresses or paths where the crawl starts.
        allow: patterns of paths to fetch, in the form of robots.txt (`*`, `$`); empty means the seeds' site.
        deny: patterns of paths that are never fetched; stronger than `allow`.
        same_host: whether only the seeds' hosts are followed.
        max_pages: requests for pages at most; what is left over is excluded with the reason `max_pages`.
        delay_seconds: pause between two requests to a host; a longer Crawl-delay in robots.txt wins.
        timeout_seconds: for one response, from connecting to the last byte.
        max_bytes: cap on a decoded body.
        allow_hosts: `host:port` on private or loopback addresses that this source may reach: these and no others. Link-local addresses
            and metadata services are never reached, whatever is listed.
        respect_tdm: whether a reservation of text and data mining (TDMRep) refuses a page.
        agent: product token sent and looked up in robots.txt; empty means the fetch policy's.
        language_hint: BCP 47 tag that the pages are known to be in, if the pages declare none.
    """

    kind: Literal["crawl"]
    base_url: str = ""
    mirrors: tuple[str, ...] = ()
    seeds: tuple[str, ...] = Field(min_length=1)
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    same_host: bool = True
    max_pages: int = Field(default=1000, ge=1)
    delay_seconds: float = Field(default=1.0, ge=0)
    timeout_seconds: float = Field(default=30.0, gt=0)
    max_bytes: int = Field(default=10 << 20, ge=1)
    allow_hosts: tuple[str, ...] = ()
    respect_tdm: bool = True
    agent: str = Field(default="", pattern=r"^[A-Za-z_-]*$")
    media_types: tuple[str, ...] = _TEXT_TYPES
    language_hint: str = ""

    @field_validator("allow", "deny")
    @classmethod
    def _pattern(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for p in patterns:
            if not p.startswith(("/", "*")):
                raise ValueError(f"pattern '{p}' must start with '/' or '*'")
        return patterns

    @model_validator(mode="after")
    def _absolute(self) -> CrawlFetch:
        if self.base_url and urlsplit(self.base_url).scheme not in ("http", "https"):
            raise ValueError(f"base_url '{self.base_url}' is not an http(s) address")
        for mirror in self.mirrors:
            if not self.base_url or urlsplit(mirror).scheme not in ("http", "https"):
                raise ValueError(f"mirror '{mirror}' is not an http(s) address, or there is no base_url that it is a mirror of")
        for seed in self.seeds:
            if urlsplit(urljoin(self.base_url, seed)).scheme not in ("http", "https"):
                raise ValueError(f"seed '{seed}' is not an http(s) address and there is no base_url")
        return self

    def start_urls(self, base_url: str | None = None) -> list[str]:
        """The seeds as addresses, on `base_url` if one is given."""
        return [urljoin(base_url or self.base_url, s) for s in self.seeds]


class WarcFetch(StrictModel):
    """Import WARC files (`paths` may hold `*`)."""

    kind: Literal["warc"]
    paths: tuple[str, ...] = Field(min_length=1)
    media_types: tuple[str, ...] = _TEXT_TYPES
    max_bytes: int = Field(default=10 << 20, ge=1)


class ColumnsFetch(StrictModel):
    """What Parquet and JSON Lines dumps share: where the text and its address stand.

    Attributes:
        text: column (key) of the text.
        url: column of the address; without it, `file:NAME#ROW` is the address.
        language: column of the declared language.
        licence: column of the row's own licence: an SPDX expression, an address, a name, or a list of those that all hold. A dot leads into
            an object (`metadata.license`). With it, a row that names none is `unknown`, unless `licence.covers_silent_records` is stated.
        content_type: media type of the text column.
    """

    paths: tuple[str, ...] = Field(min_length=1)
    text: str = "text"
    url: str = ""
    language: str = ""
    licence: str = ""
    content_type: str = "text/plain"
    max_bytes: int = Field(default=10 << 20, ge=1)


class ParquetFetch(ColumnsFetch):
    """Import Parquet files.

    Attributes:
        max_page_bytes: a page of a column that is read, decompressed; the rows of a row group with a larger one are dropped as
            `too_large` without being read. Writers aim at 1 MiB; pages of long texts hold 1,000 of them.
        max_ratio: bytes of rows over bytes of the file, looked at from 16 MiB on; a file beyond it is refused. Texts have 2 to 20.
    """

    kind: Literal["parquet"]
    max_page_bytes: int = Field(default=128 << 20, ge=1)
    max_ratio: float = Field(default=200.0, gt=1)


class JsonlFetch(ColumnsFetch):
    """Import JSON Lines files, plain, `.gz` or `.zst`.

    Attributes:
        max_ratio: decompressed over compressed bytes, looked at from 16 MiB on; a file beyond it is refused. Above gzip's 1,032, as a line
            that is too long is passed over without being held, and costs only itself.
    """

    kind: Literal["jsonl"]
    max_ratio: float = Field(default=2000.0, gt=1)


class FolderFetch(StrictModel):
    """Import files of a folder: HTML and plain text."""

    kind: Literal["folder"]
    path: str
    glob: str = "**/*"
    language_hint: str = ""
    max_bytes: int = Field(default=10 << 20, ge=1)


FormatFetch = WikipediaFetch | JatsFetch | LatexFetch | GutenbergFetch | StackexchangeFetch | LegalFetch | NewsFetch
Fetch = Annotated[CrawlFetch | WarcFetch | ParquetFetch | JsonlFetch | FolderFetch | FormatFetch, Field(discriminator="kind")]


class Source(StrictModel):
    """One source.

    Attributes:
        id: lower-case letters, digits, `-`, `_`; the file's name too.
        languages: ISO 639-1 codes of the languages that its pages are in; `mul`, or none, if they may be in any. Other languages are
            treated as the stage `language` says.
        undeclared_languages: what becomes of pages in other languages, `drop` or `keep`; empty: the policy of the stage `language`.
        declared_tokens: what the source is thought to hold, in tokens; compared with what came in the ledger.
        schedule: `daily` lets the DAG `ingest_text` take it each day; without it, it is taken only when somebody asks for it.
        allow_drop_rate: family of filters → why it may take nearly everything of this source (see `audit.drop_rate_guard`).
    """

    id: str
    title: str = ""
    modality: Modality = "text"
    languages: tuple[str, ...] = ()
    undeclared_languages: Literal["", "drop", "keep"] = ""
    licence: Licence
    fetch: Fetch
    declared_tokens: int = Field(default=0, ge=0)
    schedule: Literal["daily"] | None = None
    allow_drop_rate: dict[str, str] = Field(default_factory=dict)

    @field_validator("id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        if not _ID.fullmatch(value):  # `$` of a pattern would let a line feed pass
            raise ValueError("an id has 1 to 63 lower-case letters, digits, '-' and '_', and begins with a letter or digit")
        return value

    @field_validator("allow_drop_rate")
    @classmethod
    def _with_reasons(cls, allowed: dict[str, str]) -> dict[str, str]:
        for family, reason in allowed.items():
            if not reason.strip():
                raise ValueError(f"say why '{family}' may take nearly everything")
        return allowed

    def record(self) -> dict[str, Any]:
        """The source as JSON, as receipts hold it: what decides about what is fetched and how it is judged."""
        return self.model_dump(mode="json", by_alias=True, exclude={"allow_drop_rate": True, "schedule": True, "fetch": {"mirrors"}})

    def fetch_record(self) -> dict[str, Any]:
        """What of the source decides about what is fetched, for fingerprints. Its languages do not: they decide about verdicts."""
        left_out: Any = dict.fromkeys(("allow_drop_rate", "schedule", "languages", "undeclared_languages"), True)
        return self.model_dump(mode="json", by_alias=True, exclude=left_out | {"fetch": {"mirrors"}})


def load_source(path: str | Path) -> Source:
    """Read one source file.

    Raises:
        ConfigError: the file is not YAML, or a field is wrong.
        SourceError: no licence, or no legal basis for it.
    """
    file = Path(path)
    data = read_yaml_file(file)
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: not a mapping of fields", "start from one of the files in governance/sources")
    _require_licence(file, data)
    source = parse(data, Source, where=str(file))
    if source.id != file.stem:
        raise ConfigError(
            f"{file}: id '{source.id}' is not the file's name", f"rename the file to {source.id}.yaml or the id to {file.stem}"
        )
    return source


def _require_licence(file: Path, data: dict[str, Any]) -> None:
    licence = data.get("licence")
    if not isinstance(licence, dict) or not licence.get("id"):
        raise SourceError(f"{file}: source has no licence", "add licence: {id, class, basis, evidence: {url or text}}")
    if not str(licence.get("basis") or "").strip():
        raise SourceError(
            f"{file}: licence {licence['id']} has no basis", "add licence.basis: what grants it, such as the package's copyright file"
        )
    evidence = licence.get("evidence")
    if not isinstance(evidence, dict) or not (evidence.get("url") or evidence.get("text")):
        raise SourceError(f"{file}: licence {licence['id']} has no evidence", "add licence.evidence with 'url' or 'text'")


def load_sources(folder: str | Path) -> dict[str, Source]:
    """All sources of a folder, by id."""
    base = Path(folder)
    if not base.is_dir():
        raise ConfigError(f"{base}: no such folder of sources", "set 'sources' in the settings")
    return {s.id: s for s in (load_source(f) for f in sorted(base.glob("*.yaml")))}


def get_source(folder: str | Path, source_id: str) -> Source:
    """One source by id.

    Raises:
        SourceError: no such source; the message names the nearest one.
    """
    file = Path(folder) / f"{source_id}.yaml"
    if _ID.fullmatch(source_id) and file.is_file():  # an id is not a path: `../x` would read a file of another folder
        return load_source(file)
    from headrace_lake.nearest import did_you_mean

    known = [f.stem for f in Path(folder).glob("*.yaml")]
    raise SourceError(f"no source '{source_id}' in {folder}", did_you_mean(source_id, known, of="sources"))
