"""`headrace doctor`: what this machine lacks for Headrace, and how to get it.

It looks, and changes nothing: no download, no service started, no heavy import (package versions come from their metadata; what needs
torch is asked of a child process that has `CHILD_SECONDS`, while the other checks are made).
Each finding is `ok`, `optional` (absent, needed only for what the line names) or `missing`; any `missing` makes exit code 2.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import orjson
import psutil
import typer
from packaging.requirements import InvalidRequirement, Requirement
from rich.console import Console
from rich.table import Table

from headrace_lake.lines import last_line
from headrace_lake.settings import Settings, load_settings

PYTHON = ((3, 11), (3, 13))
MIN_CPUS = 2
MIN_MEMORY_GB = 6.0
"""Ray head 0.5, Airflow 1, training 2, data work 2 (measured with `make poc`), in 10^9 bytes."""
MIN_DISK_GB = 3.0
"""The lake, checkpoints and logs of `make poc` take about 1; the rest is room for Ray's object spilling."""
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

State = Literal["ok", "optional", "missing"]
Role = Literal["all", "airflow", "data", "train"]


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        state: `ok`, `optional` (absent, but only the named use suffers) or `missing`.
        found: what is there.
        way_out: how to get it; empty when `ok`.
    """

    name: str
    state: State
    found: str
    way_out: str = ""


def checks(settings: Settings, *, root: Path | None = None, role: Role = "all", measure: bool = True) -> list[Check]:
    """All findings for this machine.

    Args:
        settings: whose lake, Ray and Airflow are meant.
        root: the checkout, for the lock; the settings' base by default.
        role: `all` on a laptop; in an image, the one role it plays.
        measure: whether to measure what precision training would choose, which starts a process and takes seconds.
    """
    root = root or settings.base
    trains = role in ("all", "train") and _version("torch") is not None
    child = _ask_for_precision(settings) if measure and trains else None
    found = [_python(), *_packages(role)]
    if role in ("all", "train"):
        found += [_torch(), _transformer_engine()]
    if role == "all":
        found.append(_lock(root / LOCK))
    found += [_cpus(), _memory(), _open_files(), _disk(settings), _lake(settings), _token(settings)]
    found += [_service("Ray", settings.ray.address), _service("Airflow", settings.airflow.address)]
    found += _tools()
    return found + ([] if child is None else [_precision(child)])


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


def _existing(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _disk(settings: Settings) -> Check:
    where = _existing(settings.resolve(settings.runs))
    free = shutil.disk_usage(where).free / 1e9
    if free >= MIN_DISK_GB:
        return Check("disk", "ok", f"{free:.0f} GB free at {where}")
    return Check("disk", "missing", f"{free:.1f} GB free at {where}", f"free {MIN_DISK_GB:g} GB, or point `runs` and `lake.root` elsewhere")


def _lake(settings: Settings) -> Check:
    if settings.lake.s3 is not None and settings.lake.root.startswith("s3://"):
        endpoint = settings.lake.s3.endpoint
        if _answers(endpoint):
            return Check("lake", "ok", f"{settings.lake.root}; {endpoint} answers")
        return Check("lake", "missing", f"{endpoint} does not answer", "start the object store, or mend lake.s3.endpoint")
    where = _existing(settings.resolve(settings.lake.root))
    if os.access(where, os.W_OK | os.X_OK):
        return Check("lake", "ok", str(settings.resolve(settings.lake.root)))
    return Check("lake", "missing", f"{where} is not writable", "mend its owner, or point lake.root elsewhere")


def _token(settings: Settings) -> Check:
    file = settings.resolve(settings.ray.token_file)
    if not file.exists():
        return Check("Ray token", "ok", "none yet: starting Ray makes one")
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Check("Ray token", "missing", f"{file} can be read by others", f"chmod 600 {file}")
    return Check("Ray token", "ok", str(file))


def _answers(address: str) -> bool:
    """Does anything listen at this address? One TCP connection, closed at once."""
    url = urlsplit(address)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        with socket.create_connection((url.hostname or "127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def _service(name: str, address: str) -> Check:
    """Free (it can start) and answering (it runs, or a stranger sits there) are both fine; which one is said."""
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        return Check(name, "missing", f"'{address}' is no address", "write http://host:port in the settings file")
    if _answers(address):
        return Check(name, "ok", f"something listens at {address}: `headrace services status` says whether it is ours")
    if url.hostname in ("127.0.0.1", "localhost", "::1"):
        return Check(name, "ok", f"not running; {address} is free for it")
    return Check(name, "missing", f"{address} does not answer", "start it there, or mend the address in the settings file")


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


MARKS = {"ok": "[green]ok[/]", "optional": "[yellow]optional[/]", "missing": "[red]missing[/]"}


def doctor(
    settings: Annotated[Path | None, typer.Option("--settings", help="Settings file; headrace.yaml here by default.")] = None,
    role: Annotated[Role, typer.Option(help="The role this machine or image plays.")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of the table.")] = False,
) -> None:
    """What is missing on this machine, and how to get it."""
    found = checks(load_settings(settings), role=role)
    missing = [check for check in found if check.state == "missing"]
    if as_json:
        typer.echo(orjson.dumps([asdict(check) for check in found], option=orjson.OPT_INDENT_2).decode())
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("", "what", "found", "way out"):
            table.add_column(column, overflow="fold")
        for check in found:
            table.add_row(MARKS[check.state], check.name, _plain(check.found), _plain(check.way_out))
        console = Console()
        console.print(table)
        console.print(f"{len(missing)} missing" if missing else "Nothing is missing.")
    if missing:
        raise typer.Exit(2)


def _plain(text: str) -> str:
    """Rich reads square brackets as markup; paths and extras contain them."""
    return re.sub(r"\[", r"\\[", text)
