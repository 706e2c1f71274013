"""`headrace doctor`: what this machine lacks and what in the settings is wrong, and how to get it right.

Services are not looked at but used: the object store by a conditional write, the catalog by a table that is rolled back, Ray with its
token, Airflow with its user (`probe_*.py`). All of it side by side, each within `ANSWER_SECONDS`. Nothing that it does stays: no download,
no service started, no lake made. Package versions come from their metadata; what needs torch is asked of a child process that has
`CHILD_SECONDS`.
Each finding is `ok`, `optional` (absent, needed only for what the line names) or `missing` (absent or wrong); any `missing` makes exit
code 2. What hangs on a setting names its key.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import orjson
import psutil
import typer
from packaging.requirements import InvalidRequirement, Requirement

from headrace_cli import probe_catalog, probe_services, probe_settings, probe_store
from headrace_cli.finding import Check, Probe, gather
from headrace_lake.lines import last_line
from headrace_lake.settings import Settings, load_settings
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, show_table

PYTHON = ((3, 11), (3, 13))
MIN_CPUS = 2
MIN_MEMORY_GB = 6.0
"""Ray head 0.5, Airflow 1, training 2, data work 2 (measured with `make poc`), in 10^9 bytes."""
MIN_OPEN_FILES = 1024
"""Soft limit; Ray and Airflow together hold some hundreds."""
LOCK = Path("requirements/lock.txt")
PACKAGES = {
    "pyarrow": ("all", "the lake"),
    "pyiceberg": ("all", "the lake"),
    "ray": ("data", "data work"),
    "datatrove": ("data", "text filters"),
    "spacy": ("data", "text filters (Gopher and C4 raise without it)"),
    "trafilatura": ("data", "text extraction"),
    "dashscope": ("data", "Qwen's vocabulary"),
    "apache-airflow": ("airflow", "scheduling"),
    "megatron-core": ("train", "training"),
    "transformers": ("train", "release bundles"),
}
"""Distribution → (role whose image holds it, who needs it). A laptop plays every role."""
CHILD_SECONDS = 30.0
"""Importing torch takes 2 to 10 seconds, the measurement 0.2."""
MODEL = "tiny"
"""The model of `make poc`, whose precision is looked at."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FILES_SECONDS = 60.0
"""Reading all pipelines imports their stages, which takes 1 to 10 seconds."""

Role = Literal["all", "airflow", "data", "train"]


def checks(settings: Settings, *, root: Path | None = None, role: Role = "all", measure: bool = True) -> list[Check]:
    """All findings for this machine.

    Args:
        settings: whose lake, Ray and Airflow are meant.
        root: the checkout, for the lock; the settings' base by default.
        role: `all` on a laptop; in an image, the one role it plays.
        measure: whether to measure what precision training would choose, which starts a process and takes seconds.
    """
    root = root or settings.base
    found = [_python(), *_packages(role)]
    if role in ("all", "train"):
        found += [_torch(), _transformer_engine()]
    if role == "all":
        found.append(_lock(root / LOCK))
    found += [_cpus(), _memory(), _open_files(), *gather(_services(settings))]
    trains = role in ("all", "train") and _version("torch") is not None
    child = _ask_for_precision(settings) if measure and trains else None
    if role in ("all", "data"):  # the other images hold no stages
        found += gather(_files(settings))
    found += _tools()
    return found + ([] if child is None else [_precision(child)])


