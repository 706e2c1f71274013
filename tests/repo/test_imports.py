"""Importing our packages loads nothing heavy and leaves no trace: command lines answer fast, DAGs parse in milliseconds."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from patience import PATIENCE_S

HEAVY = ("torch", "ray", "megatron", "airflow")

PROBE = """
import importlib, os, pkgutil, sys, threading
heavy, names, walk = sys.argv[1].split(","), sys.argv[2].split(","), sys.argv[3] == "all"
for name in names:
    module = importlib.import_module(name)
    if name == "headrace_cli.main":
        module.build()
    if walk and hasattr(module, "__path__"):
        for info in pkgutil.walk_packages(module.__path__, name + "."):
            if not info.name.rsplit(".", 1)[-1].startswith("__"):
                importlib.import_module(info.name)
print("loaded:", sorted(set(heavy) & set(sys.modules)))
print("files:", os.listdir("."))
print("threads:", [t.name for t in threading.enumerate() if t is not threading.main_thread()])
"""

CLEAN = ["loaded: []", "files: []", "threads: []"]


def _probe(folder: Path, names: str, *, walk: bool, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, ",".join(heavy), names, "all" if walk else "top"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("package", ["headrace_lake", "headrace_governance"])
def test_every_module_of_the_data_side_imports_without_torch_ray_or_airflow(package: str, tmp_path: Path) -> None:
    assert _probe(tmp_path, package, walk=True) == CLEAN


@pytest.mark.parametrize("package", ["headrace_tokenizers", "headrace_jobs", "headrace_jobs.trainer.run"])
def test_the_training_side_imports_without_torch(package: str, tmp_path: Path) -> None:
    assert _probe(tmp_path, package, walk=False) == CLEAN


def test_the_command_line_with_all_its_commands_loads_nothing_heavy(tmp_path: Path) -> None:
    assert _probe(tmp_path, "headrace_cli.main", walk=False) == CLEAN


def test_no_module_of_the_operators_loads_torch_ray_or_megatron(tmp_path: Path) -> None:
    assert _probe(tmp_path, "headrace_operators", walk=True, heavy=("torch", "ray", "megatron"))[0] == "loaded: []"


def test_every_third_party_import_is_a_declared_dependency(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    groups = (project["project"]["dependencies"], *project["project"]["optional-dependencies"].values())
    declared = {canonicalize_name(Requirement(r).name) for group in groups for r in group}
    installed = packages_distributions()
    missing: dict[str, str] = {}
    for folder in (*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], "dags", "tests"):
        for file in sorted((checkout / folder).rglob("*.py")):
            for name in _third_party(file):
                owners = {canonicalize_name(d) for d in installed.get(name, [])}
                # Namespace packages (airflow) belong to many distributions; one declared owner is enough.
                if not owners & declared:
                    missing.setdefault(name, str(file.relative_to(checkout)))
    assert [f"{name} ({file})" for name, file in missing.items()] == []


def _third_party(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            local = any((folder / f"{top}.py").exists() for folder in list(file.parents)[:4])
            if top not in sys.stdlib_module_names and not re.match(r"headrace_", top) and not local:
                yield top
