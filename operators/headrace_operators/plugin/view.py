"""The lake as the pages read it: opened once, and what was read kept until the lake has another version.

The version is the newest snapshot of `receipts` and of `artifacts`: every commit of data writes one of them. One lock stands before the
lake, since Airflow serves requests in several threads. Nothing is written, and a lake that is not there is not made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from headrace_lake.errors import HeadraceError, InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact, Receipt
from headrace_lake.settings import Settings
from headrace_operators.operator_env import current_settings

T = TypeVar("T")

COUNTS = ("stage", "source", "slice", "fingerprint", "committed_at", "read", "kept", "dropped", "failed")
"""Columns of `receipts` that tell counts without the receipt itself, which takes a parser."""


class LakeView:
    """One lake and what was read of its newest version.

    Attributes:
        file: the settings file, '' for the defaults.
    """

    def __init__(self, settings: Settings, file: str) -> None:
        self.settings = settings
        self.file = file
        self.lock = threading.RLock()
        self.lake = _open(settings)
        self._version: tuple[int | None, int | None] = (None, None)
        self._kept: dict[str, Any] = {}
        self._parsed: dict[str, Receipt] = {}

    @property
    def root(self) -> str:
        """Where the lake lies."""
        return self.lake.storage.root

    def version(self) -> str:
        """Of the lake as it is now; what was read of another version is forgotten."""
        with self.lock:
            receipts, artifacts = (self.lake.table(name).metadata.current_snapshot_id for name in ("receipts", "artifacts"))
            if (receipts, artifacts) != self._version:
                self._version, self._kept = (receipts, artifacts), {}
            return f"{receipts}-{artifacts}"

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` reads, asked for once for each version."""
        with self.lock:
            self.version()
            if name not in self._kept:
                self._kept[name] = make()
            found: T = self._kept[name]
            return found

    def receipts(self) -> list[Receipt]:
        """All receipts in the order of their commits; each is parsed once."""
        return self.once("receipts", self._read_receipts)

    def _read_receipts(self) -> list[Receipt]:
        texts: list[str] = self.lake.read("receipts", columns=["receipt"])["receipt"].to_pylist()
        self._parsed = {text: self._parsed.get(text) or Receipt.model_validate_json(text) for text in texts}
        return [self._parsed[text] for text in texts]

    def counts(self) -> list[dict[str, Any]]:
        """Stage, slice and counts of all receipts in the order of their commits."""

        def read() -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = self.lake.read("receipts", columns=COUNTS).to_pylist()
            return rows

        return self.once("counts", read)

    def artifacts(self) -> list[Artifact]:
        """All artifacts in the order of their commits."""
        return self.once("artifacts", self.lake.artifacts)

    def tokens(self) -> dict[tuple[str, str], dict[str, int]]:
        """(source, interval) → documents and tokens of its shards."""

        def read() -> dict[tuple[str, str], dict[str, int]]:
            found: dict[tuple[str, str], dict[str, int]] = {}
            for row in self.lake.read("token_shards", columns=["source", "slice", "documents", "tokens"]).to_pylist():
                sums = found.setdefault((row["source"], row["slice"]), {"documents": 0, "tokens": 0})
                sums["documents"] += row["documents"]
                sums["tokens"] += row["tokens"]
            return found

        return self.once("tokens", read)

    def ledger(self) -> pa.Table:
        """The ledger; sources that are declared and have nothing are in it."""
        from headrace_governance.audit.ledger import ledger
        from headrace_governance.sources.source import load_sources

        def make() -> pa.Table:
            declared = {s.id: s.declared_tokens for s in load_sources(self.settings.resolve(self.settings.sources)).values()}
            return ledger(self.lake, declared)

        return self.once("ledger", make)

    def commits(self, most: int) -> list[dict[str, Any]]:
        """The newest commits of stages, newest first: `at` (Unix time), `stage`, `slice`, `run` (comma-separated each)."""
        return self.once(f"commits {most}", lambda: list(reversed(self.lake.history("receipts")[-most:])))


_views: dict[str, LakeView] = {}
_views_lock = threading.Lock()


def current_view() -> LakeView:
    """The lake of Airflow's settings.

    Raises:
        HeadraceError: the settings are wrong, the lake is not there, or cannot be reached.
    """
    settings, file = current_settings()
    key = settings.model_dump_json()
    with _views_lock:
        if key not in _views:
            _views.clear()  # other settings: the file was edited
            _views[key] = LakeView(settings, file)
        view = _views[key]
    try:
        view.version()
    except HeadraceError:
        _views.pop(key, None)  # opened anew next time
        raise
    return view


def _open(settings: Settings) -> Lake:
    root = settings.lake.root
    if not root.startswith("s3://") and not settings.lake.catalog:
        folder = (Path(settings.base) / root).resolve()
        if not (folder / "catalog.db").exists():
            raise InputError(f"there is no lake at {folder} yet", "run 'headrace poc', or trigger ingest_text; this page then shows it")
    return Lake.open(settings)


def newest(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """(source, interval) → stage → counts of its newest receipt, the stage that was committed last at the end; slices in order.

    Args:
        rows: in the order of their commits.
    """
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        stages = found.setdefault((row["source"], row["slice"]), {})
        stages.pop(row["stage"], None)
        stages[row["stage"]] = row
    return dict(sorted(found.items()))
