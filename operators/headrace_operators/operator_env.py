"""How Airflow's processes and remote commands find their settings file."""

from __future__ import annotations

import os
from pathlib import Path

from headrace_lake.settings import SETTINGS_ENV, Settings, load_settings

__all__ = ["SETTINGS_ENV", "current_settings"]


def current_settings() -> tuple[Settings, str]:
    """Settings of this Airflow and the file they come from ('' for the defaults)."""
    path = os.environ.get(SETTINGS_ENV, "")
    return load_settings(path or None), str(Path(path).resolve()) if path else ""
