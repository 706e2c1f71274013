"""The Headrace page inside the Airflow UI."""

from headrace_operators.plugin.plugin import HeadracePlugin

__all__ = ["HeadracePlugin"]
