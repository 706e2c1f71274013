"""Templates of wikitext that stand for prose: which there are, and those whose text has to be made (dates, measures, amounts).

`wikitext.yaml` says for each template what it prints, as a pattern or as one of the functions here (`@convert`). Parameters are looked up
as MediaWiki does: positional ones by number, others by name. Nothing here computes what depends on today (ages) or on a rate (inflation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from headrace_governance.text.formats.scripts import lowered, raised
from headrace_governance.text.formats.wikipedia.rules import WikitextRules

Arguments = Mapping[str, str]
"""Rendered arguments, stripped, by name or number; empty ones are left out."""

_PLACE = re.compile(r"\{([^{}]{1,80})\}")
_NUMBER = re.compile(r"[-−–+±~]?[\d][\d.,'\s\u00a0⁄/+×x*^eE−-]{0,40}")
_RANGE = {
    "to": " to ", "-": "–", "–": "–", "and": " and ", "and(-)": " and ", "or": " or ", "x": " × ", "×": " × ", "by": " by ", "xx": " × ",
    "*": " × ", "+/-": " ± ", "±": " ± ", "+": " + ", ",": ", ", "to(-)": " to ", "to about": " to about ", "til": " til ", "bis": " bis ",
    "à": " à ", "et": " et ", "a": " a ", "y": " y ", "до": " до ", "и": " и ",
}  # fmt: skip
"""Words between two numbers of one measure (Module:Convert, "ranges"), and those of other languages' wikis."""
_UNITS = {
    "C": "°C", "F": "°F", "K": "K", "sqmi": "sq mi", "sqft": "sq ft", "sqin": "sq in", "sqyd": "sq yd", "sqkm": "km2", "sqm": "m2",
    "cuft": "cu ft", "cuin": "cu in", "cuyd": "cu yd", "cumi": "cu mi", "LT": "long tons", "ST": "short tons", "MT": "tonnes",
    "impgal": "imp gal", "USgal": "US gal", "usgal": "US gal", "acre": "acres", "foot": "ft", "metre": "m", "meter": "m", "inch": "in",
    "mile": "mi", "pound": "lb", "kilometre": "km", "kilometer": "km", "NM": "nmi", "kn": "knots", "knot": "knots",
}  # fmt: skip
_POWERS = {"e3": "thousand ", "e6": "million ", "e9": "billion ", "e12": "trillion "}
_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
_DATES = {"en": "{d} {m} {y}", "fr": "{d} {m} {y}", "es": "{d} de {m} de {y}", "pt": "{d} de {m} de {y}", "de": "{d}. {m} {y}",
          "ru": "{d} {m} {y}", "it": "{d} {m} {y}", "zh": "{y}年{m}月{d}日", "ja": "{y}年{m}月{d}日",
          "ko": "{y}년 {m}월 {d}일"}  # fmt: skip
_known: list[tuple[WikitextRules, dict[str, Templates]]] = []
"""The rules that were last used, with the templates of each language: a page must not build them again."""
_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,10})?")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")


def positional(given: Arguments, start: int = 1) -> list[str]:
    """The arguments by number from `start` on."""
    numbers = sorted(int(n) for n in given if n.isdecimal() and n.isascii() and len(n) < 4)
    return [given[str(n)] for n in numbers if n >= start]


def _convert(given: Arguments, _: str) -> str:
    """`10|to|20|km2|sqmi` → `10 to 20 km2`; the unit that it is converted to is left out."""
    out, values, at = "", positional(given), 0
    while at < len(values) and _NUMBER.fullmatch(values[at]):
        out += values[at]
        at += 1
        if at >= len(values):
            return out
        if values[at].lower() in _RANGE and at + 1 < len(values) and _NUMBER.fullmatch(values[at + 1]):
            out += _RANGE[values[at].lower()]
            at += 1
            continue
        out += f" {_unit(values[at])}"
        at += 1
        if not (at + 1 < len(values) and _NUMBER.fullmatch(values[at]) and not _NUMBER.fullmatch(values[at + 1])):
            return out
        out += " "  # `5|ft|10|in`
    return out or " ".join(values[:2])


def _unit(code: str) -> str:
    for power, word in _POWERS.items():
        if code.startswith(power) and code[len(power) :]:
            return word + _unit(code[len(power) :])
    return _UNITS.get(code, code)


