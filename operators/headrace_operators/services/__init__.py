"""Local services: a Ray head, Airflow and the sample web site, on loopback, for one machine."""

from headrace_operators.services.local import LocalServices, ServiceState

__all__ = ["LocalServices", "ServiceState"]
