"""The rank of documents, (interval, source, uid): of copies the one of the smallest rank stays.

A slice looks at itself and at slices of a smaller (interval, source) only, so no verdict on copies depends on the order in which
slices ran: a new slice never makes an older verdict stale, and a back-filled old one just those newer ones that share something with it.
"""

from __future__ import annotations

from headrace_lake.slices import Slice


def here(slice_: Slice) -> str:
    """The filter that reads a slice."""
    return f"slice = '{slice_.interval}' and source = '{slice_.source}'"


def earlier(slice_: Slice) -> str:
    """The filter that reads all slices of a smaller rank: interval first, then source."""
    return f"slice < '{slice_.interval}' or (slice = '{slice_.interval}' and source < '{slice_.source}')"
