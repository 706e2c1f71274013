"""Addresses of the pages, as their links name them; every part that comes from data is quoted."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from headrace_lake.receipts import Receipt
from headrace_lake.slices import Slice


@dataclass(frozen=True)
class Links:
    """Addresses below `root`, the path where the pages are served."""

    root: str = ""

    @property
    def overview(self) -> str:
        """The first page."""
        return f"{self.root}/lake"

    @property
    def ledger(self) -> str:
        """The ledger."""
        return f"{self.root}/ledger"

    @property
    def training(self) -> str:
        """All training runs."""
        return f"{self.root}/training"

    @property
    def stale(self) -> str:
        """What is out of date."""
        return f"{self.root}/stale"

    def docs(self, name: str = "index.html") -> str:
        """A page of the data docs."""
        return f"{self.root}/docs/{quote(name)}"

    def run(self, fingerprint: str) -> str:
        """One training run."""
        return f"{self.root}/training/{quote(fingerprint, safe='')}"

    def slices(self, **query: str | int) -> str:
        """The list of slices; `q` holds words that they must match."""
        return f"{self.root}/slices{_query(query)}"

    def slice_(self, slice_: Slice, **query: str | int) -> str:
        """One slice."""
        return f"{self.root}/slices/{quote(slice_.source, safe='')}/{quote(slice_.interval, safe='')}{_query(query)}"

    def receipt(self, receipt: Receipt) -> str:
        """One receipt."""
        return self.receipt_of(receipt.slice_, receipt.stage, receipt.run_id)

    def receipt_of(self, slice_: Slice, stage: str, run_id: str = "") -> str:
        """The receipt of a stage: of one run, or the one that is visible now."""
        return f"{self.slice_(slice_)}/receipts/{quote(stage, safe='')}{_query({'run': run_id})}"

    def drops(self, slice_: Slice, stage: str = "", reason: str = "", page: int = 1) -> str:
        """What a rule dropped of a slice."""
        return f"{self.slice_(slice_)}/drops{_query({'stage': stage, 'reason': reason, 'page': page if page > 1 else ''})}"

    def document(self, uid: str, slice_: Slice, **query: str | int) -> str:
        """One document."""
        return f"{self.slice_(slice_)}/documents/{quote(uid, safe='')}{_query(query)}"

    def lineage(self, uid: str, slice_: Slice) -> str:
        """What a document went into."""
        return f"{self.document(uid, slice_)}/lineage"


def _query(values: dict[str, str | int]) -> str:
    given = {name: value for name, value in values.items() if value not in ("", None)}
    return f"?{urlencode(given)}" if given else ""
