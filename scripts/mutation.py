"""Mutation testing of a sample: cosmic-ray's operators, our own runner.

1. Every place of the component's code where an operator of cosmic-ray applies is listed; those that cannot change what runs are left out
   (type annotations, `if TYPE_CHECKING:`, `__all__`, decorators of numba).
2. The tests run once without a fault, with coverage: which test files run which lines, and how long each takes.
3. A seeded sample is judged: so many places, and at each one of its mutants (an operator such as `/` has a dozen, which would fill it).
   Each mutant has processes of its own: the test files that run the mutated line, the quickest first, up to the first failure. A mutant is
   killed by a failing test, or by one that does not end in time; it survives if all of them pass.

Cosmic-ray's own runner changes the files of the checkout and starts the same tests for every mutant; mutmut forks after its imports, which
pyarrow's and pyiceberg's threads do not survive. Here a worker has a copy of the six packages, first on `PYTHONPATH`, and starts anew.

Cost: the tests once with coverage, then for each mutant the start of Python and its tests, on two workers about 10 s each.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

import yaml
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

CHECKOUT = Path(__file__).resolve().parents[1]
ROOTS = ("lake", "governance", "tokenizers", "megatron_jobs", "operators", "cli")
"""Folders that are on the path; each holds one package."""
SLACK = 60.0
"""Seconds that a mutant's tests may take beyond five times of what they took without a fault."""
_running: set[int] = set()
"""Process groups of the tests that run now."""
_stopped = threading.Event()
FAILED, ERRORS, NOTHING = 1, 2, 5
"""Exit codes of pytest: a test failed; a file could not be imported; no test was found."""


@dataclass
class Mutant:
    """One fault: the `occurrence`-th place of a file where the operator applies.

    Attributes:
        outcome: killed, timed out, survived, not covered.
        by: the test file that killed it.
        diff: the lines that it changes.
    """

    file: str
    line: int
    column: int
    operator: str
    occurrence: int
    outcome: str = ""
    by: str = ""
    diff: list[str] = field(default_factory=list)


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file that changes what runs."""
    source = file.read_text(encoding="utf-8")
    tree, silent = get_ast(source), _silent(source)
    nodes = list(ast_nodes(tree))
    for name in operator_names():
        operator_class = get_operator(name)
        if operator_class.arguments():
            continue
        operator = operator_class()
        places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, (line, column) in enumerate(places):
            if not any(first <= (line, column) < last for first, last in silent):
                yield Mutant(str(file.relative_to(CHECKOUT)), line, column, name, occurrence)


def _silent(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(start, end) of code that does nothing when it runs, as (line, column)."""
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            found += [a.annotation for a in every if a is not None and a.annotation is not None]
            found += [d for d in node.decorator_list if "njit" in ast.unparse(d)]
            if node.returns is not None:
                found.append(node.returns)
        elif isinstance(node, ast.AnnAssign):
            found.append(node.annotation)
        elif (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)) or (
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ):
            found.append(node)
    # A decorator's own place is its expression, one column after the `@`, which is where an operator says that it is.
    return [((n.lineno, max(0, n.col_offset - 1)), (n.end_lineno, n.end_col_offset)) for n in found]  # type: ignore[attr-defined]


class Workplace:
    """A copy of the packages where faults are put in, and the environment in which tests run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for root in ROOTS:
            ignored = shutil.ignore_patterns("configs", "*.md", "pipelines", "policies", "sources")
            shutil.copytree(CHECKOUT / root, folder / root, ignore=ignored)  # times too, so that what is compiled stays valid
        paths = os.pathsep.join(str(folder / root) for root in ROOTS)
        self.environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}

    def pytest(self, *words: str, timeout: float | None = None) -> int | None:
        """Exit code of pytest in the checkout, on this copy; None where it did not end in time."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--tb=no", "-o", f"cache_dir={self.folder}/pytest", *words]
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        _running.add(process.pid)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            _running.discard(process.pid)

    def judge(self, mutant: Mutant, tests: list[tuple[str, float]]) -> None:
        """Put a fault in, run the tests that could notice, take it out again."""
        target = self.folder / mutant.file
        original = CHECKOUT / mutant.file
        before = original.read_text(encoding="utf-8")
        after = mutate_code(before, get_operator(mutant.operator)(), mutant.occurrence)
        lines = list(difflib.unified_diff(before.splitlines(), (after or before).splitlines(), n=0, lineterm=""))[3:]
        mutant.diff = [line.strip() for line in lines]
        if not tests:
            mutant.outcome = "not covered"
            return
        for compiled in target.parent.glob(f"__pycache__/{target.stem}.*.pyc"):
            compiled.unlink()
        target.write_text(after or before, encoding="utf-8")
        mutant.outcome = "survived"
        try:
            for test, seconds in tests:
                if _stopped.is_set():
                    raise SystemExit("stopped")
                code = self.pytest(test, timeout=5 * seconds + SLACK)
                if code in (FAILED, ERRORS, None):
                    mutant.outcome, mutant.by = ("timed out" if code is None else "killed"), test
                    break
                if code == NOTHING:
                    raise SystemExit(f"{test} holds no test: correct scripts/mutation.yaml")
        finally:
            shutil.copy2(original, target)


