"""Launchers of remote jobs: one interface (plan, submit, describe, logs, cancel, adopt), one file for each thing that runs them.

`launcher_of(settings)` returns the one that the settings choose. Everything outside this folder uses what is listed here and never a
launcher's own module, except what serves that launcher alone (`services.ray_head`).
"""

from headrace_lake.jobs.owner import Owner
from headrace_operators.job_log import error_line, last_words, result_of
from headrace_operators.launchers.base import Launcher
from headrace_operators.launchers.choose import LAUNCHERS, launcher_of
from headrace_operators.launchers.job import Decision, Ensured, Job, LogPart, Patience, Status
from headrace_operators.launchers.spec import CONFIRM_WITHIN_S, HEADRACE, JobSpec, headrace_spec, settings_digest, typed_command

__all__ = [
    "CONFIRM_WITHIN_S", "HEADRACE", "LAUNCHERS",
    "Decision", "Ensured", "Job", "JobSpec", "Launcher", "LogPart", "Owner", "Patience", "Status",
    "error_line", "headrace_spec", "last_words", "launcher_of", "result_of", "settings_digest", "typed_command",
]  # fmt: skip
