"""The plugin's pages. Thin for now: who asks is checked, then text is shown."""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

app = FastAPI(title="Headrace")


@app.get("/ledger", response_class=HTMLResponse)
def ledger(user: GetUserDep) -> str:
    """The ledger of the lake."""
    return f"<h1>Headrace</h1><p>signed in as {user.get_name()}</p>"
