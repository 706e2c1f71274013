"""### release: gate, bundle, verify

The rules are judged first, then a human signs in *Required Actions*: not the one who triggered the run, unless the gate's policy
says so. Reject fails the run.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from headrace_operators.assets import EVALUATION, RELEASE
from headrace_operators.gate import GateOperator
from headrace_operators.operator import HeadraceOperator
from headrace_operators.templates import known_configs

RECIPES = sorted({"tiny", *known_configs("megatron_jobs", "configs", "recipes")})
GATES = sorted({"release", *known_configs("governance", "policies", "gates")})

with DAG(
    dag_id="release",
    schedule=None,
    start_date=datetime(2026, 11, 1),
    default_args={"retries": 1, "retry_delay": timedelta(seconds=30)},
    params={
        "recipe": Param("tiny", type="string", enum=RECIPES, description="whose newest checkpoint"),
        "gate": Param("release", type="string", enum=GATES, description="governance/policies/gates"),
    },
    tags=["headrace", "release"],
    doc_md=__doc__,
):
    judge = HeadraceOperator(
        task_id="judge", argv=["gate", "evaluate", "{{ params.gate }}", "--recipe", "{{ params.recipe }}"], inlets=[EVALUATION]
    )
    gate = GateOperator(task_id="gate", evidence_task_id="judge", response_timeout=timedelta(days=7), retries=0)
    build = HeadraceOperator(task_id="build", argv=["release", "build", "{{ params.recipe }}"])
    verify = HeadraceOperator(task_id="verify", argv=["release", "verify", "{{ params.recipe }}"], outlets=[RELEASE])
    judge >> gate >> build >> verify
