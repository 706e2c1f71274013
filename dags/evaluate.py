"""### evaluate: bits per byte of the newest checkpoint, by language

Runs on every new checkpoint and once a week. What was evaluated before with the same data and code is adopted.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Param

from headrace_operators.assets import CHECKPOINT, EVALUATION
from headrace_operators.operator import HeadraceOperator
from headrace_operators.templates import known_configs

RECIPES = sorted({"tiny", *known_configs("megatron_jobs", "configs", "recipes")})

with DAG(
    dag_id="evaluate",
    description="Bits per byte of the newest checkpoint on held-out documents, by language",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 5 * * 1", timezone="UTC"), assets=[CHECKPOINT]),
    start_date=datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "evaluation", "retries": 2, "retry_delay": timedelta(seconds=30)},
    params={"recipe": Param("tiny", type="string", enum=RECIPES, description="Whose newest checkpoint is scored.")},
    tags=["headrace", "evaluation"],
    doc_md=__doc__,
):
    HeadraceOperator(
        task_id="evaluate",
        argv=["eval", "run", "{{ params.recipe }}"],
        cpus=1,
        all_cores=True,
        makes="evaluation",
        recipe="{{ params.recipe }}",
        outlets=[EVALUATION],
        doc_md="Score held-out documents, with intervals and a unigram model to compare with: `headrace eval run`.",
    )
