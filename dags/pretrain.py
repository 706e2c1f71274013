"""### pretrain: a recipe → a mix → a checkpoint

Started by hand: a training run is a decision. Compiles the recipe's mix over the tokens that the lake holds, then trains; a
killed or retried run resumes from its last checkpoint.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from headrace_operators.assets import CHECKPOINT, TEXT_TOKENS
from headrace_operators.operator import HeadraceOperator
from headrace_operators.templates import known_configs

RECIPES = sorted({"tiny", *known_configs("megatron_jobs", "configs", "recipes")})
MIX = "Choose the documents of the recipe from the lake as it is now, and tag that version: `headrace mix compile`."
TRAIN = "Train on the mix; ended and started again it goes on from its newest checkpoint: `headrace train`."

with DAG(
    dag_id="pretrain",
    description="Compile a recipe's mix over the lake's tokens, then train on it",
    schedule=None,
    start_date=datetime(2026, 11, 1),
    max_active_runs=1,
    default_args={"owner": "training", "retries": 2, "retry_delay": timedelta(seconds=30)},
    params={"recipe": Param("tiny", type="string", enum=RECIPES, description="What is trained: a file in megatron_jobs/configs/recipes.")},
    tags=["headrace", "training"],
    doc_md=__doc__,
):
    recipe = "{{ params.recipe }}"
    mix = HeadraceOperator(task_id="mix", argv=["mix", "compile", recipe], makes="mix", recipe=recipe, inlets=[TEXT_TOKENS], doc_md=MIX)
    train = HeadraceOperator(
        task_id="train",
        argv=["train", recipe],
        makes="run",
        recipe=recipe,
        cpus=1,
        all_cores=True,
        outlets=[CHECKPOINT],
        doc_md=TRAIN,
    )
    mix >> train
