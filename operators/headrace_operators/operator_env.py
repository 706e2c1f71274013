"""The name by which Airflow's processes and remote commands find their settings file."""

SETTINGS_ENV = "HEADRACE_SETTINGS"
"""Environment variable: path of the `headrace.yaml` to use."""
