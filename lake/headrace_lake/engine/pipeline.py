"""Pipelines: the YAML that lists the stages of a slice with their parameters.

Adding a filter is one small file and one line here:

    name: text
    stages:
      - use: headrace_governance.text.extract:Extract
      - use: my_company.filters:NoLorem
        params: {max_share: 0.1}
        params_from: filters/no_lorem.yaml   # merged below `params`
    guards:                                  # checked after a run; see `headrace_lake.engine.guard`
      - use: headrace_governance.audit.drop_rate_guard:DropRateGuard
    validator:                               # optional: judges every table before it is committed
      use: headrace_governance.expectations.validator:SuiteValidator
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from headrace_lake.engine.guard import Guard
from headrace_lake.engine.validator import Validator
from headrace_lake.errors import ConfigError
from headrace_lake.nearest import did_you_mean
from headrace_lake.settings import Settings
from headrace_lake.stage import Stage
from headrace_lake.strict import StrictModel, load_yaml, parse, read_yaml
from headrace_lake.tables import TABLES, table_spec


class StageEntry(StrictModel):
    """One line of a pipeline.

    Attributes:
        use: `module:Class` of a `Stage` (of a `Guard` below `guards`).
        params: parameters, checked by the class's own model.
        params_from: a YAML file (relative to the pipeline's) whose mapping gives further parameters.
    """

    use: str
    params: dict[str, Any] = Field(default_factory=dict)
    params_from: Path | None = None


class ValidatorEntry(StrictModel):
    """Attributes: use: `module:Class` of a `Validator`; params: checked by its own model."""

    use: str
    params: dict[str, Any] = Field(default_factory=dict)


class PipelineFile(StrictModel):
    """A pipeline file as written."""

    name: str
    modality: str = "text"
    stages: tuple[StageEntry, ...] = Field(min_length=1)
    guards: tuple[StageEntry, ...] = ()
    validator: ValidatorEntry | None = None


class Pipeline:
    """A pipeline with its stages made: ready to be planned and run."""

    def __init__(
        self,
        name: str,
        stages: list[Stage],
        specs: list[tuple[str, dict[str, Any]]],
        guards: Sequence[Guard] = (),
        validator: Validator | None = None,
        reference: str = "",
    ) -> None:
        self.name = name
        self.reference = reference
        """What `load_pipeline` finds it by: its name, or its file's path if that lies elsewhere; empty without a file."""
        self.stages = stages
        self.guards = tuple(guards)
        self.specs = specs
        """(use, params) of each stage: what a worker in another process makes it from."""
        self.validator = validator

    @classmethod
    def of(cls, name: str, *stages: Stage, validator: Validator | None = None) -> Pipeline:
        """A pipeline of stage objects, without a file."""
        specs = [(f"{type(s).__module__}:{type(s).__qualname__}", s.params.model_dump(mode="json")) for s in stages]
        return cls(name, list(stages), specs, (), validator)

    def only(self, names: list[str]) -> Pipeline:
        """The same pipeline with some of its stages, in its own order.

        Raises:
            ConfigError: a name is not in the pipeline; names the nearest.
        """
        known = [s.name for s in self.stages]
        for n in names:
            if n not in known:
                raise ConfigError(f"pipeline {self.name} has no stage '{n}'", did_you_mean(n, known, of="its stages"))
        return self._chosen([i for i, s in enumerate(self.stages) if s.name in names])

    def layers(self) -> list[Pipeline]:
        """The stages in groups; before a group runs, all slices of a command must have passed the groups before it.

        A stage that looks beyond its slice (`looks_beyond`) reads of other slices what lies in tables of the kind that it reads
        of its own, so it comes one layer after the stages that write those. Every other stage is in the layer of what it reads.
        """
        layer_of = self._layer_of()
        return [self._chosen([i for i, at in enumerate(layer_of) if at == layer]) for layer in sorted(set(layer_of))]

    def slice_local(self) -> Pipeline:
        """The stages whose outcome depends on nothing but their own slice; they need not wait for any other slice."""
        return self._chosen([i for i, layer in enumerate(self._layer_of()) if layer == 0])

    def _layer_of(self) -> list[int]:
        written: dict[str, int] = {}
        layers = []
        for stage in self.stages:
            wanted = stage.inputs()
            layer = max((written.get(table, 0) for table in (wanted.primary, *wanted.sidecars)), default=0) + looks_beyond(stage)
            layers.append(layer)
            written |= dict.fromkeys((*stage.also, *([stage.output] if stage.output else [])), layer)
        return layers

    def _chosen(self, places: Sequence[int]) -> Pipeline:
        stages, specs = [self.stages[i] for i in places], [self.specs[i] for i in places]
        return Pipeline(self.name, stages, specs, self.guards, self.validator, self.reference)


def looks_beyond(stage: Stage) -> bool:
    """Does the stage depend on more than the tables of its own slice (on other slices, models, evaluation sets)?"""
    return type(stage).prepare is not Stage.prepare


def load_pipeline(settings: Settings, name: str | Path) -> Pipeline:
    """Read a pipeline by name (a file in the pipelines folder) or by path.

    Raises:
        ConfigError: file, field, stage class or parameter is wrong; names it.
    """
    file = Path(name)
    folder = settings.resolve(settings.pipelines)
    if file.suffix not in (".yaml", ".yml"):
        file = folder / f"{name}.yaml"
        if not file.exists():
            known = sorted(p.stem for p in folder.glob("*.yaml"))
            raise ConfigError(f"no pipeline '{name}' in {folder}", did_you_mean(str(name), known, of="pipelines"))
    written = load_yaml(file, PipelineFile)
    stages: list[Stage] = []
    specs: list[tuple[str, dict[str, Any]]] = []
    for i, entry in enumerate(written.stages):
        stages.append(make_stage(entry.use, _params(file, entry), where=_where(file, entry, f"stages.{i}")))
        specs.append((entry.use, stages[-1].params.model_dump(mode="json")))
    names = [s.name for s in stages]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise ConfigError(f"{file}: stage '{twice.pop()}' appears twice", "give each stage its own name")
    guards = [make_guard(e.use, _params(file, e), where=_where(file, e, f"guards.{i}")) for i, e in enumerate(written.guards)]
    validator = None if written.validator is None else _make_validator(settings, written.validator, where=f"{file}: validator")
    reference = file.stem if file.suffix == ".yaml" and file.resolve().parent == folder.resolve() else str(file.resolve())
    return Pipeline(written.name, stages, specs, guards, validator, reference)


def register_stage_tables(settings: Settings) -> list[str]:
    """Make the tables known that stages of the pipelines declare themselves (`Stage.tables`).

    Returns:
        For people: the pipelines that cannot be read, each with the reason; tables of their stages stay unknown.
    """
    unread = []
    for file in sorted(settings.resolve(settings.pipelines).glob("*.yaml")):
        try:
            load_pipeline(settings, file.stem)
        except ConfigError as exc:
            unread.append(f"pipeline '{file.stem}' cannot be read, so tables of its own stages are not known: {exc.what}")
    return unread


def make_stage(use: str, params: dict[str, Any], *, where: str) -> Stage:
    """Import `module:Class` and make the stage with checked parameters."""
    cls = _imported(use, "stage", where)
    if not (isinstance(cls, type) and issubclass(cls, Stage)):
        raise ConfigError(f"{where}: '{use}' is not a stage", "write module:Class of a subclass of headrace_lake.stage.Stage")
    try:
        TABLES.register(*cls.tables)
        for table in (*([cls.output] if cls.output else []), *cls.also):
            table_spec(table)
    except ConfigError as exc:
        raise ConfigError(f"{where}: stage '{use}': {exc.what}", exc.way_out) from exc
    return cls(parse(params, cls.Params, where=where))


def make_guard(use: str, params: dict[str, Any], *, where: str) -> Guard:
    """Import `module:Class` and make the guard with checked parameters."""
    cls = _imported(use, "guard", where)
    if not (isinstance(cls, type) and issubclass(cls, Guard)):
        raise ConfigError(f"{where}: '{use}' is not a guard", "write module:Class of a subclass of headrace_lake.engine.guard.Guard")
    return cls(parse(params, cls.Params, where=where))


def _make_validator(settings: Settings, entry: ValidatorEntry, *, where: str) -> Validator:
    cls = _imported(entry.use, "validator", where)
    if not (isinstance(cls, type) and issubclass(cls, Validator)):
        raise ConfigError(f"{where}: '{entry.use}' is not a validator", "write module:Class of a subclass of Validator")
    return cls(settings, parse(entry.params, cls.Params, where=where))


def _imported(use: str, kind: str, where: str) -> Any:
    module, sep, name = use.partition(":")
    try:
        return getattr(importlib.import_module(module), name) if sep else None
    except (ImportError, AttributeError, TypeError, ValueError) as exc:  # the last two: a relative or an empty name
        moved = " or ".join(f"'{place}'" for place in _classes_named(name, module.partition(".")[0]))
        way_out = f"did you mean {moved}?" if moved else f"write module:Class of an installed {kind}"
        raise ConfigError(f"{where}: {kind} '{use}' cannot be imported ({exc})", way_out) from exc


def _classes_named(name: str, package: str) -> list[str]:
    """`module:Class` of each class of this name in a package, by its source: where a class has moved to since a pipeline was written."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    found = []
    for place in (spec and spec.submodule_search_locations) or ():
        for file in sorted(Path(place).rglob("*.py")):
            if f"\nclass {name}(" in file.read_text(encoding="utf-8"):
                inner = file.relative_to(place).with_suffix("").parts
                found.append(".".join([package, *(part for part in inner if part != "__init__")]) + f":{name}")
    return found


def _where(file: Path, entry: StageEntry, place: str) -> str:
    return f"{(entry.params_from and file.parent / entry.params_from) or file}: {place} ({entry.use})"


def _params(file: Path, entry: StageEntry) -> dict[str, Any]:
    return {**_params_file(file, entry.params_from), **entry.params}


def _params_file(pipeline: Path, relative: Path | None) -> dict[str, Any]:
    if relative is None:
        return {}
    file = pipeline.parent / relative
    try:
        data = read_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{file}: no such file", f"{pipeline} names it in params_from") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"{file}: not valid YAML", "mend the syntax") from exc
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: not a mapping", "write parameter: value")
    return data
