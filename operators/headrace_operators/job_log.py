"""What a remote command's log says: its result line, its error line, its last words."""

from __future__ import annotations

import json
from typing import Any

from headrace_lake.lines import RESULT_PREFIX, data_lines

_RAYS_MANAGER = "INFO job_manager.py:"
_RAYS_OWN = "Running entrypoint for job "
"""How the line begins that Ray puts before a command's own."""


def result_of(log: str) -> dict[str, Any]:
    """The JSON object of the last `HEADRACE_RESULT` line of a log, or an empty one. Only LF ends a line (JSON Lines)."""
    for line in reversed(data_lines(log)):
        if line.startswith(RESULT_PREFIX):
            try:
                value = json.loads(line[len(RESULT_PREFIX) :])
            except json.JSONDecodeError:
                return {}
            return value if isinstance(value, dict) else {}
    return {}


def error_line(log: str) -> str:
    """The one line of a failed command's log that says why: its last non-empty line."""
    lines = [line.strip() for line in data_lines(log) if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "headrace: "))]
    return (errors or lines or ["(the command printed nothing)"])[-1][:500]


def last_words(log: str, most: int = 160) -> str:
    """The last line of a running command's log that is for people."""
    lines = (
        line.strip() for line in reversed(data_lines(log)) if not line.startswith((RESULT_PREFIX, _RAYS_OWN)) and _RAYS_MANAGER not in line
    )
    return next((line for line in lines if line), "")[:most]
