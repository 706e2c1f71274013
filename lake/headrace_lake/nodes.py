"""The node of a lineage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A receipt, an artifact or a step of a document in a lineage.

    Attributes:
        kind: `stage NAME` of a receipt, an artifact's kind, or `capture`, `document`, `dropped`, `quarantined`, `admitted`, `tokens`.
        name: the slice or the artifact's name.
        fingerprint: of the receipt or artifact; a document's uid.
        code: digest of the code behind a receipt.
    """

    kind: str
    name: str
    fingerprint: str
    detail: str = ""
    parents: tuple[str, ...] = ()
    code: str = ""
