"""Structure check: imports go down, no import circles, files of at most 400 lines.

Reads the import graph of the packages (grimp, of which import-linter is made), imports inside functions included, and `dags/` by its
syntax tree. `scripts/structure.yaml` declares the layers, and the files that may be longer, each with its reason. import-linter stops at
the first component that is wrong; this prints all of it as a table and says of each fault what to do. Takes about 2 seconds.

    scripts/structure                  # exit code 1 if anything is wrong
    scripts/structure --root DIR       # another checkout
    scripts/structure --type-checking  # also list the imports that only a type checker makes

A circle of modules is a strongly connected component of the imports that a run makes. A circle of folders is the same one floor up: of
what stands in one folder, files and folders, each taken with all that lies below it. Circles that close only through imports
under `TYPE_CHECKING` are printed, and are not fault: nothing is loaded through them.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import grimp
import yaml

MOST_LINES = 400
DECLARATIONS = "scripts/structure.yaml"
LAKE = "headrace_lake"
MEASURED = ("dags", "scripts", "benchmarks", "tests")
"""Folders beside the components' whose files have a length too."""


class Arrow(NamedTuple):
    """One import; `where` is file and line."""

    importer: str
    imported: str
    where: str


@dataclass
class Graph:
    """Modules and imports of a checkout.

    Attributes:
        files: module → its file, relative to the checkout.
        arrows: imports that a run makes, those inside functions included.
        typing: imports under `TYPE_CHECKING` alone.
    """

    files: dict[str, str] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)
    typing: list[Arrow] = field(default_factory=list)


@dataclass
class Fault:
    """What is wrong, and what to do."""

    rule: str
    what: str
    way_out: str


@dataclass
class Declared:
    """`scripts/structure.yaml`.

    Attributes:
        components: import package → its top-level folder.
        layers: name → levels, the highest first; what stands in one level does not import each other.
        long_files: file → why it is longer than `MOST_LINES`.
    """

    components: dict[str, str]
    layers: dict[str, list[list[str]]]
    long_files: dict[str, str]


def declared(root: Path) -> Declared:
    """Read the declarations of a checkout."""
    found = yaml.safe_load((root / DECLARATIONS).read_text(encoding="utf-8"))
    layers = {name: [[level] if isinstance(level, str) else list(level) for level in levels] for name, levels in found["layers"].items()}
    return Declared(found["components"], layers, found.get("long_files") or {})


# -- the graph ---------------------------------------------------------------------------------------------------------------


def read_graph(root: Path, components: Mapping[str, str]) -> Graph:
    """Modules and imports of the components and of `dags/`."""
    sys.path[:0] = [str(root / folder) for folder in components.values()]
    importlib.invalidate_caches()
    whole = grimp.build_graph(*components, cache_dir=None)
    run = grimp.build_graph(*components, cache_dir=None, exclude_type_checking_imports=True)
    graph = Graph({module: _file(root, components, module) for module in sorted(whole.modules)})
    for importer in graph.files:
        for imported in sorted(whole.find_modules_directly_imported_by(importer)):
            arrow = Arrow(importer, imported, f"{graph.files[importer]}:{_line(whole, importer, imported)}")
            at_run = run.direct_import_exists(importer=importer, imported=imported)
            (graph.arrows if at_run else graph.typing).append(arrow)
    for file in sorted((root / "dags").glob("*.py")):
        module = f"dags.{file.stem}"
        graph.files[module] = file.relative_to(root).as_posix()
        graph.arrows += _imports_of_dag(module, file, root, graph.files)
    return graph


def _file(root: Path, components: Mapping[str, str], module: str) -> str:
    parts = module.split(".")
    path = Path(components[parts[0]], *parts)
    return (path.with_suffix(".py") if (root / path.with_suffix(".py")).exists() else path / "__init__.py").as_posix()


