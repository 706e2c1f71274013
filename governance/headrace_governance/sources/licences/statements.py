"""What a record says about its licence → ids: SPDX expressions, addresses of licences in any version and port, names, prose.

Only what stands in a licence field or element comes here, never a document's body: a paper about CC BY-NC says nothing about its own
licence. Prose is read word by word (letters and digits, NFKC, lower case; one CJK character is a word) against the phrases of
`rules.yaml`, in linear time. What is recognised is never laxer than the words: several licences join, and words that forbid
commercial use count whatever licence is named beside them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from headrace_governance.sources.licences.rules import DUTIES, duties_of_id, index, rules
from headrace_governance.sources.licences.terms import MAX_EXPRESSION, terms_of
from headrace_lake.errors import ConfigError

MAX_PROSE = 20_000
"""Characters of a statement that are read; a licence's full text names itself at its start."""
_CJK = "\u3040-\u30fa\u30fc-\u30ff\u3400-\u9fff"
"""Kana (without the middle dot) and Chinese characters."""
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_ADDRESS = re.compile(r"(?:https?://|www\.|creativecommons\.org/)[^\s<>\"'()\[\]{}，。；、（）]{1,500}", re.IGNORECASE)
_CC = re.compile(r"creativecommons\.org/licen[sc]es?/([a-z-]{2,20})(?:/([1-4]\.[015]))?(?:/([a-z]{2,5})(?:/|$))?")
_DASH = re.compile("[\u00ad\u2010-\u2015\u2212\ufe63\uff0d]")
"""What typesetting makes of a hyphen, in addresses too."""
_LISTED = re.compile(r"\s{0,5}[,;|&]\s{0,5}")
_OPERATORS = re.compile(r"\s(?:AND|OR|WITH)\s", re.IGNORECASE)
_CC_PARTS = ("by", "nc", "nd", "sa")
_NOT_A_LICENCE_BY = frozenset({"the", "a", "an", "its", "their", "our", "us", "author", "authors", "publisher", "all", "which", "any"})


def bare_address(url: str) -> str:
    """An address without scheme, `www.`, port, query and closing slash."""
    try:
        parts = urlsplit(url.strip() if "://" in url else f"https://{url.strip()}")
        return f"{(parts.hostname or '').removeprefix('www.')}{parts.path}".rstrip("/")
    except ValueError:
        return url


@lru_cache(maxsize=4096)
def licence_of_address(url: str) -> str:
    """The id of the licence whose text is at an address, or empty."""
    bare = _DASH.sub("-", bare_address(url).lower())
    commons = _CC.match(bare)
    if commons:
        found = _commons(frozenset(commons[1].split("-")), commons[2] or "", commons[3] or "")
        if found:
            return found
    for address in rules().addresses:
        if bare.startswith(address.prefix):
            return address.id
    for prefix in rules().id_addresses:
        if bare.startswith(prefix + "/"):
            name = bare[len(prefix) + 1 :].partition("/")[0]
            for spelling in (name, name.removesuffix(".html").removesuffix(".php").removesuffix(".json").removesuffix(".txt")):
                if spelling in index():
                    return index()[spelling].id
    return ""


def _commons(parts: frozenset[str], version: str, port: str = "") -> str:
    """The id of a Creative Commons licence: SPDX's with its port, else without, else a LicenseRef of its parts."""
    if not parts or not parts <= set(_CC_PARTS):
        return ""
    name = "CC-" + "-".join(p.upper() for p in _CC_PARTS if p in parts)
    wanted = [f"{name}-{version}-{port}", f"{name}-{version}"] if version else []
    by_name = name if "by" in parts else name.replace("CC-", "CC-BY-", 1)
    for candidate in (w.lower() for w in wanted):
        for spelling in (candidate, f"licenseref-scancode-{candidate}"):
            if spelling in index():
                return index()[spelling].id
    return "LicenseRef-" + "-".join(filter(None, (by_name.removesuffix("-SA") if "nd" in parts else by_name, version, port.upper())))


@lru_cache(maxsize=8192)
def read_statement(text: str) -> tuple[str, ...]:
    """The expressions that a licence field names; all of them hold. Empty if nothing is recognised.

    Args:
        text: an SPDX expression, an address, a name (`CC BY 4.0`) or prose.
    """
    text = text[:MAX_PROSE].strip()
    if not text:
        return ()
    if not any(c.isspace() for c in text) and ("/" in text or text.lower().startswith("www.")):
        found = licence_of_address(text)
        if found:
            return (found,)
    expression = _expression(text)
    return (expression,) if expression else licences_in(text)


def _expression(text: str) -> str:
    """SPDX's spelling of an expression in which every id (of an OR: the one that is chosen) is known, or of a list of ids; else empty."""
    pieces = _LISTED.split(text) if len(text) <= MAX_EXPRESSION else []
    if len(pieces) > 1:
        listed = [_expression(p) for p in pieces]
        return " AND ".join(f"({p})" if " OR " in p else p for p in listed) if all(listed) else ""
    if len(text) > MAX_EXPRESSION or (any(c.isspace() for c in text) and not _OPERATORS.search(text) and text.lower() not in index()):
        return ""
    try:
        terms = terms_of(text)
    except ConfigError:
        return ""
    return "" if terms.unknown else terms.expression