def _services(settings: Settings) -> list[Probe]:
    """What the settings name, asked side by side."""
    if settings.lake.root.startswith("s3://"):
        lake = Probe("object store", "lake.s3.endpoint", lambda: probe_store.object_store(settings), ("botocore.session",))
    else:
        lake = Probe("lake", "lake.root", lambda: [probe_store.lake_folder(settings)])
    ray = [
        Probe("Ray token", "ray.token_file", lambda: [probe_settings.ray_token(settings)]),
        Probe("Ray", "ray.address", lambda: probe_services.ray(settings), ("httpx",)),
    ]
    drivers = ("sqlalchemy", "psycopg2") if settings.lake.catalog.startswith("postgresql") else ()
    return [
        Probe("disk", "runs", lambda: probe_store.runs_folder(settings)),
        lake,
        Probe("catalog", "lake.catalog", lambda: probe_catalog.catalog(settings), drivers),
        *(
            Probe("secret", key, lambda key=key, ref=ref: [probe_settings.secret(key, ref)])  # type: ignore[misc]
            for key, ref in probe_settings.secrets_of(settings).items()
        ),
        *(ray if settings.jobs.launcher == "ray" else []),
        Probe("Airflow", "airflow.address", lambda: probe_services.airflow(settings), ("httpx",)),
        Probe("PostgreSQL", "airflow.database", lambda: probe_services.database(settings), ("sqlalchemy", "psycopg2")),
    ]


def _files(settings: Settings) -> list[Probe]:
    """The files that the settings name, read as the commands read them."""
    return [
        Probe("sources", "sources", lambda: probe_settings.sources(settings), seconds=FILES_SECONDS, late="optional"),
        Probe("pipelines", "pipelines", lambda: probe_settings.pipelines(settings), seconds=FILES_SECONDS, late="optional"),
        Probe("policies", "policies", lambda: probe_settings.policies(settings), seconds=FILES_SECONDS, late="optional"),
    ]


def _python() -> Check:
    low, high = PYTHON
    here = sys.version.split()[0]
    if low <= sys.version_info[:2] <= high:
        return Check("Python", "ok", here)
    return Check("Python", "missing", here, "set HEADRACE_PYTHON to a Python 3.11-3.13 and run scripts/setup")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _packages(role: Role) -> Iterator[Check]:
    for name, (needed_by, use) in PACKAGES.items():
        if "all" not in (role, needed_by) and role != needed_by:
            continue
        version = _version(name)
        if version:
            yield Check(name, "ok", version)
        else:
            yield Check(name, "missing", f"not installed; {use} needs it", "make setup (or the extra of this role: pyproject.toml)")


def _torch() -> Check:
    version = _version("torch")
    if version is None:
        return Check(
            "torch", "missing", "not installed; training needs it", "scripts/setup (HEADRACE_TORCH_INDEX if pip finds no CPU build)"
        )
    gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    return Check("torch", "ok", f"{version}, {gpus} NVIDIA GPU(s)" if gpus else f"{version}, on the CPU")


def _transformer_engine() -> Check:
    version = _version("transformer-engine")
    if version is None:
        return Check("transformer-engine", "ok", "absent: right without CUDA")
    if Path("/proc/driver/nvidia/gpus").is_dir():
        return Check("transformer-engine", "ok", version)
    return Check("transformer-engine", "missing", f"{version} breaks megatron.core without CUDA", "pip uninstall transformer-engine")


