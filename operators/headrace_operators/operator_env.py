"""How Airflow's processes and remote commands find their settings file, and others the job of a task."""

from __future__ import annotations

import os
from pathlib import Path

from headrace_lake.settings import SETTINGS_ENV, Settings, load_settings

__all__ = ["JOB_XCOM", "SETTINGS_ENV", "current_settings"]

JOB_XCOM = "job"
"""XCom key under which a task says which job it follows: launcher, submission id, decision, address."""


def current_settings() -> tuple[Settings, str]:
    """Settings of this Airflow and the file they come from ('' for the defaults)."""
    path = os.environ.get(SETTINGS_ENV, "")
    return load_settings(path or None), str(Path(path).resolve()) if path else ""
