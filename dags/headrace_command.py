"""DAG `headrace_command`: run any `headrace` command on the cluster from the UI."""

from airflow.sdk import DAG, Param

from headrace_operators.operator import HeadraceOperator

with DAG(
    dag_id="headrace_command",
    schedule=None,
    render_template_as_native_obj=True,
    params={"argv": Param(["doctor"], type="array", items={"type": "string"}, description="words after `headrace`")},
    tags=["headrace"],
    doc_md=__doc__,
):
    HeadraceOperator(task_id="command", argv=["{{ params.argv }}"])
