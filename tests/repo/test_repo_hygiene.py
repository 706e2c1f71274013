"""What must never enter the tree: paths of a machine, registry hosts, stubs, skipped tests, files nobody can read through."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MAX_LINES = 600
MAX_BYTES = 1 << 20
GENERATED = re.compile(r"requirements/.*\.txt|LICENSE|docs/images/.*")
BINARY = {".png", ".jpg", ".jpeg", ".gz", ".bin", ".idx", ".parquet", ".zst", ".ico", ".woff2"}

# Written with character classes, so that no pattern finds itself.
MACHINE = [r"(?<![\w.:/])/(?:home|root|Users)/\w", r"(?<![\w.:/])/(?:work|farm)/\w", r"/opt/(?:wheels|pypi)\b", r"/tmp/(?:dev|tmp\w{6,})\b"]
REGISTRY = [
    r"https?://\S+/simple\b",
    r"download[.]pytorch[.]org",
    r"files[.]pythonhosted[.]org",
    r"deb[.]debian[.]org",
    r"registry[.]npmjs",
]
STUBS = [r"\bTO[D]O\b", r"\bFIX[M]E\b", r"\bNotImplemented[E]rror\b", r"#\s*stu[b]\b"]
SKIPS = [r"pytest[.]skip", r"mark[.](?:skip|xfail)", r"\bimporter?skip", r"importor[s]kip"]
UNSAFE = [r"^\s*(?:import|from) (?:pickle|cPickle|dill|marshal)\b", r"shell=[T]rue", r"weights_only=[F]alse"]


@pytest.fixture(scope="module")
def files(checkout: Path) -> list[str]:
    """Tracked files and those about to be, relative to the checkout."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={checkout}", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=checkout,
        check=True,
        capture_output=True,
    )
    return sorted(name for name in listed.stdout.decode().split("\0") if name and (checkout / name).is_file())


def _text(checkout: Path, name: str) -> str:
    return (checkout / name).read_text(encoding="utf-8")


def _hits(checkout: Path, names: list[str], patterns: list[str]) -> list[str]:
    found = []
    for name in names:
        for number, line in enumerate(_text(checkout, name).splitlines(), 1):
            found += [f"{name}:{number}: {line.strip()[:100]}" for p in patterns if re.search(p, line)]
    return found


def _prose_and_code(files: list[str]) -> list[str]:
    return [f for f in files if Path(f).suffix not in BINARY and not GENERATED.fullmatch(f)]


def test_no_path_of_a_machine_and_no_registry_host_is_written_down(checkout: Path, files: list[str]) -> None:
    assert _hits(checkout, _prose_and_code(files), MACHINE + REGISTRY) == []


def test_the_locks_name_no_index_folder_or_machine(checkout: Path) -> None:
    for lock in (checkout / "requirements").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text and "--index" not in text and "--find-links" not in text, lock


def test_no_stubs_are_left(checkout: Path, files: list[str]) -> None:
    assert _hits(checkout, _prose_and_code(files), STUBS) == []


def test_no_test_can_skip(checkout: Path, files: list[str]) -> None:
    assert _hits(checkout, _prose_and_code([f for f in files if f.startswith("tests/")]), SKIPS) == []


def test_nothing_unpickles_runs_a_shell_or_loads_full_checkpoints(checkout: Path, files: list[str]) -> None:
    ours = [f for f in files if f.endswith(".py") and not f.startswith("tests/")]
    assert _hits(checkout, ours, UNSAFE) == []


def test_every_file_can_be_read_through(checkout: Path, files: list[str]) -> None:
    long = {f: n for f in _prose_and_code(files) if (n := _text(checkout, f).count("\n")) > MAX_LINES}
    big = {f: n for f in files if (n := (checkout / f).stat().st_size) > MAX_BYTES}
    assert (long, big) == ({}, {})


def test_no_init_in_the_folders_that_would_shadow_a_distribution(checkout: Path) -> None:
    for folder in ("tokenizers", "docker", "lake", "governance", "operators", "cli", "megatron_jobs", "charts", "tests"):
        assert not (checkout / folder / "__init__.py").exists(), folder


def test_test_files_have_unique_names(files: list[str]) -> None:
    names = [Path(f).name for f in files if f.startswith("tests/") and Path(f).name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_each_package_ships_its_types(checkout: Path) -> None:
    for package in _project(checkout)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert (checkout / package / "py.typed").is_file(), package
        assert (checkout / package / "__init__.py").is_file(), package


def test_dags_import_airflow_and_the_operators_only(checkout: Path) -> None:
    allowed = re.compile(r"airflow|headrace_operators|headrace_lake|__future__|datetime|pathlib|os|json|collections|typing|pendulum")
    for dag in (checkout / "dags").glob("*.py"):
        for line in dag.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"\s*(?:from|import) ([\w.]+)", line):
                assert allowed.fullmatch(match[1].split(".")[0]), f"{dag.name}: {line}"


def test_every_direct_dependency_is_locked_at_a_version_it_allows(checkout: Path) -> None:
    project = _project(checkout)["project"]
    wanted = [Requirement(r) for group in (project["dependencies"], *project["optional-dependencies"].values()) for r in group]
    locked = {
        canonicalize_name(m[1]): m[2] for m in re.finditer(r"^([A-Za-z0-9._-]+)==([^\s;]+)", _text(checkout, "requirements/lock.txt"), re.M)
    }
    # torch is installed beside the lock; see requirements/overrides.txt.
    problems = [
        f"{r} (locked: {locked.get(canonicalize_name(r.name))})"
        for r in wanted
        if r.name != "torch" and not r.specifier.contains(locked.get(canonicalize_name(r.name), "0"), prereleases=True)
    ]
    assert problems == [], "run scripts/lock"


def test_the_lock_brings_neither_torch_nor_cuda(checkout: Path) -> None:
    assert re.findall(r"^(?:torch|nvidia|cuda|triton)[\w.-]*==", _text(checkout, "requirements/lock.txt"), re.M) == []


def test_set_up_and_project_agree_on_torch(checkout: Path) -> None:
    version = re.search(r"^torch_version=(\S+)$", _text(checkout, "scripts/setup"), re.M)
    assert version and f"torch=={version[1]}" in _project(checkout)["project"]["optional-dependencies"]["train"]


def _project(checkout: Path) -> dict:
    return tomllib.loads(_text(checkout, "pyproject.toml"))
