"""Growth of every regular expression of the tree under attack: none may take more than linear time.

Finds each `re.compile`, `re.search` ... of the packages (by syntax tree, evaluated in its module) and each compiled pattern that a module
holds; makes attack strings of it (`pattern_attacks`): a text that leads up to each of its repeats, then something that this repeat or its
neighbours take, many times over, then something that nothing takes; the same of every beginning of the pattern, for searches that start
again at each place. Each is grown, and timed in processor time.

A pattern whose slowest attack takes `FAST` or less a character at 4 kB is not looked at further: a quadratic one would take ten times as
much there. Others are timed at 10 kB and 100 kB; above `MOST` times linear they fail.

    scripts/patterns            # the table of the slowest; exit code 1 if one fails
    scripts/patterns --all      # of all of them
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pattern_attacks import attacks

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS = ("cli", "governance", "lake", "megatron_jobs", "operators", "tokenizers")
CALLS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}
ANCHORED = {"match", "fullmatch"}
PROBE, SMALL, MEDIUM, LARGE, HUGE = 4_000, 10_000, 30_000, 100_000, 1_000_000
FAST = 400e-9
"""Seconds a character: ordinary patterns take 5 to 300 ns, quadratic ones 2,000 and more at the probe's length."""
BUDGET = 1.0
"""Seconds of attacks on one pattern; 400 attacks that find nothing take 0.1."""
TICKS = 0.05
"""Processor seconds that a measurement takes at least."""
MOST = 1.5
"""Times linear growth."""
BOUNDED = {
    "governance/headrace_governance/text/pii/networks.py _CHANGED_BEFORE": 80,
    "governance/headrace_governance/text/pii/networks.py _PRODUCT_BEFORE": 80,
    "governance/headrace_governance/text/pii/phones.py _DECIMAL": 60,
}
"""Patterns that are given no more characters than this: what stands before a find (`spans.before`), or a find of bounded length."""


@dataclass
class Found:
    """A pattern of the tree.

    Attributes:
        where: file and line.
        anchored: used only from a fixed place on (`match`, `fullmatch`), never searched for.
        name: of the module's variable that holds it.
        whole: asked for a match of all of a text, after which a search goes back.
    """

    where: str
    pattern: re.Pattern[Any]
    anchored: bool
    whole: bool = False
    name: str = ""


@dataclass
class Growth:
    """The slowest attack on a pattern.

    Attributes:
        seconds: length → processor seconds; only the probe's where that was fast.
        growth: from 10 kB to 100 kB, as a multiple of linear; 1 where the probe was fast.
    """

    found: Found
    attack: str = ""
    seconds: dict[int, float] = field(default_factory=dict)
    growth: float = 1.0


# -- the patterns of the tree ----------------------------------------------------------------------------------------


def modules() -> Iterator[tuple[str, Path]]:
    """(name, file) of the modules that mention `re`."""
    for component in COMPONENTS:
        for file in sorted((ROOT / component).glob("headrace_*/**/*.py")):
            if re.search(r"^\s*(?:import re\b|from re import)", file.read_text(encoding="utf-8"), re.MULTILINE):
                parts = file.relative_to(ROOT / component).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def patterns(unread: list[str]) -> list[Found]:
    """All patterns of the tree.

    Args:
        unread: where a pattern is made of what only a run knows is added here.
    """
    found: dict[tuple[Any, int], Found] = {}
    trees = {name: (file, ast.parse(file.read_text(encoding="utf-8"))) for name, file in modules()}
    uses: dict[str, dict[str, set[str]]] = {}
    for name, (_, tree) in trees.items():
        own = uses.setdefault(name, {})
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                for held in ast.walk(node.value):
                    if isinstance(held, ast.Name | ast.Attribute):
                        own.setdefault(held.id if isinstance(held, ast.Name) else held.attr, set()).add(node.attr)
    for name, (file, tree) in trees.items():
        module = importlib.import_module(name)
        short = file.relative_to(ROOT).as_posix()
        seen: set[str] = set()
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re") or not node.args:
                continue
            where = f"{short}:{node.lineno}"
            pattern = _evaluated(node, module)
            if pattern is None:
                unread.append(f"{short} {ast.unparse(node)[:80]}")
                continue
            named = [
                t.id for a in ast.walk(tree) if isinstance(a, ast.Assign) and a.value is node for t in a.targets if isinstance(t, ast.Name)
            ]
            how = {node.func.attr}
            if named:
                elsewhere = named[0].startswith("_") is False  # a public one may be used by other modules
                how = set().union(*(u.get(named[0], set()) for n, u in uses.items() if n == name or elsewhere)) & CALLS
            seen.add(where)
            _add(found, Found(where, pattern, bool(how) and how <= ANCHORED, "fullmatch" in how, named[0] if named else ""))
        for held in vars(module).values():
            for pattern in _patterns_in(held):
                key = (pattern.pattern, pattern.flags)
                if key not in found:
                    found[key] = Found(short, pattern, False)
    return sorted(found.values(), key=lambda f: f.where)


