"""trafilatura's own evaluation set: web pages with snippets that their main text must hold (`with`) and must not hold (`without`).

Read from a checkout (`tests/evaldata.json`, the pages under `tests/cache` and `tests/eval`; github.com/adbar/trafilatura). The metric is
that set's own (`tests/eval_common.py`): white space is normalised, a snippet is found or not, the counts of all pages are summed up
(micro average). Nothing of the set lies in this repository.

The pages fall into two halves by a hash of their address: rules were chosen while the first was looked at, the second was only scored.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SnippetPage:
    """One page: its bytes, the snippets, and whether it is one of those that were looked at."""

    address: str
    body: bytes
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    looked_at: bool


@dataclass
class Counts:
    """Snippets found and missed, of those wanted and of those not."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0

    def add(self, other: Counts) -> None:
        """Sum up."""
        self.true_positives += other.true_positives
        self.false_positives += other.false_positives
        self.false_negatives += other.false_negatives
        self.true_negatives += other.true_negatives

    @property
    def precision(self) -> float:
        """Of the snippets found, those wanted."""
        return self.true_positives / max(1, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Of the snippets wanted, those found."""
        return self.true_positives / max(1, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.true_positives / max(1, 2 * self.true_positives + self.false_positives + self.false_negatives)


def snippet_pages(checkout: Path) -> list[SnippetPage]:
    """All pages of the set, by address.

    Raises:
        FileNotFoundError: a page that the set names is in neither folder.
    """
    tests = checkout / "tests"
    entries: dict[str, dict[str, Any]] = json.loads((tests / "evaldata.json").read_text(encoding="utf-8"))
    pages = []
    for address, entry in sorted(entries.items()):
        path = next((p for p in (tests / "cache" / entry["file"], tests / "eval" / entry["file"]) if p.is_file()), None)
        if path is None:
            raise FileNotFoundError(f"{address}: no page {entry['file']} under {tests}")
        looked_at = hashlib.sha256(address.encode()).digest()[0] < 128
        pages.append(SnippetPage(address, path.read_bytes(), tuple(entry["with"]), tuple(entry["without"]), looked_at))
    return pages


def normal(text: str) -> str:
    """White space as the set's metric sees it."""
    return re.sub(r"\s+", " ", text).strip()


def count(page: SnippetPage, text: str) -> Counts:
    """What of a page's snippets its extracted text holds."""
    found = normal(text)
    wanted = sum(normal(s) in found for s in page.wanted)
    unwanted = sum(normal(s) in found for s in page.unwanted)
    return Counts(wanted, unwanted, len(page.wanted) - wanted, len(page.unwanted) - unwanted)