class _Phrases(NamedTuple):
    """Phrases by their first word: (words, meaning), the longest first."""

    by_word: dict[str, list[tuple[tuple[str, ...], str]]]

    def at(self, words: list[str], i: int) -> tuple[int, str]:
        """Length and meaning of the longest phrase that starts at word `i`; length 0 if none does."""
        for phrase, meaning in self.by_word.get(words[i], ()):
            if tuple(words[i : i + len(phrase)]) == phrase:
                return len(phrase), meaning
        return 0, ""


def _phrases(pairs: list[tuple[str, str]]) -> _Phrases:
    by_word: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for text, meaning in pairs:
        words = tuple(_words(text))
        by_word.setdefault(words[0], []).append((words, meaning))
    for entries in by_word.values():
        entries.sort(key=lambda e: (-len(e[0]), e[0]))
    return _Phrases(by_word)


@lru_cache(maxsize=1)
def _tables() -> tuple[_Phrases, _Phrases, _Phrases, frozenset[str]]:
    """Names of licences (an empty meaning: words to skip), starts and parts of Creative Commons', words between those."""
    known, commons = rules(), rules().creative_commons
    names = [(n, entry.id) for entry in known.names for n in entry.names] + [(n, "") for n in known.not_names]
    starts = [(s, "") for s in commons.starts] + list(commons.one_word.items())
    parts = [(n, part) for part, spellings in commons.parts.items() for n in spellings]
    return _phrases(names), _phrases(starts), _phrases(parts), frozenset(commons.between)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def licences_in(prose: str) -> tuple[str, ...]:
    """The licences that a text of a licence element names, by address or in words."""
    text = prose[:MAX_PROSE]
    found = [licence_of_address(a.rstrip(".,;:")) for a in _ADDRESS.findall(text)]
    words = _words(_ADDRESS.sub(" ", text))
    names, starts, _, _ = _tables()
    i = 0
    while i < len(words):
        step, meaning = starts.at(words, i)
        if step:
            taken, licence = _commons_in_words(words, i + step, meaning)
            # "CC" alone may stand for anything; "Creative Commons" says that there is such a licence.
            found.append(licence or ("LicenseRef-Creative-Commons" if words[i] != "cc" else ""))
            if licence or words[i] != "cc":
                i += step + taken
                continue
        step, meaning = names.at(words, i)
        found.append(meaning)
        i += max(step, 1)
    return _without_repetition([f for f in found if f])


def _commons_in_words(words: list[str], i: int, known: str) -> tuple[int, str]:
    """Words taken, and the id, of what follows `Creative Commons` or `CC`."""
    _, starts, parts, between = _tables()
    start, end = i, i
    named, version = known.split(), ""
    while i < len(words) and i - end <= 4:
        step, meaning = parts.at(words, i)
        if step and words[i] == "by":
            follows = words[i + 1] if i + 1 < len(words) else ""
            if follows in _NOT_A_LICENCE_BY:
                break
        if step and not (words[i] == "0" and i != start):
            named += meaning.split()
            i, end = i + step, i + step
        elif words[i] in ("1", "2", "3", "4") and i + 1 < len(words) and words[i + 1] in ("0", "1", "5"):
            version = version or f"{words[i]}.{words[i + 1]}"
            i, end = i + 2, i + 2
        elif words[i] in between:
            # A second "Creative Commons" or "CC" is a mention of its own.
            if i > start and starts.at(words, i)[0]:
                break
            i += 1
        else:
            break
    if "zero" in named:
        return end - start, "CC0-1.0"
    return end - start, _commons(frozenset({"by", *named}), version) if named else ""


def _without_repetition(ids: list[str]) -> tuple[str, ...]:
    """What is named once more with less (no version, a duty in words only) is left out, and weak words beside a licence."""
    ids = list(dict.fromkeys(ids))
    markers = {"LicenseRef-Non-Commercial": "non-commercial", "LicenseRef-No-Derivatives": "no-derivatives"}
    weak = set(rules().weak)
    strong = [i for i in ids if i not in weak]
    kept = []
    for licence in strong or ids:
        duties = duties_of_id(licence) or ()
        others = [o for o in strong if o != licence and o not in markers]
        if licence in markers and any(markers[licence] in (duties_of_id(o) or ()) for o in others):
            continue
        if licence.startswith("LicenseRef-CC-") and any(o.startswith("CC-") and duties_of_id(o) == duties for o in others):
            continue
        kept.append(licence)
    return tuple(sorted(kept, key=lambda o: o in markers))


def strictest(ids: tuple[str, ...]) -> tuple[str, ...]:
    """Ids from most to least restrictive."""
    return tuple(sorted(ids, key=lambda i: -max((DUTIES.index(d) for d in duties_of_id(i) or ("unknown",)), default=-1)))
