"""Numbers with units in LaTeX: commands of siunitx (its manual, versions 2 and 3), `units`, `nicefrac` and `numprint`, as plain text.

A number stays as it was typed (`3e8`), a unit macro becomes its symbol (`\\kilo\\metre\\per\\second\\squared` → `km/s²`), a unit typed
as letters stays. A macro that nobody declared is its own name, which is right for siunitx's abbreviations (`\\km`, `\\GeV`).
"""

from __future__ import annotations

import re

from headrace_governance.text.formats.scripts import raised

COMMANDS = {
    "SI": "number unit", "qty": "number unit", "si": "unit", "unit": "unit", "num": "number", "tablenum": "number", "ang": "angle",
    "numlist": "list", "numproduct": "product", "numrange": "number number", "SIlist": "list unit", "qtylist": "list unit",
    "qtyproduct": "product unit", "SIrange": "number number unit", "qtyrange": "number number unit", "complexnum": "number",
    "complexqty": "number unit", "nicefrac": "over over", "unitfrac": "unit per", "sfrac": "over over", "textfrac": "over over",
    "numprint": "number", "np": "number",
}  # fmt: skip
"""Command → what its arguments are."""
_PREFIXES = {
    "quecto": "q", "ronto": "r", "yocto": "y", "zepto": "z", "atto": "a", "femto": "f", "pico": "p", "nano": "n", "micro": "µ",
    "milli": "m", "centi": "c", "deci": "d", "deca": "da", "deka": "da", "hecto": "h", "kilo": "k", "mega": "M", "giga": "G", "tera": "T",
    "peta": "P", "exa": "E", "zetta": "Z", "yotta": "Y", "ronna": "R", "quetta": "Q", "kibi": "Ki", "mebi": "Mi", "gibi": "Gi",
    "tebi": "Ti", "pebi": "Pi", "exbi": "Ei", "zebi": "Zi", "yobi": "Yi",
}  # fmt: skip
_UNITS = {
    "ampere": "A", "candela": "cd", "kelvin": "K", "kilogram": "kg", "gram": "g", "metre": "m", "meter": "m", "mole": "mol", "second": "s",
    "becquerel": "Bq", "degreeCelsius": "°C", "celsius": "°C", "coulomb": "C", "farad": "F", "gray": "Gy", "hertz": "Hz", "henry": "H",
    "joule": "J", "lumen": "lm", "katal": "kat", "lux": "lx", "newton": "N", "ohm": "Ω", "pascal": "Pa", "radian": "rad", "siemens": "S",
    "sievert": "Sv", "steradian": "sr", "tesla": "T", "volt": "V", "watt": "W", "weber": "Wb", "astronomicalunit": "au", "bel": "B",
    "dalton": "Da", "day": "d", "decibel": "dB", "degree": "°", "electronvolt": "eV", "hectare": "ha", "hour": "h", "litre": "L",
    "liter": "L", "arcminute": "′", "minute": "min", "arcsecond": "″", "neper": "Np", "tonne": "t", "percent": "%", "angstrom": "Å",
    "nauticalmile": "M", "knot": "kn", "bohr": "a₀", "clight": "c₀", "elementarycharge": "e", "electronmass": "mₑ", "hartree": "Eₕ",
    "planckbar": "ħ", "atomicmassunit": "u", "byte": "B", "micron": "µm", "kohm": "kΩ", "Mohm": "MΩ", "mohm": "mΩ", "molar": "mol/dm³",
    "Molar": "M", "permille": "‰",
    **{f"u{unit}": f"µ{unit}" for unit in "m s g l L A V W J N F H C K T".split()}, "umol": "µmol", "ueV": "µeV", "uHz": "µHz",
    "uPa": "µPa", "uC": "µC", "uSv": "µSv", "uGy": "µGy", "uM": "µM",
}  # fmt: skip
_SIGNS = {"pm": "±", "mp": "∓", "times": "×", "cdot": "·", "pi": "π", "mu": "µ", "approx": "≈", "sim": "∼", "leq": "≤", "geq": "≥",
          "le": "≤", "ge": "≥", "ll": "≪", "gg": "≫", "Omega": "Ω", "circ": "°", "infty": "∞", "sqrt": "√"}  # fmt: skip
_TIGHT = ("°", "′", "″")
_TOKEN = re.compile(r"\\([A-Za-z]{1,60})\s?|\\.|\^\{([^{}]{0,40})\}|\^(.)|\{([^{}]{0,80})\}|[{}~.*·\s]|/|[^\\^{}~.*·\s/]{1,60}", re.DOTALL)
_DECLARED = re.compile(
    r"\\(?:DeclareSIUnit|newunit)(?:WithOptions)?\s{0,9}(?:\[[^\[\]]{0,200}\])?\s{0,9}(?:\{\s{0,9}\\([A-Za-z]{1,60})\s{0,9}\}|\\([A-Za-z]{1,60}))"
)
_NUMERIC = re.compile(r"[-+<>~\s]{0,9}[0-9.,][0-9.,\seE+\-()x×/\\,pm]{0,80}")


def is_number(text: str) -> bool:
    """Whether an argument is a number, of `\\unit[5]{kg}` and `\\unit{5}{kg}`, where others have options or a unit."""
    return _NUMERIC.fullmatch(text.strip()) is not None


def declared_units(source: str) -> dict[str, str]:
    """Names and symbols of the units that the document declares itself."""
    found: dict[str, str] = {}
    if "DeclareSIUnit" not in source and "\\newunit" not in source:
        return found
    for m in _DECLARED.finditer(source):
        symbol = re.compile(r"\s{0,9}(?:\[[^\[\]]{0,200}\])?\s{0,9}\{((?:[^{}]|\{[^{}]{0,80}\}){0,200})\}").match(source, m.end())
        if symbol is not None:
            found[m[1] or m[2]] = unit(re.sub(r"\\(?:text|mathrm|textup|ensuremath)(?![A-Za-z])", "", symbol[1]), found)
    return found


