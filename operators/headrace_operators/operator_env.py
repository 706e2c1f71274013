"""How Airflow's processes and remote commands find their settings file."""

from __future__ import annotations

import os
from pathlib import Path

from headrace_lake.settings import Settings, load_settings

SETTINGS_ENV = "HEADRACE_SETTINGS"
"""Environment variable: path of the `headrace.yaml` to use."""


def current_settings() -> tuple[Settings, str]:
    """Settings of this Airflow and the file they come from ('' for the defaults)."""
    path = os.environ.get(SETTINGS_ENV, "")
    return load_settings(path or None), str(Path(path).resolve()) if path else ""