def _val(given: Arguments, _: str) -> str:
    """`1.23|0.02|e=5|u=kg` → `1.23 ± 0.02 × 10⁵ kg`."""
    values = positional(given)
    out = values[0] if values else ""
    if len(values) > 2:
        out += f" +{values[1].lstrip('+')} −{values[2].lstrip('-−')}"
    elif len(values) > 1:
        out += f" ± {values[1]}"
    if "e" in given or "e10" in given:
        power = "10" + raised((given.get("e") or given.get("e10") or "").replace("−", "-"))
        out = f"{out} × {power}" if out else power
    unit = next((given[k] for k in ("u", "ul", "up", "upl") if k in given), "")
    return f"{given.get('p', '')}{out}{' ' if unit else ''}{unit}{given.get('s', '')}".strip()


def _date(given: Arguments, language: str, start: int = 1) -> str:
    """Year, month, day in either order, by numbers or by the month's name; anything else as it stands."""
    values = positional(given, start)
    if not values:
        return " ".join(given[k] for k in ("day", "month", "year") if k in given)
    year = next((n for n in (0, 2) if n < len(values) and re.fullmatch(r"\d{3,4}", values[n])), None)
    if year is None or (year == 0 and len(values) > 1 and not values[1].isdecimal() and len(values[1]) > 12):
        return " ".join(v for v in values[:3] if re.search(r"\d", v)) or values[0]
    ordered = values[:3] if year == 0 else values[2::-1]
    parts = [p.lstrip("0") or p for p in ordered if re.fullmatch(r"\d{1,4}|\w{1,12}\.?", p)]
    return _written(parts, language)


def _written(parts: list[str], language: str) -> str:
    months = _MONTHS.get(language)
    year, month, day = (*parts, "", "")[:3]
    if month.isdecimal() and not 1 <= int(month) <= 12:
        month, day = "", ""
    named = months is not None or not month.isdecimal()
    if month.isdecimal() and months is not None:
        month = months.split()[int(month) - 1]
    if language not in _DATES or (not named and language not in ("zh", "ja", "ko")):
        return "-".join(p.zfill(2) for p in (year, month, day) if p) if month.isdecimal() or not month else f"{day} {month} {year}".strip()
    form = _DATES[language]
    if not day:  # `3 mai 1999` → `mai 1999` → `1999`
        form = form[form.index("{m}") :] if form.startswith("{d}") else form[: form.index("{d}")].rstrip()
    if not month:
        form = "{y}"
    return form.format(y=year, m=month, d=day)


def _amount(sign: str) -> Callable[[Arguments, str], str]:
    return lambda given, _: f"{sign}{given['1']}" if "1" in given else sign


def _measure(given: Arguments, _: str) -> str:
    """French `unité`: `10|km`, `5|m|3|s|-1`: a number behind a unit is its power."""
    values = positional(given)
    out = values[0] if values else ""
    for n, value in enumerate(values[1:], start=1):
        power = n > 1 and re.fullmatch(r"[-−+]?\d", value) is not None
        out += raised(value.replace("−", "-")) if power else ("" if value.startswith("/") else " ") + value
    if "e" in given:
        out = out.replace(values[0], f"{values[0]} × 10{raised(given['e'].replace('−', '-'))}", 1) if values else f"10{raised(given['e'])}"
    return out


def _fraction(given: Arguments, _: str) -> str:
    values = positional(given)
    if len(values) < 2:
        return f"1/{values[0]}" if values else ""
    return f"{values[0]}/{values[1]}" if len(values) == 2 else f"{values[0]} {values[1]}/{values[2]}"


def _local(given: Arguments, _: str) -> str:
    """A name in the wiki's own language beside foreign ones: the last that is written in its script is what is shown."""
    shown = given.get("d") or given.get("display")
    values = positional(given)
    own = [v for v in values if _CJK.search(v)]
    return shown or (own[-1] if own else next((v for v in values if not _LANGUAGE_CODE.fullmatch(v)), values[0] if values else ""))


def _as_of(given: Arguments, language: str) -> str:
    return f"{'as' if given.get('lc') in ('y', 'yes') else 'As'} of {_date(given, language)}"


def _height(given: Arguments, _: str) -> str:
    names = (("m", "m"), ("cm", "cm"), ("ft", "ft"), ("in", "in"))
    return " ".join(f"{given[k]} {unit}" for k, unit in names if k in given) or " ".join(positional(given))


def _ordinal(given: Arguments, _: str) -> str:
    number = given.get("1", "")
    ending = "th" if number[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1:], "th")
    return f"{number}{ending}" if number[-1:].isdecimal() else number


def _centuries(given: Arguments, _: str) -> str:
    """French `sp-|XV|au|XVI` → `XVe au XVIe siècle`."""
    return " ".join(f"{v}e" if re.fullmatch(r"[IVXLC]{1,6}|\d{1,2}", v) else v for v in positional(given)[:3]) + " siècle"


