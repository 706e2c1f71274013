"""Completion of names in a shell: slices, sources, tables, recipes, pipelines, gates, stages and artifacts.

A key is pressed, so nothing heavy is imported and nothing is created: names come from folders and files. A lake in an object store is not
asked. What cannot be read completes to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from headrace_lake.settings_file import SERVICES_FOLDER, settings_file_of

SLICES_HELP = "SOURCE/INTERVAL, one or more; patterns in quotes, such as 'gimp-*/..' or '*/2026-11-01'; @text/INTERVAL: all text sources."
_RECIPES = Path("megatron_jobs/configs/recipes")


def _names(find: Callable[[Path, dict[str, Any]], Iterable[str]]) -> Callable[[str], list[str]]:
    """A completion function: what `find` gives for the settings of this folder, and begins as was typed."""

    @wraps(find)
    def complete(incomplete: str) -> list[str]:
        with suppress(Exception):
            base, settings = _settings()
            return sorted({name for name in find(base, settings) if name.startswith(incomplete)})
        return []

    complete.__annotations__ = {"incomplete": str, "return": list}
    del complete.__wrapped__  # Typer looks at the signature
    return complete


def _settings() -> tuple[Path, dict[str, Any]]:
    """Base folder and raw content of the settings; unchecked, for a check takes half a second of imports."""
    file = settings_file_of(Path.cwd())
    if file is None or not file.is_file():
        return Path.cwd(), {}
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(file.read_text(encoding="utf-8"), Loader=loader) or {}  # noqa: S506 - a safe loader
    return (file.resolve().parent / str(content.get("base", "."))).resolve(), content


def _stems(base: Path, folder: str | Path) -> list[str]:
    return [f.stem for f in (base / folder).glob("*.yaml")]


def _tables(base: Path, settings: dict[str, Any]) -> Path:
    """The folder of a local lake that holds a folder for each table with rows (`shards.py`)."""
    return base / str((settings.get("lake") or {}).get("root", SERVICES_FOLDER / "lake")) / "data"


@_names
def sources(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    """Sources that are declared."""
    return _stems(base, settings.get("sources", "governance/sources"))


@_names
def pipelines(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    """Pipelines."""
    return _stems(base, settings.get("pipelines", "governance/pipelines"))


@_names
def gates(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    """Gates of the policies."""
    return _stems(base, Path(settings.get("policies", "governance/policies")) / "gates")


@_names
def recipes(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    """Recipes."""
    return _stems(base, _RECIPES)


@_names
def slices(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    """Slices in the lake, and declared sources up to the `/`."""
    yield from _slices(base, settings)
    yield from (f"{name}/" for name in _stems(base, settings.get("sources", "governance/sources")))


@_names
def slices_and_sources(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    """Slices in the lake, and their sources."""
    for name in _slices(base, settings):
        yield name
        yield name.partition("/")[0]


def _slices(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    for folder in _tables(base, settings).glob("captures/*/*"):
        yield f"{folder.parent.name}/{folder.name}"


@_names
def tables(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    """Tables: those that the lake has folders of, or all that are declared."""
    there = [f.name for f in _tables(base, settings).glob("*")]
    if there:
        return there
    from headrace_lake.tables import TABLES

    return TABLES


@_names
def stages(base: Path, settings: dict[str, Any]) -> Iterable[str]:
    """Stages of the pipelines; their modules are read, not imported."""
    import importlib.util
    import re

    for file in (base / settings.get("pipelines", "governance/pipelines")).glob("*.yaml"):
        written = file.read_text(encoding="utf-8").partition("\nguards:")[0]
        for module, cls in re.findall(r"- use:\s*([\w.]+):(\w+)", written):
            package, _, rest = module.partition(".")
            spec = importlib.util.find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                continue
            code = Path(spec.submodule_search_locations[0], *rest.split(".")).with_suffix(".py")
            found = re.search(rf'class {cls}\(.*?\n    name\b[^=\n]*= "(\w+)"', code.read_text(encoding="utf-8"), re.DOTALL)
            if found:
                yield found[1]


def artifacts(*kinds: str) -> Callable[[str], list[str]]:
    """Fingerprints of artifacts of kinds; a second of imports, for they lie in a table."""

    def find(base: Path, settings: dict[str, Any]) -> Iterable[str]:
        if not _tables(base, settings).is_dir():
            return
        import pyarrow.parquet as pq

        for file in _tables(base, settings).glob("artifacts/**/*.parquet"):
            for row in pq.read_table(file, columns=["kind", "fingerprint"]).to_pylist():
                if row["kind"] in kinds:
                    yield row["fingerprint"][:16]

    return _names(find)


def releases(incomplete: str) -> list[str]:
    """Recipes, which stand for their newest release, and folders."""
    return recipes(incomplete)


evidence = artifacts("gate-evidence")
