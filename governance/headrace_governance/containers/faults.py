"""Whose failure an exception is: that of the one address, answer or page that was being looked at, or ours.

A loop over foreign things catches every exception of one of them and goes on with the next. What must end the loop is only what concerns
all of them: errors with a way out for the user (`HeadraceError`) and of our own databases.
"""

from __future__ import annotations

import sqlite3

from headrace_lake.errors import HeadraceError


def is_ours(exc: BaseException) -> bool:
    """Whether it concerns the whole crawl or import, and not what was being looked at."""
    if not isinstance(exc, Exception) or isinstance(exc, HeadraceError | sqlite3.Error):
        return True
    return any(kind.__module__.startswith("sqlalchemy.") for kind in type(exc).__mro__)


def told(exc: BaseException) -> str:
    """Type and words of an exception, for the table that names the reason."""
    return f"{type(exc).__name__}: {exc}"[:300]
