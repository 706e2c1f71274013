"""Terms of a licence expression: its duties, its class, and which alternative of an OR was chosen.

The expression is SPDX's (annex D of SPDX 2.3), read by `license-expression`: AND joins duties, OR takes the least restrictive
alternative that the policy admits, WITH keeps the duties of the licence (an exception that restricts adds its own), `+` and
`-or-later` change nothing. Upper and lower case are equal, deprecated ids (`GPL-2.0`) are written as today's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from headrace_governance.sources.licences.rules import CLASSES, Duty, LicenceClass, duties_of_id, in_order, index, parser
from headrace_lake.errors import ConfigError

MAX_EXPRESSION = 500
"""Characters of an expression; SPDX's own longest are below 200."""
_IMPLIED: dict[LicenceClass, tuple[Duty, ...]] = {
    "own": (),
    "public": (),
    "attribution": ("attribution",),
    "share-alike": ("attribution", "share-alike"),
    "copyleft": ("attribution", "copyleft"),
    "unknown": ("unknown",),
    "non-commercial": ("attribution", "non-commercial"),
    "no-derivatives": ("attribution", "no-derivatives"),
    "restricted": ("attribution", "restricted"),
}


@dataclass(frozen=True)
class Terms:
    """What an expression asks for.

    Attributes:
        expression: in SPDX's spelling.
        duties: from least to most restrictive; of the chosen alternatives.
        cls: the strongest duty, `public` without any, `own` for our material.
        choice: the expression without the alternatives that were not taken; empty if there is no OR.
        unknown: ids in it that nobody knows.
    """

    expression: str
    duties: tuple[Duty, ...]
    cls: LicenceClass
    choice: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """Restrictiveness: by class, then by the number of duties."""
        return CLASSES.index(self.cls), len(self.duties)


def implied(cls: LicenceClass) -> tuple[Duty, ...]:
    """The duties that somebody accepts who accepts a class."""
    return _IMPLIED[cls]


def accepts(classes: Collection[LicenceClass], terms: Terms) -> bool:
    """Whether the class is among these, and every duty is one that these classes stand for."""
    return terms.cls in classes and set(terms.duties) <= {d for c in classes for d in _IMPLIED[c]}


def terms_of(
    expression: str, *, admits: Callable[[Terms], bool] = lambda _: True, added: Mapping[str, LicenceClass] | None = None
) -> Terms:
    """The terms of an expression.

    Args:
        admits: what may be kept at all; an OR prefers such alternatives.
        added: further ids (lower case) and their classes, of a policy.

    Raises:
        ConfigError: no SPDX expression.
    """
    read = _read(_parsed(expression), admits, added or {})
    return Terms(_rendered(expression), read.duties, read.cls, read.text if read.chosen else "", tuple(dict.fromkeys(read.unknown)))


@dataclass(frozen=True)
class _Part:
    """A part of an expression: its text without what was not chosen."""

    text: str
    duties: tuple[Duty, ...]
    own: bool = False
    chosen: bool = False
    unknown: tuple[str, ...] = field(default=())

    @property
    def cls(self) -> LicenceClass:
        if self.duties:
            return self.duties[-1]
        return "own" if self.own else "public"


@lru_cache(maxsize=4096)
def _parsed(expression: str) -> Any:
    from license_expression import ExpressionError, ParseError

    way_out = "write SPDX ids joined by AND, OR and WITH, such as 'GPL-2.0-or-later OR CC-BY-SA-3.0'"
    if len(expression) > MAX_EXPRESSION:
        raise ConfigError(f"licence expression of {len(expression)} characters", f"{MAX_EXPRESSION} at most; {way_out}")
    try:
        tree = parser().parse(expression)
    except (ExpressionError, ParseError, RecursionError, ValueError, TypeError, AttributeError, IndexError) as exc:
        problem = " ".join(str(exc).split()) or type(exc).__name__
        raise ConfigError(f"'{expression[:80]}' is not a licence expression ({problem[:120]})", way_out) from exc
    if tree is None:
        raise ConfigError("an empty licence expression", way_out)
    return tree


@lru_cache(maxsize=4096)
def _rendered(expression: str) -> str:
    return _spelled(_parsed(expression).render("{symbol.key}"))


def _spelled(rendered: str) -> str:
    """`cc-by-sa-3.0+` → `CC-BY-SA-3.0+`: the library knows `+` of GNU licences only."""
    words = rendered.split(" ")
    for i, word in enumerate(words):
        bare = word.strip("()")
        known = index().get(bare.lower().removesuffix("+")) if bare.endswith("+") else None
        if known is not None:
            words[i] = word.replace(bare, f"{known.id}+")
    return " ".join(words)


def _read(tree: Any, admits: Callable[[Terms], bool], added: Mapping[str, LicenceClass]) -> _Part:
    from license_expression import LicenseWithExceptionSymbol

    if isinstance(tree, LicenseWithExceptionSymbol):
        return _with_exception(_symbol(tree.license_symbol.key, added), tree.exception_symbol.key)
    parts = [_read(a, admits, added) for a in getattr(tree, "args", ())]
    if not parts:
        return _symbol(tree.key, added)
    if tree.operator.strip() == "OR":
        best = min(parts, key=lambda p: _preference(p, admits))
        return _Part(best.text, best.duties, best.own, True, best.unknown)
    return _Part(
        " AND ".join(f"({p.text})" if " OR " in p.text else p.text for p in parts),
        in_order(d for p in parts for d in p.duties),
        all(p.own for p in parts),
        any(p.chosen for p in parts),
        tuple(u for p in parts for u in p.unknown),
    )


def _preference(part: _Part, admits: Callable[[Terms], bool]) -> tuple[bool, int, int, str]:
    terms = Terms(part.text, part.duties, part.cls)
    return not admits(terms), *terms.rank, part.text


def _symbol(key: str, added: Mapping[str, LicenceClass]) -> _Part:
    bare = key.removesuffix("+")
    text = _spelled(key)
    duties, known = duties_of_id(bare), index().get(bare.lower())
    cls = added.get(bare.lower())
    if cls is not None:
        return _Part(text, in_order((*(duties or ()), *_IMPLIED[cls])), cls == "own")
    # SPDX lists MPL-2.0-no-copyleft-exception and GPL-2.0-with-... as licences, the index as exceptions.
    if duties is None or (known is not None and known.is_exception and not known.id.startswith(("MPL-", "GPL-"))):
        return _Part(text, ("unknown",), unknown=(key,))
    return _Part(text, duties)


def _with_exception(licence: _Part, exception: str) -> _Part:
    """An exception permits more than its licence, which is not counted upon; a few forbid (Commons Clause), which is."""
    known = index().get(exception.lower())
    text = f"{licence.text} WITH {exception}"
    if known is None or not known.is_exception:
        return _Part(text, in_order((*licence.duties, "unknown")), licence.own, unknown=(*licence.unknown, exception))
    forbids = [d for d in duties_of_id(exception) or () if d in ("non-commercial", "no-derivatives", "restricted")]
    return _Part(text, in_order((*licence.duties, *forbids)), licence.own, unknown=licence.unknown)
