"""The same DAG files with Airflow's database and the lake's catalog on another PostgreSQL: only settings differ, and no password shows."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import servers
from patience import PATIENCE_S
from servers import Postgres, free_port

from headrace_lake.lake import Lake
from headrace_lake.slices import Slice
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.services import LocalServices

SOURCE = "python-topics"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A fresh server with the databases `airflow` and `lake`."""
    with servers.postgres("airflow", "lake") as server:
        yield server


@pytest.fixture(scope="module")
def on_postgres(stack: Any, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServices]:
    """A second Airflow, on Postgres, with a lake of its own; Ray and the site are those of the other."""
    folder = tmp_path_factory.mktemp("postgres")
    secret = folder / "catalog-password"
    secret.write_text(postgres.password, encoding="ascii")
    secret.chmod(0o600)
    settings = stack.services.settings
    sources = folder / "sources"
    sources.mkdir()
    shutil.copy(settings.resolve(settings.sources) / f"{SOURCE}.yaml", sources)
    services = LocalServices(
        folder / "services",
        stack.services.root,
        usual_ports=False,
        overrides={
            "sources": str(sources),
            "lake": {
                "root": str(folder / "lake"),
                "catalog": postgres.address("lake"),
                "catalog_password": {"file": str(secret)},
            },
            "ray": settings.ray.model_dump(mode="json"),
            "airflow": {
                "address": f"http://127.0.0.1:{free_port()}",
                "database": postgres.address("airflow"),
                "database_password": {"file": str(secret)},
            },
        },
        # One short-lived Airflow: a handful of connections instead of five a process.
        airflow={"AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "2"},
    )
    try:
        services.up(("airflow",))
        yield services
    finally:
        services.down(("airflow",))


def test_a_slice_is_ingested_with_everything_on_postgres_and_no_password_shows(on_postgres: LocalServices, postgres: Postgres) -> None:
    api = AirflowApi.of_passwords(on_postgres.airflow.address, on_postgres.airflow.passwords_file)
    api.wait_for_dag("ingest_text")
    api.unpause("ingest_text")  # its schedule then makes the slice of the day before
    deadline = time.monotonic() + PATIENCE_S
    while not (runs := api.runs("ingest_text")) or runs[0]["state"] not in ("success", "failed"):
        assert time.monotonic() < deadline, runs
        time.sleep(1)
    api.close()
    assert [(run["run_type"], run["state"]) for run in runs] == [("scheduled", "success")]
    lake = Lake.open(on_postgres.settings)
    receipts = lake.current_receipts(Slice(SOURCE, runs[0]["data_interval_start"][:10]))
    assert receipts["tokenise"].counts.kept > 0
    assert postgres.rows("airflow", "select count(*) from task_instance where state = 'success'")[0][0] >= 3
    assert not on_postgres.postgres.folder.exists(), "nobody has asked for the embedded one"

    passwords = json.loads(on_postgres.airflow.passwords_file.read_text(encoding="ascii")).values()
    secrets = [text.encode() for text in (postgres.password, *passwords)]
    keepers = {on_postgres.airflow.passwords_file.resolve()}
    files = [f for f in on_postgres.folder.rglob("*") if f.is_file() and f.resolve() not in keepers]
    assert [str(f) for f in files if any(secret in f.read_bytes() for secret in secrets)] == []
    tables = [
        name for (name,) in postgres.rows("airflow", "select table_name from information_schema.tables where table_schema = 'public'")
    ]
    shown = {name: json.dumps(postgres.rows("airflow", f'select * from "{name}"'), default=str) for name in tables}
    shown |= {name: json.dumps(lake.read(name).to_pylist(), default=str) for name in ("receipts", "artifacts")}
    assert {"xcom", "log", "rendered_task_instance_fields"} <= set(shown)
    assert [name for name, text in shown.items() if postgres.password in text] == []
