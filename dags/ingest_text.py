"""### ingest_text: sources → tokens, one slice per source and day

Once a day it takes the sources whose YAML says `schedule: daily`, and no other: where none says so, a run ends at its first task. So
unpausing this DAG starts nothing by itself. By hand: *Trigger*, choose a source; *slice* names the slice, or a *logical date* does
(3 November writes `SOURCE/2026-11-03`). Backfill from the same dialog: each day becomes its own slice and replaces nothing else.

| task | what it does |
|---|---|
| `slices` | decides which slices this run writes; its log names them |
| `crawl` | fetches the pages of each slice into WARC files |
| `clean` | extracts text and judges each document by itself |
| `tokens` | judges documents against those of other slices (duplicates), selects, tokenises |
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import DAG, Param

from headrace_operators.assets import TEXT_TOKENS
from headrace_operators.operator import HeadraceOperator
from headrace_operators.templates import SCHEDULED, slice_words, slices_of, slices_of_run, source_choices, stage_executor
from headrace_operators.timetable import DailySlices

SOURCES = source_choices("text")
# Worked out anew by each task from the run's parameters: what another task left in XCom could name other slices, or an option.
SLICES = {"each": "{{ slice_words(params, dag_run) | tojson }}"}

with DAG(
    dag_id="ingest_text",
    description="Crawl, extract, filter, deduplicate and tokenise text: one slice per source and day",
    schedule=DailySlices(),
    start_date=datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=2,
    default_args={"owner": "data", "retries": 2, "retry_delay": timedelta(seconds=20)},
    params={
        "source": Param(
            SCHEDULED,
            type="string",
            enum=list(SOURCES),
            values_display=SOURCES,
            description="One source, all, or those that ask to be taken each day.",
        ),
        "slice": Param(
            None,
            type=["null", "string"],
            pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,62}(?![\s\S])",
            description="Name of the slice, such as 2026-11-01. Empty: the day of the run's data interval (needs a logical date).",
        ),
        "executor": Param(
            stage_executor(), type="string", enum=["ray", "local"], description="Where stages run: Ray tasks, or one process."
        ),
        "base_url": Param(
            None,
            type=["null", "string"],
            pattern="^https?://",
            description="One of the mirrors that the source's file lists, instead of its site.",
        ),
    },
    tags=["headrace", "text"],
    user_defined_macros={"slice_words": slice_words, "slices_of": slices_of},
    doc_md=__doc__,
):
    run = ["slice", "run", "text", SLICES, "--executor", "{{ params.executor }}"]
    slices = ShortCircuitOperator(
        task_id="slices",
        python_callable=slices_of_run,
        doc_md="Which slices this run writes: of the chosen sources, for the chosen slice or the run's day. None: the run ends here.",
    )
    crawl = HeadraceOperator(
        task_id="crawl",
        argv=["crawl", SLICES, "{{ '--base-url=' ~ params.base_url if params.base_url }}"],
        slice_text="{{ slice_words(params, dag_run) | join(' ') }}",
        doc_md="Fetch pages politely (robots.txt, pauses) into WARC files: `headrace crawl`.",
    )
    clean = HeadraceOperator(
        task_id="clean",
        argv=[*run, "--slice-local"],
        doc_md="Extract text; judge each document by itself (language, quality rules, personal data): `headrace slice run --slice-local`.",
    )
    tokens = HeadraceOperator(
        task_id="tokens",
        argv=run,
        outlets=[TEXT_TOKENS],
        doc_md="Judge documents against other slices (duplicates, evaluation sets), select, tokenise: `headrace slice run`.",
    )
    slices >> crawl >> clean >> tokens
