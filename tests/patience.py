"""How long a test waits for what must come: a limit against waiting for ever, never a measure of speed.

A slow machine with other work on it takes several times as long as a fast, quiet one; what fails there must be what is tested.
"""

from __future__ import annotations

PATIENCE_S = 300.0
PATIENCE_MS = 1000 * PATIENCE_S
"""The same for the browser's waits."""
