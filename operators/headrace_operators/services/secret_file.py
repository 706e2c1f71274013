"""Secret files: written once, readable by their owner only."""

from __future__ import annotations

import os
from pathlib import Path


def write_once(file: Path, secret: str) -> None:
    """Create the file; one that is there stays as it is."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(secret)