def _line(graph: grimp.ImportGraph, importer: str, imported: str) -> int:
    return min(detail["line_number"] for detail in graph.get_import_details(importer=importer, imported=imported))


def _imports_of_dag(module: str, file: Path, root: Path, known: Mapping[str, str]) -> Iterator[Arrow]:
    """Imports of a DAG file of modules that are known, or of other DAG files."""
    seen: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in known else node.module for a in node.names]
        for name in names:
            if (name in known or name.split(".")[0] == "dags") and name not in seen:
                seen.add(name)
                yield Arrow(module, name, f"{file.relative_to(root).as_posix()}:{node.lineno}")


# -- rules -------------------------------------------------------------------------------------------------------------------


def climbs(graph: Graph, layers: Mapping[str, list[list[str]]]) -> list[Fault]:
    """Imports that go up, or across to what stands in the same level."""
    faults = []
    for name, levels in layers.items():
        level_of = {prefix: number for number, level in enumerate(levels) for prefix in level}
        for prefix in level_of:
            if not any(_prefix(module, (prefix,)) for module in graph.files):
                what = f"{DECLARATIONS} names {prefix} in the layers '{name}', which is not there"
                faults.append(Fault(f"imports go down: {name}", what, "write its new name, or take it out"))
        for arrow in [*graph.arrows, *graph.typing]:
            above, below = _prefix(arrow.importer, level_of), _prefix(arrow.imported, level_of)
            if above is None or below is None or above == below or level_of[above] < level_of[below]:
                continue
            across = level_of[above] == level_of[below]
            how = f"{above} and {below} stand side by side" if across else f"{above} stands below {below}"
            faults.append(
                Fault(
                    f"imports go down: {name}",
                    f"{arrow.where} {arrow.importer} imports {arrow.imported}, but {how}",
                    f"move what it needs of {arrow.imported} to {above} or further down, or move what needs it up",
                )
            )
    return faults


def _prefix(module: str, prefixes: Iterable[str]) -> str | None:
    """The longest of some packages that holds a module."""
    holders = [p for p in prefixes if module == p or module.startswith(f"{p}.")]
    return max(holders, key=len, default=None)


def lake_alone(graph: Graph, components: Iterable[str]) -> list[Fault]:
    """Imports of components in the lake; under `TYPE_CHECKING` too, for its words must not be those of a modality."""
    others = set(components) - {LAKE}
    return [
        Fault(
            f"{LAKE} imports no component",
            f"{a.where} {a.importer} imports {a.imported}",
            "let the component register what the lake needs of it by `module:Class`, as stages and tables do",
        )
        for a in [*graph.arrows, *graph.typing]
        if a.importer.split(".")[0] == LAKE and a.imported.split(".")[0] in others
    ]


def circles(arrows: Iterable[Arrow]) -> list[list[Arrow]]:
    """A shortest circle of each strongly connected component with more than one member."""
    edges: dict[str, dict[str, Arrow]] = defaultdict(dict)
    for arrow in arrows:
        if arrow.importer != arrow.imported:
            edges[arrow.importer].setdefault(arrow.imported, arrow)
    found = []
    for members in strongly_connected(edges):
        inside = {m: {to: arrow for to, arrow in edges[m].items() if to in members} for m in members}
        found.append(min((_shortest_circle(inside, m) for m in sorted(members)), key=len))
    return sorted(found)