def _add(found: dict[tuple[Any, int], Found], one: Found) -> None:
    key = (one.pattern.pattern, one.pattern.flags)
    if key in found:
        found[key].anchored = found[key].anchored and one.anchored
        found[key].whole = found[key].whole or one.whole
    else:
        found[key] = one


def _evaluated(node: ast.Call, module: Any) -> re.Pattern[Any] | None:
    """The pattern of a call, if it is made of what the module holds."""
    flags = [k.value for k in node.keywords if k.arg == "flags"]
    places = {"compile": 1, "search": 2, "match": 2, "fullmatch": 2, "findall": 2, "finditer": 2, "split": 3, "sub": 4, "subn": 4}
    place = places[node.func.attr]  # type: ignore[attr-defined]
    flags += node.args[place : place + 1]
    try:
        values = [eval(compile(ast.Expression(e), "pattern", "eval"), vars(module)) for e in (node.args[0], *flags)]  # noqa: S307 - our own source
        return values[0] if isinstance(values[0], re.Pattern) else re.compile(values[0], *values[1:])
    except Exception:
        return None


def _patterns_in(held: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(held, re.Pattern):
        yield held
    elif depth < 3 and isinstance(held, list | tuple | set | frozenset):
        for one in held:
            yield from _patterns_in(one, depth + 1)
    elif depth < 3 and isinstance(held, dict):
        for one in held.values():
            yield from _patterns_in(one, depth + 1)


# -- time ------------------------------------------------------------------------------------------------------------


def run(found: Found) -> Callable[[Any], object]:
    """What is done with the pattern: from the text's start only, or everywhere."""
    if found.anchored:
        return found.pattern.fullmatch if found.whole else found.pattern.match
    return lambda text: sum(1 for _ in found.pattern.finditer(text))


def _text(found: Found, attack: tuple[str, str, str], length: int) -> Any:
    lead, pump, end = attack
    text = lead + pump * max(1, (length - len(lead)) // len(pump)) + end
    return text.encode("utf-8", "surrogatepass") if isinstance(found.pattern.pattern, bytes) else text


def _glance(act: Callable[[Any], object], text: Any) -> float:
    """Seconds of one run by the clock on the wall: only tells what is worth measuring."""
    start = time.perf_counter()
    act(text)
    return time.perf_counter() - start


def _seconds(act: Callable[[Any], object], text: Any) -> float:
    """Processor seconds of one run, of so many that the processor's clock, which may tick every 10 ms, can tell."""
    start, runs = time.process_time(), 0
    while (taken := time.process_time() - start) < TICKS or not runs:
        act(text)
        runs += 1
    return taken / runs


def worst(found: Found) -> Growth:
    """The slowest attack on a pattern, and how it grows."""
    act = run(found)
    bound = BOUNDED.get(f"{found.where.partition(':')[0]} {found.name}")
    if bound is not None:
        slowest = max((_glance(act, _text(found, attack, bound)), attack) for attack in attacks(found.pattern) if attack[1])
        return Growth(found, repr(slowest[1]), {bound: slowest[0]}, 1.0 if slowest[0] < 0.01 else float("inf"))
    slow: list[tuple[float, tuple[str, str, str]]] = []
    start = time.process_time()
    for attack in attacks(found.pattern):
        if not attack[1]:
            continue
        # Short ones first: what is exponential would not come back from the whole.
        for length in (24, 400, PROBE):
            seconds = _glance(act, _text(found, attack, length))
            if seconds > 0.02 and _seconds(act, _text(found, attack, length)) > 0.02:
                break
        if length < PROBE or seconds > 0.3:  # milliseconds for a line: 10 kB would not come back
            return Growth(found, repr(attack), {length: seconds}, float("inf"))
        slow.append((seconds / length, attack))
        if sum(rate > 20 * FAST for rate, _ in slow) >= 3 or time.process_time() - start > BUDGET:
            break
    slow.sort(reverse=True)
    result = Growth(found, seconds={PROBE: slow[0][0] * PROBE}, attack=repr(tuple(s[:30] for s in slow[0][1])))
    for rate, attack in slow[:3]:
        if rate <= FAST:
            break
        small = _seconds(act, _text(found, attack, SMALL))
        if small > 0.5:  # 50 µs a character: nobody waits for ten times as many
            return Growth(found, repr(tuple(s[:30] for s in attack)), {SMALL: small}, float("inf"))
        medium = min(_seconds(act, _text(found, attack, MEDIUM)) for _ in range(2))
        if medium / small > MOST * MEDIUM / SMALL and medium > 0.2:  # quadratic: ten times as many would take a hundred times as long
            return Growth(found, repr(tuple(s[:30] for s in attack)), {SMALL: small, MEDIUM: medium}, medium / small / (MEDIUM / SMALL))
        large = _seconds(act, _text(found, attack, LARGE))
        growth = large / small / (LARGE / SMALL)
        for _ in range(3):  # perhaps another process took the cache: once more
            if not MOST < growth < 2 * MOST:
                break
            growth = min(growth, _seconds(act, _text(found, attack, LARGE)) / _seconds(act, _text(found, attack, SMALL)) / (LARGE / SMALL))
        if growth > result.growth or len(result.seconds) < 2:
            result = Growth(found, repr(tuple(s[:30] for s in attack)), {SMALL: small, LARGE: large}, growth)
    return result


def main() -> int:
    """Print the table."""
    options = argparse.ArgumentParser(description="Growth of every regular expression of the tree under attack.")
    options.add_argument("--all", action="store_true", help="also the patterns whose slowest attack is fast")
    options.add_argument("only", nargs="?", default="", help="only files whose name contains this")
    given = options.parse_args()
    unread: list[str] = []
    results = []
    for found in patterns(unread):
        if given.only in found.where:
            results.append(worst(found))
            if len(results[-1].seconds) > 1:
                print(f"{results[-1].growth:.2f} {found.where} {results[-1].attack}", file=sys.stderr, flush=True)
    results.sort(key=lambda r: (r.growth, max(r.seconds.values())), reverse=True)
    print(f"{'growth':>7} {'10 kB':>9} {'100 kB':>9} {'1 MB':>9}  pattern")
    bad = 0
    for r in results:
        bad += r.growth > MOST
        if not given.all and len(r.seconds) < 2:
            continue
        if LARGE in r.seconds and r.seconds[LARGE] < 0.1 and r.growth <= MOST:
            attack = ast.literal_eval(r.attack)
            r.seconds[HUGE] = _seconds(run(r.found), _text(r.found, attack, HUGE))
        shown = " ".join(f"{r.seconds[n] * 1e3:7.1f}ms" if n in r.seconds else " " * 9 for n in (SMALL, LARGE, HUGE))
        how = "match" if r.found.anchored else "search"
        print(f"{r.growth:7.2f} {shown}  {r.found.where} {how} {str(r.found.pattern.pattern)[:60]!r} {r.attack[:70]}")
    print(f"{len(results)} patterns, {bad} above {MOST} times linear; {len(unread)} are made of what only a run knows")
    for where in unread:
        print("  ", where)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
