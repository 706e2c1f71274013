"""What a record's licence elements say, reduced to what the licence decision needs.

A licence that is named (by address, id, name or in prose) counts. `All rights reserved`, and a Creative Commons licence that is not
named further, count only where nothing is named: the formula stands beside many a free licence. The words of a licence element that name
nothing known are handed on as they are, and make the record `unknown`; a copyright notice that names nothing says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headrace_governance.sources.licences.rules import rules
from headrace_governance.sources.licences.statements import MAX_PROSE, licence_of_address, licences_in, read_statement

_KEPT_CHARACTERS = 300
"""Of words that name nothing known, as they go to the exclusion's detail."""
_KEYS = ("id", "spdx", "spdx_id", "license_id", "name", "url", "uri", "license", "licence", "text")
"""Where an object in a licence column says its licence."""


def statements(addresses: Iterable[str] = (), terms: Iterable[str] = (), notices: Iterable[str] = ()) -> tuple[str, ...]:
    """What the elements say, without repetition; empty if they say nothing.

    Args:
        addresses: attributes and elements that are a licence's address.
        terms: ids, names and prose of licence elements.
        notices: copyright and rights notices.
    """
    strong: list[str] = []
    weak: list[str] = []
    unread: list[str] = []
    for text in addresses:
        text = text.strip()
        found = (text[:2000],) if licence_of_address(text) else read_statement(text)
        _sort(found, strong, weak, unread, text)
    for text in terms:
        _sort(read_statement(text), strong, weak, unread, text)
    for text in notices:
        _sort(licences_in(text), strong, weak, [], text)
    return tuple(dict.fromkeys(strong or unread or weak))


def _sort(found: Sequence[str], strong: list[str], weak: list[str], unread: list[str], text: str) -> None:
    if not found and text.strip():
        unread.append(" ".join(text[:MAX_PROSE].split())[:_KEPT_CHARACTERS])
    for licence in found:
        (weak if licence in rules().weak else strong).append(licence)


def column_statements(value: Any) -> tuple[str, ...]:
    """What a row's licence column says: a string, bytes, an object with an id or address, or a list of those that all hold.

    Of an object the first that says something counts, and whatever else in it names a licence: `CC BY` over the address of a CC BY-NC.
    """
    match value:
        case None:
            return ()
        case bytes():
            return column_statements(value.decode("utf-8", "backslashreplace"))
        case str():
            text = value.strip()
            return (text[:MAX_PROSE],) if text else ()
        case Mapping():
            parts = [said for key in _KEYS if key in value and (said := column_statements(value[key]))]
            named = [x for said in parts[1:] for x in said if read_statement(x)] if parts and all(map(read_statement, parts[0])) else []
            return tuple(dict.fromkeys((*parts[0], *named))) if parts else ()
        case list() | tuple():
            return tuple(dict.fromkeys(said for one in value for said in column_statements(one)))
    return (str(value)[:_KEPT_CHARACTERS],)


def joined_statements(value: Any) -> tuple[str, ...]:
    """What a row's licence column says, with licences that all hold joined by AND; what nobody knows stays beside them."""
    said = column_statements(value)
    if len(said) < 2:
        return said
    known = [read_statement(text) for text in said]
    parts = [f"({x})" if " OR " in x else x for found in known for x in found]
    return (" AND ".join(dict.fromkeys(parts)),) if all(known) else said


def column(values: Mapping[str, Any], name: str) -> Any:
    """A column's value; a dot leads into an object, unless a column has that name."""
    if name in values:
        return values[name]
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found
