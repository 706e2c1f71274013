"""### poc: the whole line on one machine

From the sample sites to a released tiny checkpoint. `headrace poc` starts the services, triggers this and follows it.
What it runs is written in `governance/policies/poc.yaml`; every command adopts what the lake holds already.

Nobody is asked: its recipe names an automatic gate (`release_gate: poc`), which signs when every rule holds and says so.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from headrace_operators.assets import CHECKPOINT, RELEASE, TEXT_TOKENS
from headrace_operators.gate import GateOperator
from headrace_operators.operator import HeadraceOperator
from headrace_operators.poc.plan import load_poc_plan
from headrace_operators.templates import TRIGGERED_BY, stage_executor

PLAN = load_poc_plan()
DOCS = {
    "tokens": "Judge documents against those of all slices (duplicates, evaluation sets), select, tokenise: `headrace slice run`.",
    "crawl": "Fetch the pages of a share of the sources into WARC files: `headrace crawl`.",
    "clean": "Extract text and judge each document by itself: `headrace slice run --slice-local`.",
    "mix": "Choose the recipe's documents from the lake: `headrace mix compile`.",
    "train": "Train the tiny model: `headrace train`.",
    "evaluate": "Bits per byte on held-out documents: `headrace eval run`.",
    "judge": "Judge the rules of the gate that the recipe names: `headrace gate evaluate`.",
    "gate": "Record the decision. This gate's policy is automatic: it signs a Go by itself, and says so.",
    "release": "Build the bundle: `headrace release build`.",
    "verify": "Check the bundle without a network: `headrace release verify`.",
}

with DAG(
    dag_id="poc",
    description="From the sample sites to a released tiny checkpoint, in one run without a human",
    schedule=None,
    start_date=datetime(2026, 11, 1),
    max_active_runs=1,
    default_args={"owner": "headrace", "retries": 1, "retry_delay": timedelta(seconds=5)},
    params={
        "base_url": Param(
            None,
            type=["null", "string"],
            pattern="^https?://",
            description="Where the sample site is served: as the settings or the sources say.",
        )
    },
    tags=["headrace", "text"],
    doc_md=__doc__,
) as dag:
    base_url = "{{ '--base-url=' ~ params.base_url if params.base_url }}"
    run = ["slice", "run", "text", "--executor", stage_executor()]
    tokens = HeadraceOperator(task_id="tokens", argv=[*run, *PLAN.slices], outlets=[TEXT_TOKENS])
    for number in range(PLAN.groups):
        group = PLAN.group(number)
        crawl = HeadraceOperator(task_id=f"crawl_{number + 1}", argv=["crawl", *group, base_url])
        clean = HeadraceOperator(task_id=f"clean_{number + 1}", argv=[*run, *group, "--slice-local"])
        crawl >> clean >> tokens
    mix = HeadraceOperator(task_id="mix", argv=["mix", "compile", PLAN.recipe], makes="mix", recipe=PLAN.recipe)
    trains = ["train", PLAN.recipe]
    train = HeadraceOperator(task_id="train", argv=trains, makes="run", recipe=PLAN.recipe, cpus=1, all_cores=True, outlets=[CHECKPOINT])
    evaluates = ["eval", "run", PLAN.recipe]
    evaluate = HeadraceOperator(task_id="evaluate", argv=evaluates, makes="evaluation", recipe=PLAN.recipe, cpus=1, all_cores=True)
    judges = ["gate", "evaluate", PLAN.gate, "--recipe", PLAN.recipe, "--for-release", TRIGGERED_BY]
    judge = HeadraceOperator(task_id="judge", argv=judges, makes="gate-evidence", recipe=PLAN.recipe)
    gate = GateOperator(task_id="gate", recipe=PLAN.recipe, gate=PLAN.gate, retries=0)
    release = HeadraceOperator(task_id="release", argv=["release", "build", PLAN.recipe], makes="release", recipe=PLAN.recipe)
    verify = HeadraceOperator(task_id="verify", argv=["release", "verify", PLAN.recipe], outlets=[RELEASE])
    for task in dag.tasks:
        task.doc_md = DOCS[task.task_id.rstrip("_0123456789")]
    tokens >> mix >> train >> evaluate >> judge >> gate >> release >> verify
