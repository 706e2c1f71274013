"""Start, adopt, watch and stop remote work; gates; local services; the Airflow UI plugin.

No torch, ray or megatron here: everything heavy runs as a `headrace` command line that a launcher starts elsewhere, so the
Airflow image stays small and a DAG file parses in milliseconds.
"""