def _percentage(given: Arguments, _: str) -> str:
    """`1|4` → `25%`, `2|3|1` → `66.7%`; as a fraction if the arguments are not numbers."""
    values = positional(given)
    if len(values) < 2:
        return f"{values[0]}%" if values and values[0][-1:].isdecimal() else " ".join(values)
    if not all(re.fullmatch(r"\d{1,15}(?:\.\d{1,9})?", v.replace(",", "")) for v in values[:2]) or not float(values[1].replace(",", "")):
        return f"{values[0]}/{values[1]}"
    places = int(values[2]) if len(values) > 2 and re.fullmatch(r"\d", values[2]) else 0
    share = 100 * Decimal(values[0].replace(",", "")) / Decimal(values[1].replace(",", ""))
    return f"{share.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)}%"


def _age(given: Arguments, _: str) -> str:
    """Whole years from one date to another (`1950|1|2|2000|3|4` → `50`); nothing if it depends on today."""
    values = positional(given)
    if len(values) != 6 or not all(re.fullmatch(r"\d{1,4}", v) for v in values):
        return ""
    begin, end = [int(v) for v in values[:3]], [int(v) for v in values[3:]]
    return str(end[0] - begin[0] - (end[1:] < begin[1:]))


FUNCTIONS: dict[str, Callable[[Arguments, str], str]] = {
    "all": lambda given, _: " ".join(positional(given)),
    "joined": lambda given, _: "".join(positional(given)),
    "listed": lambda given, _: ", ".join(positional(given)),
    "after first": lambda given, _: " ".join(positional(given, 2)),
    "raised": lambda given, _: raised(given.get("1", "")),
    "lowered": lambda given, _: lowered(given.get("1", "")),
    "power of ten": lambda given, _: f"×10{raised(given.get('1', '').replace('−', '-'))}",
    "convert": _convert, "val": _val, "date": _date, "later date": lambda given, language: _date(given, language, 4), "unité": _measure,
    "fraction": _fraction, "local name": _local, "as of": _as_of, "height": _height, "ordinal": _ordinal, "siècles": _centuries,
    "percentage": _percentage, "age": _age,
}  # fmt: skip


class Given(Mapping[str, str]):
    """A template's arguments by name or number, rendered when they are asked for; empty ones are not there."""

    def __init__(self, parameters: Sequence[Any], render: Callable[[Any], str]) -> None:
        self._given = {str(p.name).strip(): p.value for p in parameters}
        self._render = render
        self._texts: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._texts:
            self._texts[name] = self._render(self._given[name]).strip()
        if not self._texts[name]:
            raise KeyError(name)
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._given if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Templates:
    """The templates of one language's wiki.

    Args:
        rules: names and what they print.
        language: ISO 639 code of the wiki.
    """

    def __init__(self, rules: WikitextRules, language: str) -> None:
        self.language = language
        named = {**rules.templates, **rules.templates_by_language.get(language, {})}
        self._named = {normal(n): t for n, t in named.items() if not n.endswith("*")}
        self._prefixes = [(normal(n[:-1]), t) for n, t in named.items() if n.endswith("*")]
        self._silent = frozenset(normal(n) for n in rules.silent_templates if not n.endswith("*"))
        self._silent_prefixes = tuple(normal(n[:-1]) for n in rules.silent_templates if n.endswith("*"))

    def rule(self, name: str) -> str | None:
        """What a template (its name as `normal` gives it) prints, or None if nobody said."""
        rule = self._named.get(name)
        return rule if rule is not None else next((t for prefix, t in self._prefixes if name.startswith(prefix)), None)

    def is_silent(self, name: str) -> bool:
        """Whether a template is known to print nothing that is text: notes, boxes, navigation, maintenance."""
        return name in self._silent or name.startswith(self._silent_prefixes)

    def text(self, rule: str, given: Arguments) -> str:
        """What a rule makes of the arguments."""
        if rule.startswith("@"):
            name, _, sign = rule[1:].partition(":")
            return _amount(sign)(given, self.language) if name == "amount" else FUNCTIONS[name](given, self.language)
        return _PLACE.sub(lambda found: _first(found[1].split("|"), given), rule)


def _first(choices: list[str], given: Arguments) -> str:
    """The first argument that is there, or a text after `=`."""
    return next((text for c in choices if (text := c[1:] if c.startswith("=") else given.get(c, ""))), "")


def normal(name: str) -> str:
    """A template's name as it is looked up: no underscores, single blanks, without case."""
    return " ".join(name.replace("_", " ").split()).casefold()


def templates_of(rules: WikitextRules, language: str) -> Templates:
    """The templates of a language's wiki; built once for the rules that were last used."""
    if not _known or _known[0][0] is not rules:
        _known[:] = [(rules, {})]
    by_language = _known[0][1]
    if language not in by_language:
        by_language[language] = Templates(rules, language)
    return by_language[language]
