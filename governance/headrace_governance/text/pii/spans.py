"""Findings of the PII detectors, and the part of a line that their context rules read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A finding: its kind and where it lies, in characters."""

    kind: str
    start: int
    end: int


Detector = Callable[[str, str], Iterator[Span]]
"""(text, ISO 639-1 code) → findings."""


def before(text: str, at: int, reach: int) -> str:
    """At most `reach` characters before a place, of its own line."""
    piece = text[max(0, at - reach) : at]
    return piece[piece.rfind("\n") + 1 :]


def after(text: str, at: int, reach: int) -> str:
    """At most `reach` characters from a place on, of its own line."""
    return text[at : at + reach].partition("\n")[0]


def rest_of_line_before(text: str, at: int) -> str:
    """The line up to a place, its last 200 characters at most."""
    return before(text, at, 200)
