"""### release: gate, bundle, verify

The gate's rules are judged first, then a human signs in *Required Actions*: not the one who triggered the run, unless the gate's policy
says so. Reject fails the run.

The form offers only policies that open a release and that a human signs, and *the recipe's own*: the gate that the recipe named when
its mix was compiled. If that one is automatic, the form says so, the log of `judge` and `gate` says so, and so does the bundle. Another
gate than the recipe's own may only be stricter. The bundle is built only on a decision about this very checkpoint that has not expired,
under the policy as its file is now.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from headrace_operators.assets import EVALUATION, RELEASE
from headrace_operators.gate import GateOperator
from headrace_operators.operator import HeadraceOperator
from headrace_operators.templates import DEFAULT_GATE, TRIGGERED_BY, known_configs, release_choices

RECIPES = sorted({"tiny", *known_configs("megatron_jobs", "configs", "recipes")})
GATES = release_choices(RECIPES)

with DAG(
    dag_id="release",
    description="Judge the newest checkpoint of a recipe, wait for a human's Go, build and verify its bundle",
    schedule=None,
    start_date=datetime(2026, 11, 1),
    default_args={"owner": "release", "retries": 1, "retry_delay": timedelta(seconds=30)},
    params={
        "recipe": Param("tiny", type="string", enum=RECIPES, description="Whose newest checkpoint is released."),
        "gate": Param(
            DEFAULT_GATE if DEFAULT_GATE in GATES else next(iter(GATES)),
            type="string",
            enum=list(GATES),
            values_display=GATES,
            description_md="Which policy decides (`governance/policies/gates`):\n" + "\n".join(f"- {words}" for words in GATES.values()),
        ),
    },
    tags=["headrace", "release"],
    doc_md=__doc__,
):
    chosen = "{{ params.gate if params.gate != 'own' }}"
    judge = HeadraceOperator(
        task_id="judge",
        argv=["gate", "evaluate", chosen, "--recipe", "{{ params.recipe }}", "--for-release", TRIGGERED_BY],
        makes="gate-evidence",
        recipe="{{ params.recipe }}",
        inlets=[EVALUATION],
        doc_md="Judge the gate's rules on the newest checkpoint, record the evidence: `headrace gate evaluate`.",
    )
    gate = GateOperator(
        task_id="gate",
        recipe="{{ params.recipe }}",
        gate="{{ params.gate }}",
        response_timeout=timedelta(days=7),
        retries=0,
        doc_md="Wait for a signature, then record the decision in the lake. Answer it under *Required Actions*.",
    )
    build = HeadraceOperator(
        task_id="build",
        argv=["release", "build", "{{ params.recipe }}", "{{ '--gate=' ~ params.gate if params.gate != 'own' }}"],
        makes="release",
        recipe="{{ params.recipe }}",
        doc_md="Build the bundle; refuses without a valid decision of the gate: `headrace release build`.",
    )
    verify = HeadraceOperator(
        task_id="verify",
        argv=["release", "verify", "{{ params.recipe }}"],
        outlets=[RELEASE],
        doc_md="Check digests, licences, weights and the recorded sample without a network: `headrace release verify`.",
    )
    judge >> gate >> build >> verify
