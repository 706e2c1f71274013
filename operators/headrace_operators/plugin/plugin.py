"""Airflow plugin: a navigation page with the ledger and a tab on each run with its receipts.

Plugin routes are open unless they ask for a user: every route here depends on `GetUserDep`.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from headrace_operators.janitor import janitor_app
from headrace_operators.plugin.app import app
from headrace_operators.timetable import DailySlices


class HeadracePlugin(AirflowPlugin):
    """Registers the FastAPI application and its views."""

    name = "headrace"
    fastapi_apps: list[Any] = [  # noqa: RUF012 - as the base class declares it
        {"app": app, "url_prefix": "/headrace", "name": "Headrace"},
        {"app": janitor_app, "url_prefix": "/headrace-janitor", "name": "Headrace janitor"},
    ]
    timetables: list[Any] = [DailySlices]  # noqa: RUF012
    external_views: list[Any] = [  # noqa: RUF012
        {"name": "Headrace", "href": "/headrace/lake", "destination": "nav", "category": "browse", "url_route": "headrace"},
        {"name": "Receipts", "href": "/headrace/runs/{RUN_ID}?dag_id={DAG_ID}", "destination": "dag_run", "url_route": "headrace-receipts"},
    ]
