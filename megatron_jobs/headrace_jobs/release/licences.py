"""Licences of a bundle: every row is held against its licence again, with the shipped rules, without a network or a lake.

A bundle's own word counts only for ids that no rule knows (`licence_policy.json`: a house's `LicenseRef-...` and their classes).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headrace_governance.sources.licences.policy import LicencePolicy
from headrace_governance.sources.licences.rules import CLASSES, LicenceClass
from headrace_governance.sources.licences.terms import accepts
from headrace_lake.errors import InputError

POLICY_FILE = "licence_policy.json"
_SAME = ("source", "licence", "licence_class", "documents", "tokens")


def check_rows(rows: Iterable[Mapping[str, Any]], allowed: Sequence[LicenceClass], policy: LicencePolicy, *, where: str) -> None:
    """Every row's class and duties are its licence's, and the recipe accepts them.

    Raises:
        InputError: names the file, the row's source and licence.
    """
    for row in rows:
        terms = policy.recorded(str(row["licence"]))
        what = f"{where}: source {row['source']}: {row['documents']} documents under {row['licence']}"
        duties = ", ".join(terms.duties) or "none"
        if not accepts(allowed, terms):
            raise InputError(
                f"{what}, which is '{terms.cls}' (duties: {duties}); the recipe allows {', '.join(allowed)}",
                "do not use it: correct the source's licence, compile the mix and train again",
            )
        if row["licence_class"] != terms.cls or list(row.get("duties", terms.duties)) != list(terms.duties):
            raise InputError(
                f"{what} are written down as '{row['licence_class']}', the licence is '{terms.cls}' (duties: {duties})",
                "do not use it: correct the source's licence, compile the mix and train again",
            )


def check_bundle(folder: Path, rights: Sequence[Mapping[str, Any]], mix: Mapping[str, Any]) -> None:
    """`licences.json` and `mix.json` of a bundle: both hold, and say the same of the same documents.

    Raises:
        InputError: names the file, the source and the licence.
    """
    try:
        allowed, buckets, of_mix = mix["recipe"]["licences"], mix["buckets"], mix["licences"]
    except (KeyError, TypeError) as exc:
        raise InputError(f"mix.json: no compiled mix ({exc} is missing)", "do not use this bundle") from exc
    policy = policy_of_bundle(folder)
    check_rows(rights, allowed, policy, where="licences.json")
    check_rows(of_mix, allowed, policy, where="mix.json")
    listed, mixed = ({tuple(row[k] for k in _SAME) for row in rows} for rows in (rights, of_mix))
    for row in sorted(listed ^ mixed, key=str):
        where = ("licences.json", "mix.json") if row in listed else ("mix.json", "licences.json")
        raise InputError(f"{where[0]}: source {row[0]}: {row[3]} documents under {row[1]} are not in {where[1]}", "do not use this bundle")
    counted: dict[str, int] = {}
    for entry in rights:
        counted[entry["source"]] = counted.get(entry["source"], 0) + int(entry["documents"])
    drawn: dict[str, int] = {}
    for bucket in buckets:
        drawn[bucket["source"]] = drawn.get(bucket["source"], 0) + int(bucket["documents"])
    for source in sorted(set(counted) | set(drawn)):
        if counted.get(source, 0) != drawn.get(source, 0):
            raise InputError(
                f"licences.json: source {source} has {counted.get(source, 0)} documents, the mix draws from {drawn.get(source, 0)}",
                "do not use this bundle",
            )


def policy_of_bundle(folder: Path) -> LicencePolicy:
    """The shipped rules and the bundle's further ids.

    Raises:
        InputError: the bundle makes a known licence laxer than it is.
    """
    file = folder / POLICY_FILE
    added = json.loads(file.read_text(encoding="utf-8")).get("licences", {}) if file.is_file() else {}
    try:
        return LicencePolicy.model_validate({"fetchable": CLASSES, "licences": added})
    except ValidationError as exc:
        raise InputError(f"{POLICY_FILE}: {exc.errors()[0]['msg']}", "do not use this bundle") from exc
