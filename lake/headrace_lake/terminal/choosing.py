"""Slices named on a command line: `SOURCE/INTERVAL`, a source for all its slices, a pattern (`gimp-*/..`, `*/2026-11-01`) or a group.

In a pattern `*`, `?` and `[abc]` mean what they mean in a shell, on either side of the `/`; `..` stands for every interval. Quote it, or
the shell looks for files.

A group names sources by what their files say: `@text/2026-11-01` those whose `modality` is text, `@text:daily/2026-11-01` those of them
that say `schedule: daily`. So a command line of ten thousand slices is one word long (Linux takes 128 KiB a word, and Ray hands a
command on as one word).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from headrace_lake.errors import ConfigError, InputError
from headrace_lake.nearest import did_you_mean, nearest
from headrace_lake.slices import Slice
from headrace_lake.strict import read_yaml

if TYPE_CHECKING:
    from headrace_lake.lake import Lake

_WILD = frozenset("*?[")
EVERY = ".."
_GROUP = re.compile(r"@([a-z]{1,20})(:daily)?")


def is_pattern(text: str) -> bool:
    """Does the text name slices by a pattern or a group?"""
    return bool(_WILD & set(text)) or text.endswith(f"/{EVERY}") or text.startswith("@")


def group(modality: str, *, daily: bool = False) -> str:
    """The word for all sources of a modality, or for those that ask to be taken each day, to be followed by `/INTERVAL`."""
    return f"@{modality}{':daily' if daily else ''}"


def sources_of_group(folder: str | Path, word: str) -> list[str]:
    """Ids of the declared sources that a group's word (`@text`, `@text:daily`) names, sorted.

    Raises:
        ConfigError: it is not a group's word, or a source file cannot be read.
        InputError: no source belongs to it.
    """
    known = _GROUP.fullmatch(word)
    if known is None:
        raise ConfigError(f"'{word[:80]}' is not a group of sources", "write @MODALITY or @MODALITY:daily, such as @text:daily/2026-11-01")
    found = []
    for file in sorted(Path(folder).glob("*.yaml")):
        try:
            said = read_yaml(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            raise ConfigError(f"{file}: cannot be read ({type(exc).__name__})", f"'headrace source check {file.stem}' says more") from exc
        if isinstance(said, dict) and said.get("modality") == known[1] and (not known[2] or said.get("schedule") == "daily"):
            found.append(file.stem)
    if not found:
        wanted = f"modality: {known[1]}" + (" and schedule: daily" if known[2] else "")
        raise InputError(f"no source in {folder} belongs to '{word}'", f"its file must say {wanted}")
    return found


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
    found: list[Slice] = []
    for text in texts:
        word, _, interval = text.partition("/")
        if text.startswith("@"):
            members = set(sources_of_group(lake.settings.resolve(lake.settings.sources), word))
            mine = _matching(f"*/{interval}", [s for s in held if s.source in members], f"{where} of {word}", known=False)
        else:
            mine = _matching(text, held, where, known=known)
        found += mine
    return list(dict.fromkeys(found))


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
    found: list[Slice] = []
    for text in texts:
        source, _, interval = text.partition("/")
        if is_pattern(text) and interval and not is_pattern(f"x/{interval}"):
            sources = sources_of_group(folder, source) if source.startswith("@") else [n for n in declared if fnmatchcase(n, source)]
            if not sources:
                raise InputError(f"no source in {folder} matches '{source}'", did_you_mean(source, declared, of="sources"))
            found += [Slice(name, interval) for name in sources]
        else:
            found += slices_of_lake(lake, [text])
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
