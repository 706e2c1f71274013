"""Where objects lie: immutable files that are not shards, each under its own digest."""

from __future__ import annotations


def object_path(kind: str, digest: str, suffix: str) -> str:
    """The place of an object, relative to the lake's root."""
    return f"objects/{kind}/{digest[:2]}/{digest}{suffix}"
