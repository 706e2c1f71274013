"""`headrace --version`: the version of the package, and the commit where it runs from a checkout."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

_GIT_SECONDS = 5.0


def version() -> str:
    """Such as `0.1.0 (commit 1a2b3c4d5e6f, modified)`."""
    try:
        number = metadata.version("headrace")
    except metadata.PackageNotFoundError:  # run from the sources alone
        number = "unknown"
    commit = _commit(Path(__file__).resolve().parents[2])
    return f"{number} ({commit})" if commit else number


def _commit(root: Path) -> str:
    """The commit that is checked out, and whether files were changed since; empty outside a checkout or without git."""
    if not (root / ".git").exists():
        return ""
    words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if done.returncode:
        return ""
    commit, _, dirty = done.stdout.strip().partition("-")
    return f"commit {commit}{', modified' if dirty else ''}"