def written(name: str, arguments: list[str], before: str, declared: dict[str, str]) -> str:
    """The text of a command.

    Args:
        arguments: as `COMMANDS` lists them.
        before: a unit that stands before the number (`\\SI{5}[\\$]{}`), or a number (`\\unitfrac[5]{m}{s}`).
        declared: the document's own units.
    """
    numbers: list[str] = []
    symbol = ""
    for kind, argument in zip(COMMANDS[name].split(), arguments, strict=False):
        if kind == "number":
            numbers.append(number(argument))
        elif kind == "angle":
            return _angle(argument)
        elif kind == "list":
            numbers += [number(n) for n in argument.split(";")]
        elif kind == "product":
            numbers.append(" × ".join(number(n) for n in re.split(r"x|;", argument)))
        elif kind == "over":
            numbers.append(argument.strip())
        else:
            symbol += f"{'/' if kind == 'per' else ''}{unit(argument, declared)}"
    if "over" in COMMANDS[name]:
        return f"{before} {'/'.join(numbers)}".strip()
    if name.endswith("range"):
        count = " to ".join(numbers)
    else:
        count = ", ".join(numbers[:-1]) + (" and " if len(numbers) > 1 else "") + (numbers[-1] if numbers else "")
    if before and not numbers:
        count, before = number(before), ""
    if name in ("numprint", "np"):  # \numprint[km]{12}
        symbol, before = unit(before, declared), ""
    lead = unit(before, declared) if before else ""
    if not count or not symbol:
        return lead + (count or symbol)
    return f"{lead}{count}{'' if symbol.startswith(_TIGHT) and symbol[:2] != '°C' else ' '}{symbol}"


def number(typed: str) -> str:
    """A number as it was typed, without what only spaces it."""
    text = re.sub(r"\\[,;:!> ]|[{}~$]", "", typed)
    text = re.sub(r"\\([A-Za-z]{1,40})\s?", lambda m: _SIGNS.get(m[1], m[1]), text)
    first, *others = re.split(r"\+-|±", "".join(text.split()) if "±" not in text else text)
    text = " ± ".join([first.rstrip(), *(part.strip() for part in others)]) if others else first
    return re.sub(r"(?<=[0-9)])x(?=[0-9(])", " × ", text).strip()


def _angle(typed: str) -> str:
    parts = [number(p) for p in typed.split(";")]
    return "".join(f"{part}{sign}" for part, sign in zip(parts, _TIGHT, strict=False) if part)


class _Factor:
    """One unit of a product: its symbol, its power as typed, and whether it divides."""

    def __init__(self, symbol: str, power: str, per: bool) -> None:
        self.symbol, self.power, self.per = symbol, power, per

    def text(self, negative: bool = False) -> str:
        power = f"-{self.power or '1'}" if negative else self.power
        return self.symbol + (raised(power) if power else "")


def unit(typed: str, declared: dict[str, str]) -> str:
    """A unit given by macros or by letters."""
    typed = typed.strip()
    if not re.search(r"\\[A-Za-z]", typed):
        plain = re.sub(r"\\([%$&#_])", r"\1", typed.replace("$", "") if "\\$" not in typed else typed)
        plain = re.sub(r"\^\{([^{}]{0,40})\}|\^(.)", lambda m: raised(m[1] or m[2] or ""), plain)
        return " ".join(re.sub(r"[~{}]|(?<=[^\W\d_])\.(?=[^\W\d_])|\\.", " ", plain).split())
    factors: list[_Factor] = []
    prefix, power, per, wants = "", "", False, ""
    for token in _TOKEN.finditer(typed):
        macro, group = token[1], token[4]
        if wants and group is not None:  # the argument of `\tothe`, `\raiseto`, `\of`
            if wants == "raiseto":
                power = group.strip()
            elif factors and wants == "tothe":
                factors[-1].power = group.strip()
            elif factors and wants == "of":
                factors[-1].symbol += f"_{unit(group, declared)}"
            wants = ""
        elif macro in ("tothe", "raiseto", "of", "highlight"):
            wants = macro
        elif macro == "per" or token[0] == "/":
            per = True
        elif macro in ("squared", "cubed"):
            if factors:
                factors[-1].power = "2" if macro == "squared" else "3"
        elif macro in ("square", "cubic"):
            power = "2" if macro == "square" else "3"
        elif token[2] is not None or token[3] is not None:
            if factors:
                factors[-1].power = token[2] or token[3] or ""
        elif macro in _PREFIXES and macro not in declared:
            prefix += _PREFIXES[macro]
        elif macro == "cancel" or (macro is None and group is None and not re.search(r"[^\W_]|[%°Å$€£\"']", token[0])):
            continue
        else:
            given = group if group is not None else token[0].lstrip("\\")
            symbol = declared.get(macro) or _UNITS.get(macro) or _SIGNS.get(macro) or macro if macro else given.strip()
            factors.append(_Factor(prefix + symbol, power, per))
            prefix, power, per = "", "", False
    if prefix:
        factors.append(_Factor(prefix, power, per))
    above, below = [f for f in factors if not f.per], [f for f in factors if f.per]
    if not above:
        return " ".join(f.text(negative=True) for f in below)
    under = f"/{below[0].text()}" if len(below) == 1 else f"/({' '.join(f.text() for f in below)})" if below else ""
    return " ".join(f.text() for f in above) + under
