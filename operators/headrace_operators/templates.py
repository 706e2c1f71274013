"""What DAG files use at parse time and in their templates. Cheap: it lists and reads small YAML files, imports nothing heavy."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from headrace_jobs.gates.policy import OWN, load_policy, release_gates
from headrace_jobs.mix.recipe import DEFAULT_GATE, RECIPES
from headrace_lake.errors import ConfigError, HeadraceError
from headrace_lake.slices import Slice
from headrace_lake.terminal.choosing import group
from headrace_operators.operator_env import current_settings

ALL = "all"
"""Stands for every source of a modality."""
SCHEDULED = "scheduled"
"""Stands for the sources whose YAML says `schedule: daily`."""
_DAILY = re.compile(r"^schedule:\s*['\"]?daily\b", re.MULTILINE)


def known_sources(modality: str) -> list[str]:
    """Ids of the sources of one modality, sorted; an id is its file's name."""
    return sorted(_texts_of_sources(modality))


def scheduled_sources(modality: str) -> list[str]:
    """Ids of the sources that say `schedule: daily`, sorted."""
    return sorted(name for name, text in _texts_of_sources(modality).items() if _DAILY.search(text))


def _texts_of_sources(modality: str) -> dict[str, str]:
    settings, _ = current_settings()
    folder = settings.resolve(settings.sources)
    wanted = re.compile(rf"^modality:\s*['\"]?{re.escape(modality)}\b", re.MULTILINE)
    texts = {file.stem: file.read_text(encoding="utf-8") for file in folder.glob("*.yaml")}
    return {name: text for name, text in texts.items() if wanted.search(text)}


def source_choices(modality: str) -> dict[str, str]:
    """What the form of an ingesting DAG offers for `source`: value → words."""
    known, daily = known_sources(modality), scheduled_sources(modality)
    shown = ", ".join(daily) if len(daily) <= 3 else f"{len(daily)} sources"
    return {
        SCHEDULED: f"scheduled: sources with 'schedule: daily' (now: {shown or 'none'})",
        ALL: f"all {len(known)} sources",
        **{name: name for name in known},
    }


def release_choices(recipes: list[str]) -> dict[str, str]:
    """What the form of a release offers for `gate`: the policies that a person signs, and the recipe's own. Value → words."""
    settings, _ = current_settings()
    offered = {name: f"{name}: {policy.who_signs()}" for name, policy in release_gates(settings).items()}
    return offered | {OWN: f"the recipe's own: {'; '.join(own_gates(recipes))}"}


def own_gates(recipes: list[str]) -> list[str]:
    """Of each recipe, the gate that it names and whether a human is asked."""
    settings, _ = current_settings()
    said = []
    for recipe in recipes:
        file = settings.base / RECIPES / f"{recipe}.yaml"
        named = _GATE.search(file.read_text(encoding="utf-8")) if file.is_file() else None
        gate = named.group(1) if named else DEFAULT_GATE
        policy = load_policy(settings, gate)
        said.append(f"{recipe} → {gate}{' (AUTOMATIC, no human is asked)' if policy.automatic else ''}")
    return said


_GATE = re.compile(r"^release_gate:\s*['\"]?([a-z0-9_-]+)", re.MULTILINE)
TRIGGERED_BY = "{{ '--triggered-by=' ~ dag_run.triggering_user_name if dag_run.triggering_user_name }}"
"""Who triggered the run, for `gate evaluate`: kept with the evidence, so that it cannot be left out later."""


def stage_executor() -> str:
    """Where stages run by default, for `slice run --executor`: on Ray, where that is what runs the command; else within the command."""
    settings, _ = current_settings()
    return "ray" if settings.jobs.launcher == "ray" else "local"


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


def slice_words(params: Mapping[str, Any], dag_run: Any, modality: str = "text") -> list[str]:
    """The slices of a run as one word of a command line: `source/interval`, or a group of sources (`@text:daily/2026-11-01`).

    Raises:
        AirflowFailException: as `slices_of`.
    """
    source = str(params["source"])
    try:
        if source not in (ALL, SCHEDULED):
            return [str(each) for each in _slices(params, dag_run, modality)]
        return [f"{group(modality, daily=source == SCHEDULED)}/{_named('any', params, dag_run).interval}"]
    except HeadraceError as exc:
        raise AirflowFailException(str(exc)) from exc


def _slices(params: Mapping[str, Any], dag_run: Any, modality: str) -> list[Slice]:
    source = str(params["source"])
    sources = known_sources(modality) if source == ALL else scheduled_sources(modality) if source == SCHEDULED else [source]
    return [_named(name, params, dag_run) for name in sources]


def _named(source: str, params: Mapping[str, Any], dag_run: Any) -> Slice:
    """The slice of a source: the parameter's, or that of the run's data interval."""
    named = params.get("slice")
    if named:
        return Slice(source, str(named))
    start, end = getattr(dag_run, "data_interval_start", None), getattr(dag_run, "data_interval_end", None)
    if start is None or end is None or start == end:
        raise ConfigError("this run has no data interval and no slice was given", "set the parameter 'slice', such as 2026-11-01")
    return Slice.of_interval(source, start, end)


def slices_of_run(**context: Any) -> list[str]:
    """The slices of this run, for a task that goes before all others: none ends the run there, with the reason in its log."""
    found = slices_of(context["params"], context["dag_run"])
    log = logging.getLogger("airflow.task")
    if found:
        log.info("%d slices: %s", len(found), " ".join(found))
    else:
        log.warning("no source says 'schedule: daily' in its YAML, so this run has nothing to do; add that line, or choose a source")
    return found
