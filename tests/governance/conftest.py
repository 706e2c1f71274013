"""Makes this folder's data sets importable for its tests."""

from __future__ import annotations

import sys
from pathlib import Path

# At the end: `conftest` must stay the one of tests/lake for the tests there.
sys.path.append(str(Path(__file__).parent))
