"""Licence rules: what families of licences ask for, and the index of SPDX and ScanCode ids that `license-expression` ships.

`rules.yaml` holds the duties by family and by ScanCode category, addresses and names of licences; nobody lists versions or ports by
hand. Loading costs 60 ms, once a process.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata, resources
from typing import Any, Literal, NamedTuple

from headrace_lake.fingerprint import digest_of
from headrace_lake.strict import StrictModel, parse, read_yaml

Duty = Literal["attribution", "share-alike", "copyleft", "non-commercial", "no-derivatives", "unknown", "restricted"]
DUTIES: tuple[Duty, ...] = ("attribution", "share-alike", "copyleft", "unknown", "non-commercial", "no-derivatives", "restricted")
"""Least to most restrictive."""
LicenceClass = Literal[
    "own", "public", "attribution", "share-alike", "copyleft", "unknown", "non-commercial", "no-derivatives", "restricted"
]
CLASSES: tuple[LicenceClass, ...] = ("own", "public", *DUTIES)
"""A licence's class is its strongest duty; `public` asks for nothing, `own` is our material."""


class Family(StrictModel):
    """Ids (`*` for any characters) and what they ask for."""

    match: tuple[str, ...]
    duties: tuple[Duty, ...]


class Address(StrictModel):
    """Addresses of a licence's text: every address that starts with `prefix` (scheme and `www.` left out) means `id`."""

    prefix: str
    id: str


class Names(StrictModel):
    """Words that mean a licence."""

    id: str
    names: tuple[str, ...]


class CreativeCommons(StrictModel):
    """How Creative Commons licences are written in words: part → its names."""

    starts: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]
    one_word: dict[str, str]
    between: tuple[str, ...]


class Rules(StrictModel):
    """`rules.yaml`; the comments there say what each field is."""

    categories: dict[str, tuple[Duty, ...]]
    families: tuple[Family, ...]
    ids: tuple[str, ...]
    addresses: tuple[Address, ...]
    id_addresses: tuple[str, ...]
    names: tuple[Names, ...]
    weak: tuple[str, ...]
    not_names: tuple[str, ...]
    creative_commons: CreativeCommons


class Known(NamedTuple):
    """An id of the index: as SPDX writes it, ScanCode's category (empty for our own ids), and whether it stands behind WITH."""

    id: str
    category: str
    is_exception: bool


@lru_cache(maxsize=1)
def rules() -> Rules:
    """The shipped rules."""
    text = resources.files(__package__).joinpath("rules.yaml").read_text(encoding="utf-8")
    return parse(read_yaml(text), Rules, where="licences/rules.yaml")


@lru_cache(maxsize=1)
def index() -> dict[str, Known]:
    """Every known id in lower case, deprecated and alternative spellings included → what it is."""
    from license_expression import get_license_index

    known: dict[str, Known] = {own.lower(): Known(own, "", False) for own in rules().ids}
    for entry in get_license_index():
        spdx = entry.get("spdx_license_key")
        if spdx:
            found = Known(spdx, entry["category"], bool(entry["is_exception"]))
            for name in (spdx, *entry["other_spdx_license_keys"]):
                known.setdefault(name.lower(), found)
    return known


@lru_cache(maxsize=1)
def parser() -> Any:
    """`license-expression`'s parser of SPDX expressions, with our own ids beside the index."""
    from license_expression import LicenseSymbol, Licensing, get_spdx_licensing

    return Licensing([*get_spdx_licensing().known_symbols.values(), *(LicenseSymbol(own) for own in rules().ids)])


@lru_cache(maxsize=4096)
def duties_of_id(licence: str) -> tuple[Duty, ...] | None:
    """What one licence id asks for; None for an id that nobody knows."""
    known = index().get(licence.lower())
    name = (known.id if known is not None else licence).lower().removeprefix("licenseref-scancode-")
    for patterns, duties in _families():
        if any(p.fullmatch(name) for p in patterns) and (known is not None or name.startswith("licenseref-cc-")):
            return duties
    return rules().categories[known.category] if known is not None else None


@lru_cache(maxsize=1)
def _families() -> tuple[tuple[tuple[re.Pattern[str], ...], tuple[Duty, ...]], ...]:
    return tuple((tuple(re.compile(fnmatch.translate(m.lower())) for m in f.match), f.duties) for f in rules().families)


def in_order(duties: Iterable[Duty]) -> tuple[Duty, ...]:
    """Duties without doubles, from least to most restrictive."""
    return tuple(sorted(set(duties), key=DUTIES.index))


def nearest_id(licence: str) -> str:
    """The known id that looks most like this one, or empty."""
    import difflib

    names = {k: v.id for k, v in index().items() if not v.is_exception and not k.startswith("licenseref-")}
    near = difflib.get_close_matches(licence.lower(), names, n=1, cutoff=0.6)
    return names[near[0]] if near else ""


@lru_cache(maxsize=1)
def rules_digest() -> str:
    """Digest of the rules and of the index they rest on: part of the fingerprint of what they decided."""
    return digest_of([rules().model_dump(mode="json"), metadata.version("license-expression")])
