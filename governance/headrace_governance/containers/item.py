"""What every importer yields: one thing to keep, or why it cannot be kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headrace_governance.containers.faults import is_ours, told

_SAID = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of things that carry none: an import must give the same bytes tomorrow."""


@dataclass(frozen=True)
class Item:
    """One thing to import, or why it cannot be.

    What is not Unicode text in a string (a lone surrogate of a JSON escape, a file name's stray byte) is written as an escape, such as
    `\\ud800`: no table could hold it, and one such row must not end an import.

    Attributes:
        body: bytes as they are; undecodable text is the extraction's business.
        status: HTTP status of a WARC response, 0 for everything else.
        licence_links: (where, what it says: address, SPDX expression, name or prose) of licences that the record itself names; they can
            only make the source's stricter. Empty: the record names none.
        origin: file and row, for what is dropped; empty where the address says it.
        problem: (reason, detail) of a row to drop; `failed` rows go to quarantine instead.
    """

    url: str
    body: bytes = b""
    content_type: str = ""
    charset: str = ""
    language: str = ""
    status: int = 0
    fetched_at: datetime = EPOCH
    headers: tuple[tuple[str, str], ...] = ()
    licence_links: tuple[tuple[str, str], ...] = ()
    problem: tuple[str, str] | None = None
    origin: str = ""
    failed: bool = field(default=False)

    def __post_init__(self) -> None:
        for name in ("url", "content_type", "charset", "language", "origin"):
            value = getattr(self, name)
            if not value.isascii():
                object.__setattr__(self, name, _escaped(value))
        for name in ("headers", "licence_links"):
            pairs = getattr(self, name)
            if not all(text.isascii() for pair in pairs for text in pair):
                object.__setattr__(self, name, tuple((_escaped(a), _escaped(b)) for a, b in pairs))
        if self.problem is not None:
            object.__setattr__(self, "problem", (_escaped(self.problem[0]), _escaped(self.problem[1])))


def alone(make: Callable[[], Iterable[Item]], url: str, where: str) -> Iterator[Item]:
    """The items of one record; any exception of it is that record's failure (`error`), and the next one is read.

    Args:
        url: address of the failed record.
        where: file and row of it.
    """
    try:
        yield from make()
    except Exception as exc:
        if is_ours(exc):
            raise
        yield Item(url=url, problem=("error", f"{where}: {told(exc)}"), failed=True)


@dataclass
class Reading:
    """What a reader says beside its items; goes into the notes of the import's receipt.

    Attributes:
        skipped: what is not an item of its own and was left out, by kind.
        incomplete: what is missing of the files, each with its name; the first 20.
        more: how many more are missing.
    """

    skipped: Counter[str] = field(default_factory=Counter)
    incomplete: list[str] = field(default_factory=list)
    more: int = 0

    def lacks(self, what: str) -> None:
        """Say that something is missing."""
        if len(self.incomplete) < _SAID:
            self.incomplete.append(what)
        else:
            self.more += 1

    def notes(self) -> list[str]:
        """For a receipt."""
        notes = [f"incomplete: {_escaped(what)}" for what in self.incomplete]
        if self.more:
            notes.append(f"incomplete: {self.more} more, see the quarantine")
        return [*notes, *(f"skipped: {_escaped(kind)} {count}" for kind, count in sorted(self.skipped.items()))]


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
