"""What DAG files use at parse time and in their templates. Cheap: it lists and greps small YAML files, imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from headrace_lake.errors import ConfigError, HeadraceError
from headrace_lake.slices import Slice
from headrace_operators.operator_env import current_settings

ALL = "all"
"""Stands for every source of a modality."""


def known_sources(modality: str) -> list[str]:
    """Ids of the sources of one modality, sorted; an id is its file's name."""
    settings, _ = current_settings()
    folder = settings.resolve(settings.sources)
    wanted = re.compile(rf"^modality:\s*['\"]?{re.escape(modality)}\b", re.MULTILINE)
    return sorted(file.stem for file in folder.glob("*.yaml") if wanted.search(file.read_text(encoding="utf-8")))


def known_configs(*parts: str) -> list[str]:
    """Names of the YAML files in a folder of the checkout, such as `megatron_jobs/configs/recipes`."""
    settings, _ = current_settings()
    return sorted(file.stem for file in settings.base.joinpath(*parts).glob("*.yaml"))


def slices_of(params: Mapping[str, Any], dag_run: Any, modality: str = "text") -> list[str]:
    """The slices of a run, `source/interval` each: the `slice` parameter, or else the run's own data interval.

    Raises:
        AirflowFailException: neither is there, or a name is not valid; a retry would change nothing.
    """
    try:
        return [str(each) for each in _slices(params, dag_run, modality)]
    except HeadraceError as exc:
        raise AirflowFailException(str(exc)) from exc


def _slices(params: Mapping[str, Any], dag_run: Any, modality: str) -> list[Slice]:
    source = str(params["source"])
    sources = known_sources(modality) if source == ALL else [source]
    named = params.get("slice")
    if named:
        return [Slice(name, str(named)) for name in sources]
    start, end = getattr(dag_run, "data_interval_start", None), getattr(dag_run, "data_interval_end", None)
    if start is None or end is None or start == end:
        raise ConfigError("this run has no data interval and no slice was given", "set the parameter 'slice', such as 2026-11-01")
    return [Slice.of_interval(name, start, end) for name in sources]