def baseline(place: Workplace, tests: list[str], code: set[str]) -> tuple[dict[str, float], dict[str, dict[int, set[str]]]]:
    """Run every test file once without a fault.

    Returns:
        test file → seconds; code file → line → test files that run it.

    Raises:
        SystemExit: a test fails without any fault.
    """
    from coverage import CoverageData

    seconds: dict[str, float] = {}
    lines: dict[str, dict[int, set[str]]] = {}
    for test in tests:
        data = place.folder / "coverage.data"
        data.unlink(missing_ok=True)
        settings = place.folder / "coverage.toml"
        settings.write_text(f"[tool.coverage.run]\nsource = [{', '.join(json.dumps(str(place.folder / root)) for root in ROOTS)}]\n")
        place.environment["COVERAGE_FILE"] = str(data)
        start = time.monotonic()
        if place.pytest(test, "--cov", f"--cov-config={settings}", "--cov-report=") != 0:
            raise SystemExit(f"{test} fails without any fault: run it by itself first")
        seconds[test] = time.monotonic() - start
        found = CoverageData(str(data))
        found.read()
        for file in found.measured_files():
            name = os.path.relpath(file, place.folder)
            if name in code:
                for line in found.lines(file) or ():
                    lines.setdefault(name, {}).setdefault(line, set()).add(test)
        print(f"  {test}: {seconds[test]:.0f} s", flush=True)
    return seconds, lines


def _stop(number: int, frame: object) -> None:
    """Ended by Ctrl-C or SIGTERM: the tests end too, and the copies go."""
    _stopped.set()
    for group in list(_running):
        os.killpg(group, signal.SIGKILL)
    raise SystemExit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known: dict[str, Any] = yaml.safe_load((CHECKOUT / "scripts/mutation.yaml").read_text(encoding="utf-8"))
    parser.add_argument("package", choices=sorted(known))
    parser.add_argument("--sample", type=int, default=60, help="mutants that are judged")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="only say how many mutants there are, and print the sample")
    given = parser.parse_args()

    def files(kind: str) -> list[str]:
        return sorted({str(p.relative_to(CHECKOUT)) for pattern in known[given.package].get(kind, ()) for p in CHECKOUT.glob(pattern)})

    code = sorted(set(files("code")) - set(files("without")))
    every = [m for name in code for m in mutants_of(CHECKOUT / name)]
    places: dict[tuple[str, int, int], list[Mutant]] = {}
    for m in every:
        places.setdefault((m.file, m.line, m.column), []).append(m)
    dice = random.Random(given.seed)
    chosen = [dice.choice(places[at]) for at in dice.sample(sorted(places), min(given.sample, len(places)))]
    many = f"{len(every):,} mutants at {len(places):,} places in {len(code)} files"
    print(f"{given.package}: {many}, {len(chosen)} are judged (seed {given.seed})", flush=True)
    if given.list:
        for m in sorted(chosen, key=lambda m: (m.file, m.line)):
            print(f"  {m.file}:{m.line} {m.operator}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headrace-mutation-") as temporary:
        free: Queue[Workplace] = Queue()
        for number in range(given.workers):
            free.put(Workplace(Path(temporary) / str(number)))
        first = free.get()
        seconds, lines = baseline(first, files("tests"), set(code))
        free.put(first)

        def judge(mutant: Mutant) -> Mutant:
            hit = sorted(lines.get(mutant.file, {}).get(mutant.line, ()), key=lambda t: (seconds[t], t))
            place = free.get()
            try:
                place.judge(mutant, [(t, seconds[t]) for t in hit])
            finally:
                free.put(place)
            print(f"  {mutant.outcome}: {mutant.file}:{mutant.line} {mutant.operator}", flush=True)
            return mutant

        with ThreadPoolExecutor(given.workers) as pool:
            judged = list(pool.map(judge, chosen))
    counts = {o: sum(m.outcome == o for m in judged) for o in ("killed", "timed out", "survived", "not covered")}
    report = {"package": given.package, "seed": given.seed, "mutants": len(every), "counts": counts, "judged": [asdict(m) for m in judged]}
    out = CHECKOUT / "var/mutation" / f"{given.package}-{given.seed}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for m in sorted(judged, key=lambda m: (m.file, m.line)):
        if m.outcome in ("survived", "not covered"):
            print(f"\n{m.outcome}: {m.file}:{m.line} {m.operator}\n    " + "\n    ".join(m.diff))
    dead = counts["killed"] + counts["timed out"]
    score = dead / len(judged) if judged else 0.0
    print(f"\n{given.package}: score {score:.0%}, {counts}; {time.monotonic() - start:.0f} s; {out.relative_to(CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
