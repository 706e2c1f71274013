"""Slices named on a command line: `SOURCE/INTERVAL`, a source for all its slices, or a pattern (`gimp-*/..`, `*/2026-11-01`).

In a pattern `*`, `?` and `[abc]` mean what they mean in a shell, on either side of the `/`; `..` stands for every interval. Quote it, or
the shell looks for files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from headrace_lake.errors import InputError
from headrace_lake.nearest import did_you_mean, nearest
from headrace_lake.slices import Slice

if TYPE_CHECKING:
    from headrace_lake.lake import Lake

_WILD = frozenset("*?[")
EVERY = ".."


def is_pattern(text: str) -> bool:
    """Does the text name slices by a pattern?"""
    return bool(_WILD & set(text)) or text.endswith(f"/{EVERY}")


def slices_of_lake(lake: Lake, texts: Sequence[str], *, table: str = "receipts", known: bool = False) -> list[Slice]:
    """The slices that texts name, in their order and each once; patterns are held against the slices that the lake holds.

    Args:
        known: refuse also a plain name that the lake does not hold.

    Raises:
        InputError: nothing matches; names what is nearest.
    """
    if not any(is_pattern(text) for text in texts) and not known:
        return list(dict.fromkeys(map(Slice.parse, texts)))
    held = lake.slices(table)
    where = f"the lake at {lake.storage.root}"
    return list(dict.fromkeys(s for text in texts for s in _matching(text, held, where, known=known)))


def slices_to_fetch(lake: Lake, texts: Sequence[str]) -> list[Slice]:
    """The slices that a fetch names: patterns are held against the slices of the lake, and, where the interval is plain, against the
    sources that are declared.

    Raises:
        InputError: nothing matches; names what is nearest.
    """
    if not any(map(is_pattern, texts)):
        return list(dict.fromkeys(map(Slice.parse, texts)))
    folder = lake.settings.resolve(lake.settings.sources)
    declared = sorted(f.stem for f in folder.glob("*.yaml"))
    held = lake.slices("receipts")
    found: list[Slice] = []
    for text in texts:
        source, _, interval = text.partition("/")
        if is_pattern(text) and interval and not is_pattern(f"x/{interval}"):
            sources = [name for name in declared if fnmatchcase(name, source)]
            if not sources:
                raise InputError(f"no source in {folder} matches '{source}'", did_you_mean(source, declared, of="sources"))
            found += [Slice(name, interval) for name in sources]
        else:
            found += _matching(text, held, f"the lake at {lake.storage.root}", known=False)
    return list(dict.fromkeys(found))


def _matching(text: str, held: Iterable[Slice], where: str, *, known: bool) -> list[Slice]:
    held = list(held)
    if not is_pattern(text):
        slice_ = Slice.parse(text)
        if known and slice_ not in held:
            raise InputError(f"no slice '{text}' in {where}", _nearest(slice_.source, text, held))
        return [slice_]
    source, _, interval = text.partition("/")
    interval = "*" if interval in ("", EVERY) else interval
    found = [s for s in held if fnmatchcase(s.source, source) and fnmatchcase(s.interval, interval)]
    if not found:
        raise InputError(f"no slice in {where} matches '{text}'", _nearest(source, text, held))
    return sorted(found)


def _nearest(source: str, text: str, held: Sequence[Slice]) -> str:
    sources = {s.source for s in held}
    near = source if source in sources else next(iter(nearest(source.strip("*?"), sources)), "")
    mine = [str(s) for s in held if s.source == near]
    if is_pattern(text) and near:
        return f"did you mean {' or '.join(map(repr, mine[:3]))}?"
    return did_you_mean(text, mine or map(str, held), of="slices")
