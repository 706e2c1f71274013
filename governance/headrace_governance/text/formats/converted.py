"""What a conversion gives back, and the one error it may raise."""

from __future__ import annotations

from dataclasses import dataclass, field


class Malformed(ValueError):
    """The document is not of the format that it says it is."""


@dataclass
class Converted:
    """Text of a document, with what its format says beside it.

    Attributes:
        fields: further facts in the format's own words (author, date, score ...), for `document_fields`.
    """

    text: str
    title: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