def strongly_connected(edges: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Strongly connected components with more than one member (Tarjan 1972), without recursion."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []
    for start in sorted(edges):
        if start in number:
            continue
        work = [(start, iter(sorted(edges[start])))]
        number[start] = low[start] = len(number)
        stack.append(start)
        while work:
            node, following = work[-1]
            step = next(following, None)
            if step is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    members = set(stack[stack.index(node) :])
                    del stack[stack.index(node) :]
                    if len(members) > 1:
                        found.append(members)
            elif step not in number:
                number[step] = low[step] = len(number)
                stack.append(step)
                work.append((step, iter(sorted(edges.get(step, ())))))
            elif step in stack:
                low[node] = min(low[node], number[step])
    return found


def _shortest_circle(edges: Mapping[str, Mapping[str, Arrow]], start: str) -> list[Arrow]:
    """The shortest way from a module of a strongly connected component back to it, breadth first."""
    ways: dict[str, list[Arrow]] = {start: []}
    for node in (queue := [start]):
        for to, arrow in sorted(edges[node].items()):
            if to == start:
                return [*ways[node], arrow]
            if to not in ways:
                ways[to] = [*ways[node], arrow]
                queue.append(to)
    raise AssertionError(f"{start} is in no circle")


def one_floor_up(graph: Graph, arrows: Iterable[Arrow]) -> dict[str, list[Arrow]]:
    """Folder → imports between what stands in it: files and folders, each with all that lies below it."""
    packages = {module for module, file in graph.files.items() if file.endswith("__init__.py")}
    found: dict[str, list[Arrow]] = defaultdict(list)
    for arrow in arrows:
        one, other = arrow.importer.split("."), arrow.imported.split(".")
        shared = 0
        while shared < min(len(one), len(other)) and one[shared] == other[shared]:
            shared += 1
        if shared and shared < min(len(one), len(other)):  # neither is the folder's own __init__
            sides = [".".join(path[: shared + 1]) for path in (one, other)]
            if packages & set(sides):
                found[".".join(one[:shared])].append(Arrow(sides[0], sides[1], f"{arrow.where} (of {arrow.imported})"))
            else:
                found[".".join(one[:shared])].append(Arrow(sides[0], sides[1], arrow.where))
    return found


def folder_circles(graph: Graph, arrows: Iterable[Arrow]) -> list[list[Arrow]]:
    """Circles between what stands in one folder that are none of its files alone."""
    packages = {module for module, file in graph.files.items() if file.endswith("__init__.py")}
    found = [circle for _, between in sorted(one_floor_up(graph, arrows).items()) for circle in circles(between)]
    return [circle for circle in found if any(arrow.importer in packages for arrow in circle)]


def written(circle: list[Arrow]) -> str:
    """A circle with the line of each import."""
    return " -> ".join([f"{a.importer} ({a.where})" for a in circle] + [circle[0].importer])


def lengths(root: Path, components: Mapping[str, str]) -> dict[str, int]:
    """Python file → its lines."""
    folders = [*components.values(), *MEASURED]
    files = [f for folder in folders for f in (root / folder).rglob("*.py") if "__pycache__" not in f.parts]
    return {f.relative_to(root).as_posix(): len(f.read_text(encoding="utf-8").splitlines()) for f in sorted(files)}


def long_ones(lines: Mapping[str, int], listed: Mapping[str, str]) -> list[Fault]:
    """Files that are too long and not listed, and entries of the list that are not needed."""
    rule = f"files of at most {MOST_LINES} lines, or listed"
    faults = [
        Fault(rule, f"{file} has {n} lines", f"split it where it has a seam; if it has none, list it with the reason in {DECLARATIONS}")
        for file, n in lines.items()
        if n > MOST_LINES and file not in listed
    ]
    for file, reason in listed.items():
        if file not in lines:
            faults.append(Fault(rule, f"{DECLARATIONS} lists {file}, which is not there", "take the entry out"))
        elif lines[file] <= MOST_LINES:
            faults.append(Fault(rule, f"{DECLARATIONS} lists {file}, which has {lines[file]} lines", "take the entry out"))
        elif not str(reason or "").strip():
            faults.append(Fault(rule, f"{DECLARATIONS} lists {file} without a reason", "say why it cannot be split"))
    return faults


# -- output ------------------------------------------------------------------------------------------------------------------


def _components_table(graph: Graph, lines: Mapping[str, int], components: Mapping[str, str]) -> Iterator[str]:
    yield f"{'':22}{'modules':>8}{'lines':>8}{'longest':>8}  imports of"
    for package, folder in {"dags": "dags", **components}.items():
        mine = [n for file, n in lines.items() if file.startswith(f"{folder}/")]
        outside: dict[str, int] = defaultdict(int)
        for a in graph.arrows:
            if a.importer.split(".")[0] == package != a.imported.split(".")[0]:
                outside[a.imported.split(".")[0]] += 1
        modules = sum(m.split(".")[0] == package for m in graph.files)
        of = ", ".join(f"{name.removeprefix('headrace_')} {n}" for name, n in sorted(outside.items()))
        yield f"{package:22}{modules:8}{sum(mine):8,}{max(mine, default=0):8}  {of or 'none'}"


def _rules_table(rules: list[tuple[str, str, int]]) -> Iterator[str]:
    width = max(len(rule) for rule, _, _ in rules) + 2
    for rule, looked_at, faults in rules:
        yield f"{rule:{width}}{looked_at:>16}  {f'{faults} wrong' if faults else 'holds'}"


def check(root: Path, *, list_typing: bool = False) -> Iterator[Any]:
    """Yields lines to print, then the faults."""
    said = declared(root)
    graph = read_graph(root, said.components)
    lines = lengths(root, said.components)
    rules: list[tuple[str, str, int]] = []
    faults: list[Fault] = []

    def add(rule: str, looked_at: str, found: list[Fault]) -> None:
        rules.append((rule, looked_at, len(found)))
        faults.extend(found)

    imports = f"{len(graph.arrows) + len(graph.typing):,} imports"
    for name, levels in said.layers.items():
        add(f"imports go down: {name}", imports, climbs(graph, {name: levels}))
    add(f"{LAKE} imports no component", imports, lake_alone(graph, said.components))
    rule = "no circle of modules"
    way = "move the piece that both need into a module of its own below them; an import inside a function leaves the circle as it is"
    own = circles(graph.arrows)
    add(rule, f"{len(graph.files):,} modules", [Fault(rule, written(c), way) for c in own])
    rule = "no circle of folders"
    way = "move the piece that one needs of the other, or one of both, down or out of the folder"
    folders = folder_circles(graph, graph.arrows)
    number = sum(file.endswith("__init__.py") for file in graph.files.values())
    add(rule, f"{number:,} folders", [Fault(rule, written(c), way) for c in folders])
    add(f"files of at most {MOST_LINES} lines, or listed", f"{len(lines):,} files", long_ones(lines, said.long_files))

    yield from _components_table(graph, lines, said.components)
    yield ""
    yield from _rules_table(rules)
    yield ""
    both = [*graph.arrows, *graph.typing]
    known = {frozenset(a.importer for a in c) for c in [*own, *folders]}
    only = [c for c in [*circles(both), *folder_circles(graph, both)] if frozenset(a.importer for a in c) not in known]
    yield f"{len(graph.typing)} imports under TYPE_CHECKING; {len(only)} circles close only through them"
    yield from (f"  {written(c)}" for c in only)
    if list_typing:
        yield from (f"  {a.where} {a.importer} -> {a.imported}" for a in graph.typing)
    yield f"{len(said.long_files)} files are listed as longer than {MOST_LINES} lines ({DECLARATIONS})"
    yield from faults


def main() -> int:
    """Print the tables and the faults."""
    options = argparse.ArgumentParser(description="Layers of imports, import circles and the length of files.")
    options.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="the checkout; this one")
    options.add_argument("--type-checking", action="store_true", help="also list the imports under TYPE_CHECKING")
    given = options.parse_args()
    bad = 0
    for line in check(given.root.resolve(), list_typing=given.type_checking):
        if isinstance(line, Fault):
            bad += 1
            print(f"\n{line.rule}\n  {line.what}\n  way out: {line.way_out}")
        else:
            print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
