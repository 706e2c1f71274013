"""From rules and installed word lists to patterns in UTF-8: written forms of a term, its class, and where a word may end.

The lists are those of the package `expletives` (Apache-2.0), which carries LDNOOBW, the "List of Dirty, Naughty, Obscene, and
Otherwise Bad Words" (CC-BY-4.0) that C4 was made with, in fifteen languages. They are read from the installed package, never
copied. LDNOOBW as it stands drops what it should not (Dodge et al. 2021 on C4), so rules say which of its words mean something
else, and which are worse than others.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from headrace_governance.text.toxicity.policy import TIERS, LanguageRules, Rule, ToxicityParams
from headrace_lake.errors import ConfigError

PACKAGE = "expletives"
ALLOWED = 0
"""Tier of a phrase in which nothing counts."""
_WIDE = {c: c + 0xFEE0 for c in range(0x21, 0x7F)}


@dataclass(frozen=True, order=True)
class Pattern:
    """Bytes to look for.

    Attributes:
        left, right: no letter or digit may stand before or after.
        tier: place in `TIERS`; 0 for an allowed phrase.
    """

    utf8: bytes
    left: bool
    right: bool
    tier: int
    category: str


def patterns_of(language: str, params: ToxicityParams) -> list[Pattern]:
    """Every pattern of a language, sorted. Of equal bytes the allowed phrase, else the worst tier, with the loosest ends."""
    own = params.languages.get(language)
    found: dict[bytes, Pattern] = {}
    sources = [own] if own is not None else []
    if own is not None and own.borrow is not None:
        sources.append(params.languages[own.borrow])
    restricted = [*params.restricted.get("*", ()), *params.restricted.get(language, ())]
    extra = LanguageRules(rules=tuple(restricted), spaced=own.spaced if own else True, open_end=own.open_end if own else False)
    for rules in [*sources, extra]:
        for p in _patterns(rules):
            key = p.utf8.lower()
            known = found.get(key, p)
            worse = max(p, known, key=_order)
            left, right = (p.left and known.left, p.right and known.right) if worse.tier != ALLOWED else (worse.left, worse.right)
            found[key] = Pattern(key, left, right, worse.tier, worse.category)
    return sorted(found.values())


def _order(p: Pattern) -> tuple[int, int, str]:
    return (p.tier == ALLOWED, p.tier, p.category)


def _patterns(rules: LanguageRules) -> Iterator[Pattern]:
    for term, category, tier in classified(rules):
        open_end = term.endswith("*") or rules.open_end
        bare = term.rstrip("*")
        starts = ("", *rules.prefixes)
        ends = ("",) if open_end else ("", *rules.suffixes)
        for form in chain.from_iterable(_forms(start + bare + end) for start in starts for end in ends):
            left, right = _bounded(form, rules.spaced)
            yield Pattern(form.encode("utf-8"), left, right and not open_end, tier, category)
    for phrase in rules.allow:
        open_end = phrase.endswith("*") or rules.open_end
        for form in _forms(phrase.rstrip("*")):
            left, right = _bounded(form, rules.spaced)
            yield Pattern(form.encode("utf-8"), left, right and not open_end, ALLOWED, "")


def _bounded(form: str, spaced: bool) -> tuple[bool, bool]:
    """Whether a word must begin and end here: in languages without spaces only where the term itself is Latin."""
    return (spaced or form[0].isascii()) and form[0].isalnum(), (spaced or form[-1].isascii()) and form[-1].isalnum()


def classified(rules: LanguageRules) -> Iterator[tuple[str, str, int]]:
    """(term, category, place of the tier) of rules and lists, each term once."""
    seen: set[str] = set()
    for rule in rules.rules:
        for term in rule.terms:
            if term not in seen:
                seen.add(term)
                yield term.lower(), rule.category, TIERS.index(rule.tier)
    ignored = {w.lower() for w in rules.ignore}
    class_of = _classifier(rules)
    for word in chain.from_iterable(map(word_list, rules.lists)):
        if word in seen or word in ignored or len(word) < rules.minimum:
            continue
        seen.add(word)
        found = class_of(word)
        if found is not None:
            yield word, found.category, TIERS.index(found.tier)


def _classifier(rules: LanguageRules) -> Callable[[str], Rule | None]:
    """What a listed word falls under: the first rule with a term in it, whole or with an open end; inside a word only without spaces."""
    terms = [[term.lower() for term in rule.terms] for rule in rules.rules]
    bare = [[t.rstrip("*") for t in some] for some in terms]
    whole = [{t for t in some if not t.endswith("*")} for some in terms]
    opened = [tuple(t.rstrip("*") for t in some if t.endswith("*")) for some in terms]

    def class_of(word: str) -> Rule | None:
        parts = word.split()
        for i, rule in enumerate(rules.rules):
            if (word.startswith(opened[i]) or not whole[i].isdisjoint(parts)) if rules.spaced else any(b in word for b in bare[i]):
                return rule
        return rules.listed

    return class_of


def _forms(term: str) -> set[str]:
    """How a term is written: cases of letters beyond ASCII (ASCII is folded when matching), full width, both Chinese scripts."""
    forms = {term}
    if not term.isascii():
        if any(c.islower() or c.isupper() for c in term):
            forms |= {term.upper(), term[:1].upper() + term[1:], term.replace("ё", "е"), term.replace("ß", "ss")}
            forms |= {f[:1].upper() + f[1:] for f in forms} | {f.upper() for f in forms}
        if any("\u4e00" <= c <= "\u9fff" for c in term):
            forms |= {convert(how, term) for how in ("s2t", "t2s", "s2tw", "s2hk")}
    if any("!" <= c <= "~" for c in term) and " " not in term:
        forms |= {f.translate(_WIDE) for f in [*forms, term.upper()]}
    return forms


@cache
def _converter(how: str) -> object:
    import opencc

    return opencc.OpenCC(how)


def convert(how: str, text: str) -> str:
    """OpenCC's conversion between Chinese scripts."""
    return str(_converter(how).convert(text))  # type: ignore[attr-defined]


@cache
def word_list(name: str) -> tuple[str, ...]:
    """A list of the installed package, in lower case.

    Raises:
        ConfigError: the package or the list is missing.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError(f"word lists need the package {PACKAGE}", f"pip install {PACKAGE}")
    folder = Path(spec.origin).parent / "data" / "sources"
    file = folder / f"{name}.txt"
    if file.parent != folder or not file.is_file():
        raise ConfigError(f"no word list '{name}'", f"lists: {', '.join(sorted(p.stem for p in folder.glob('*.txt')))}")
    return tuple(words(file.read_text(encoding="utf-8").split("\n")))


def words(lines: Iterable[str]) -> Iterator[str]:
    """Entries of a list: comments and blanks left out, lower case, each once."""
    seen = set()
    for line in lines:
        word = line.strip().lower()
        if word and not word.startswith("#") and word not in seen:
            seen.add(word)
            yield word
