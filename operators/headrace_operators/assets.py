"""The assets that connect the DAGs: what one finishes wakes another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow.sdk import Asset

TEXT_TOKENS = Asset(name="text_tokens", uri="headrace://lake/tokens/text")
"""Token shards of at least one slice were committed."""
CHECKPOINT = Asset(name="checkpoint", uri="headrace://lake/checkpoint")
"""A training run has written a checkpoint."""
EVALUATION = Asset(name="evaluation", uri="headrace://lake/evaluation")
"""A checkpoint was evaluated."""
RELEASE = Asset(name="release", uri="headrace://lake/release")
"""A release bundle was built and verified."""

_LONGEST = 200
_LEFT_OUT = ("page",)
"""What only the machine that ran the command can open."""


def event_extra(result: Mapping[str, Any]) -> dict[str, Any]:
    """What an asset's event says of a command's result: its plain values, and those of the objects within it by `object.value`.

    Lists are left out (a run over slices tells each slice's stages): an event is for counts, the receipts hold the rest.
    """
    return dict(_plain(result, ""))


def _plain(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, str | int | float | bool]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and not before:
            yield from _plain(value, f"{name}.")
        elif name not in _LEFT_OUT and (isinstance(value, int | float) or (isinstance(value, str) and 0 < len(value) <= _LONGEST)):
            yield f"{before}{name}", value
