"""All tables that governance declares; found through the entry point `headrace.tables` (pyproject.toml)."""

from __future__ import annotations

from headrace_governance.acquire.tables import TABLES as _CAPTURES
from headrace_governance.decontamination.tables import TABLES as _EVALUATION
from headrace_governance.text.tables import TABLES as _TEXT

TABLES = [*_CAPTURES, *_TEXT, *_EVALUATION]
