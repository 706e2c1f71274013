"""Which settings file counts in a folder; no heavy import, for the shell's completion asks too.

In the working folder or the nearest folder above it that has one: `headrace.yaml`, or `var/poc/headrace.yaml`, where `headrace poc` and
`headrace services up` leave theirs. HEADRACE_SETTINGS goes before both.
"""

from __future__ import annotations

import os
from pathlib import Path

SETTINGS_FILE = "headrace.yaml"
SERVICES_FOLDER = Path("var/poc")
"""Where the services of this machine keep their state, settings and lake, below the checkout."""
SETTINGS_ENV = "HEADRACE_SETTINGS"
"""Environment variable naming the settings file; Airflow's processes and their remote commands find theirs by it."""


def settings_file_of(here: Path) -> Path | None:
    """The settings file that counts in a folder; None where there is none."""
    if os.environ.get(SETTINGS_ENV):
        return Path(os.environ[SETTINGS_ENV])
    for folder in (here, *here.parents):
        for file in (folder / SETTINGS_FILE, folder / SERVICES_FOLDER / SETTINGS_FILE):
            if file.exists() or file.is_symlink():
                return file
    return None
