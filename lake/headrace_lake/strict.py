"""Strict configuration: YAML read into pydantic models; unknown keys name the nearest right one.

Every configuration model of the project derives from `StrictModel` and is read by `load_yaml`, so a
user sees one form of message everywhere: file, field, what is wrong, the nearest known key.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from headrace_lake.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


class StrictModel(BaseModel):
    """A pydantic model that forbids unknown keys and is immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


try:
    from yaml import CSafeLoader as _SafeLoader  # libyaml: eight times faster, and an end to nesting instead of to the stack
except ImportError:  # PyYAML built without it
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]


class _Loader(_SafeLoader):
    """YAML 1.2's booleans: `no`, `on` and `y` are words, as languages and switches are named; only true and false are not."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != _BOOL] for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(text: str) -> Any:
    """The data of a YAML text: plain values only, no objects.

    Raises:
        yaml.YAMLError: not YAML.
    """
    try:
        loader = _Loader(text)
    except UnicodeEncodeError as exc:  # half a surrogate pair, which no file in UTF-8 holds but an argument may
        raise yaml.YAMLError(f"not Unicode: {exc.reason}") from exc
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_yaml_file(path: str | Path) -> Any:
    """The data of a YAML file; an empty one is None.

    Raises:
        ConfigError: the file is missing, is not text, or is not YAML; the message names file and line.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise ConfigError(f"{file}: no such file", "check the path") from exc
    except (UnicodeDecodeError, IsADirectoryError) as exc:
        raise ConfigError(f"{file}: not a UTF-8 text file", "save it as UTF-8 YAML") from exc
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror}", "make the file readable for you") from exc
    try:
        return read_yaml(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f":{mark.line + 1}" if mark is not None else ""
        problem = " ".join(str(getattr(exc, "problem", None) or exc).split())
        raise ConfigError(f"{file}{where}: not valid YAML: {problem}", "mend the syntax") from exc


def load_yaml(path: str | Path, model: type[M]) -> M:
    """Read one YAML file into `model`.

    Raises:
        ConfigError: the file is missing, is not YAML, or a field is wrong; the message names both.
    """
    data = read_yaml_file(path)
    return parse(data if data is not None else {}, model, where=str(Path(path)))


def parse(data: Any, model: type[M], *, where: str) -> M:
    """Validate already loaded data; `where` is named in every error."""
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        field = ".".join(str(p) for p in first["loc"]) or "(top level)"
        more = f" ({exc.error_count()} errors in all)" if exc.error_count() > 1 else ""
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, first["loc"][:-1])
            near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.4)
            way = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"
            raise ConfigError(f"{where}: unknown key '{field}'{more}", way) from exc
        if first["type"] == "union_tag_invalid":
            context = first["ctx"]
            known = re.findall(r"'([^']*)'", context["expected_tags"])
            near = difflib.get_close_matches(str(context["tag"]), known, n=1, cutoff=0.4)
            chosen = str(context["discriminator"]).strip("'")
            way = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"{where}: field '{field}': no {chosen} '{context['tag']}'{more}", way) from exc
        way = "correct the value"
        if first["type"] == "literal_error":
            known = re.findall(r"'([^']*)'", first["ctx"]["expected"])
            near = difflib.get_close_matches(str(first["input"]), known, n=1, cutoff=0.4)
            way = f"did you mean '{near[0]}'?" if near else way
        raise ConfigError(f"{where}: field '{field}': {first['msg']}{more}", way) from exc


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names valid at `path` inside `model` (walks optionals, lists, dicts and unions)."""
    current: list[type[BaseModel]] = [model]
    for step in path:
        following: list[type[BaseModel]] = []
        for m in current:
            info = m.model_fields.get(str(step))
            if info is not None:
                following += _models_in(info.annotation)
        # Union tags and list positions appear in pydantic's path but are not fields: stay where we are.
        current = following or current
    return [name for m in current for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in get_args(annotation) for m in _models_in(arg)]
