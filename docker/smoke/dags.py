"""Airflow imports every DAG of the image, and says which it could not."""

from airflow.dag_processing.dagbag import DagBag

bag = DagBag("/opt/headrace/dags")
for file, error in bag.import_errors.items():
    print(file, error)
print("DAGs:", *sorted(bag.dags))
raise SystemExit(bool(bag.import_errors) or not bag.dags)
