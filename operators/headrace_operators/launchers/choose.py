"""Which launcher starts the jobs: the one that `jobs.launcher` in the settings names.

A new launcher is a file beside this one, its name in `headrace_lake.settings.LauncherName`, and a line here (docs/launchers.md).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from headrace_lake.errors import ConfigError
from headrace_lake.nearest import did_you_mean
from headrace_lake.settings import Settings
from headrace_operators.launchers.base import Launcher
from headrace_operators.launchers.job import Patience

LAUNCHERS = {
    "ray": "headrace_operators.launchers.ray:RayLauncher",
    "local": "headrace_operators.launchers.local:LocalLauncher",
}
"""Name → `module:Class`; a module is imported when its launcher is chosen."""


def launcher_of(
    settings: Settings, *, name: str = "", place: Mapping[str, str] | None = None, patience: Patience | None = None
) -> Launcher:
    """The launcher of these settings, with the ledger of their lake.

    Args:
        name: another one than the settings choose.
        place: where jobs of an earlier moment are reached (`Launcher.place`): it also names the launcher.
        patience: how long this caller waits for its server.

    Raises:
        ConfigError: no launcher has this name.
    """
    from headrace_lake.jobs.ledger import JobLedger  # SQLAlchemy: no DAG file needs it

    chosen = (place or {}).get("launcher") or name or settings.jobs.launcher
    if chosen not in LAUNCHERS:
        raise ConfigError(f"no launcher '{chosen}'", did_you_mean(chosen, LAUNCHERS, of="launchers"))
    module, _, attribute = LAUNCHERS[chosen].partition(":")
    found = cast(type[Launcher], getattr(importlib.import_module(module), attribute))
    return found.at(settings, place or {}, JobLedger.of(settings), patience or Patience())