def _ask_for_precision(settings: Settings) -> subprocess.Popen[str]:
    """Start measuring what precision training would choose here."""
    words = [sys.executable, "-m", "headrace_jobs.model.precision", MODEL, "--base", str(settings.base)]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _precision(child: subprocess.Popen[str]) -> Check:
    """What training would choose, and why; or why that could not be measured."""
    way_out = f"python -m headrace_jobs.model.precision {MODEL}"
    try:
        answer, said = child.communicate(timeout=CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return Check("precision", "optional", f"not measured within {CHILD_SECONDS:.0f} s: the machine is busy", way_out)
    if child.returncode:
        last = last_line(said, "no message")
        return Check("precision", "optional", f"not measured: {last[:200]}", way_out)
    layers, softmax = orjson.loads(last_line(answer))
    found = f"model {MODEL}: layers {layers['chosen']}, softmax {softmax['chosen']}; {softmax['why']}"
    warning = layers["warning"] or softmax["warning"]
    if warning:
        return Check("precision", "optional", f"{found}. {warning}", f"write 'auto' in megatron_jobs/configs/models/{MODEL}.yaml")
    return Check("precision", "ok", found)


def _lock(lock: Path) -> Check:
    """Are the installed packages the locked ones?"""
    if not lock.is_file():
        return Check("lock", "optional", f"no {lock}: an image or a wheel, not a checkout", "")
    wrong: list[str] = []
    count = 0
    for line in lock.read_text(encoding="utf-8").split("\n"):
        if "==" not in line or line.startswith((" ", "#")):
            continue
        try:
            wanted = Requirement(line.rstrip(" \\"))
        except InvalidRequirement:
            continue
        if wanted.marker and not wanted.marker.evaluate():
            continue
        count += 1
        if not wanted.specifier.contains(_version(wanted.name) or "0", prereleases=True):
            wrong.append(wanted.name)
    if wrong:
        return Check("lock", "missing", f"{len(wrong)} of {count} packages differ: {', '.join(wrong[:4])}", "make setup")
    return Check("lock", "ok", f"{count} packages as locked")


def _cpus() -> Check:
    count = len(os.sched_getaffinity(0))
    if count >= MIN_CPUS:
        return Check("CPUs", "ok", str(count))
    return Check("CPUs", "optional", f"{count}: `make poc` will take much longer than 15 minutes", f"use {MIN_CPUS} or more")


def _memory() -> Check:
    memory = psutil.virtual_memory()
    total, free = memory.total / 1e9, memory.available / 1e9
    if total < MIN_MEMORY_GB:
        return Check("memory", "missing", f"{total:.1f} GB", f"have {MIN_MEMORY_GB:g} GB: Ray, Airflow and training run side by side")
    if free < MIN_MEMORY_GB:
        return Check("memory", "optional", f"{free:.1f} of {total:.1f} GB available", "stop what else runs before `make poc`")
    return Check("memory", "ok", f"{free:.1f} of {total:.1f} GB available")


def _open_files() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= MIN_OPEN_FILES:
        return Check("open files", "ok", f"limit {soft}")
    return Check("open files", "missing", f"limit {soft}", f"ulimit -n {MIN_OPEN_FILES}")


def _tools() -> Iterator[Check]:
    def tool(name: str, use: str, way_out: str, *candidates: str) -> Check:
        found = next((path for path in map(shutil.which, candidates or (name,)) if path), None)
        return Check(name, "ok", found) if found else Check(name, "optional", f"absent; only for {use}", way_out)

    yield tool("dpkg-deb", "opening the sample packages", "it is part of Debian and Ubuntu (package dpkg)")
    yield tool("apt-get", "downloading the sample packages", "it is part of Debian and Ubuntu (package apt)")
    named = os.environ.get("HEADRACE_CHROMIUM", "")
    yield tool("chromium", "the browser tests", "scripts/setup --tests, or set HEADRACE_CHROMIUM", *([named] if named else CHROMIUM))
    yield tool("weed", "the object store of the S3 tests", "make setup", "weed", str(Path(sys.executable).parent / "weed"))
    yield tool("sbatch", "launching on Slurm", "apt-get install slurm-client, on the machine that submits")
    yield tool("kubectl", "launching on Kubernetes", "install kubectl on the machine that submits")


def doctor(
    settings: SettingsOption = None,
    role: Annotated[Role, typer.Option(help="The role this machine or image plays.")] = "all",
    as_json: JsonOption = False,
) -> None:
    """What is missing or wrong on this machine and in the settings, and how to get it right."""
    found = checks(load_settings(settings), role=role)
    missing = [check for check in found if check.state == "missing"]
    rows = [[c.state, f"{c.name} ({c.setting})" if c.setting and c.state != "ok" else c.name, c.found, c.way_out] for c in found]
    show_table("doctor", ("state", "what", "found", "way out"), rows)
    echo(f"{len(missing)} missing or wrong" if missing else "Nothing is missing.")
    emit_result([asdict(check) for check in found])
    if missing:
        raise typer.Exit(2)
