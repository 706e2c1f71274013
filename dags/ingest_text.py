"""### ingest_text: sources → tokens, one slice per source and day

Runs each day for every text source, or by hand for one: *Trigger*, choose a source, leave *slice* empty to take the
run's own day. Backfill from the same dialog: each day becomes its own slice and replaces nothing else.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from headrace_operators.assets import TEXT_TOKENS
from headrace_operators.operator import HeadraceOperator
from headrace_operators.templates import ALL, known_sources, slices_of

SLICES = {"each": "{{ slices_of(params, dag_run) | tojson }}"}

with DAG(
    dag_id="ingest_text",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=2,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=20)},
    params={
        "source": Param(ALL, type="string", enum=[ALL, *known_sources("text")], description="one source, or all"),
        "slice": Param(None, type=["null", "string"], pattern="^[0-9A-Za-z][0-9A-Za-z_-]*$", description="empty: the run's data interval"),
        "executor": Param("ray", type="string", enum=["ray", "local"], description="where the stages run"),
        "base_url": Param(None, type=["null", "string"], pattern="^https?://", description="a mirror to fetch from"),
    },
    user_defined_macros={"slices_of": slices_of},
    tags=["headrace", "text"],
    doc_md=__doc__,
):
    run = ["slice", "run", "text", SLICES, "--executor", "{{ params.executor }}"]
    crawl = HeadraceOperator(
        task_id="crawl",
        argv=["crawl", SLICES, "{{ '--base-url=' ~ params.base_url if params.base_url }}"],
        slice_text="{{ slices_of(params, dag_run) | join(' ') }}",
    )
    clean = HeadraceOperator(task_id="clean", argv=[*run, "--slice-local"])
    tokens = HeadraceOperator(task_id="tokens", argv=run, outlets=[TEXT_TOKENS])
    crawl >> clean >> tokens
