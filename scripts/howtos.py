"""The commands of the how-tos, as they stand in README, CONTRIBUTING and docs/; run as a script it pastes them into a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
LISTS = Path(__file__).with_suffix(".yaml")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.M | re.S)
SECONDS = 1800


@dataclass(frozen=True)
class Block:
    """A block of shell commands of a page.

    Attributes:
        line: of the first command.
        commands: as written, comments included; one may have several lines, and a line that ends with a backslash goes on.
    """

    page: str
    line: int
    commands: tuple[str, ...]


def blocks(root: Path = ROOT) -> Iterator[Block]:
    """All blocks of shell commands, also those that stand in a list."""
    for page in [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            if found["language"] in ("bash", "sh", "console"):
                lines = [line.removeprefix(found["indent"]) for line in found["body"].replace("\\\n", " ").splitlines()]
                at = text.count("\n", 0, found.start()) + 2
                yield Block(str(page.relative_to(root)), at, tuple(_whole([line for line in lines if line and not line.startswith("#")])))


def _whole(lines: list[str]) -> Iterator[str]:
    """Commands of one line or more: what bash finds unfinished goes on with the next line."""
    begun: list[str] = []
    for line in lines:
        begun.append(line)
        if subprocess.run(["bash", "-n", "-c", "\n".join(begun)], capture_output=True, check=False).returncode == 0:
            yield "\n".join(begun)
            begun = []
    yield from begun


class Lists:
    """What is not run, and what ends otherwise (`scripts/howtos.yaml`)."""

    def __init__(self, file: Path = LISTS) -> None:
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
        self.excluded: dict[str, dict[str, str]] = read["excluded"]
        self.exit_codes: dict[str, dict[str, tuple[int, str]]] = read["exit_codes"]

    def why_not(self, page: str, command: str) -> str:
        """Why a command is not run; empty if it is."""
        return next((why for start, why in self.excluded.get(page, {}).items() if command.startswith(start)), "")

    def allowed(self, page: str, command: str) -> set[int]:
        """Exit codes that a command may end with."""
        return {0, *(code for start, (code, _) in self.exit_codes.get(page, {}).items() if command.startswith(start))}


def run_block(block: Block, lists: Lists, cwd: Path, env: dict[str, str]) -> list[tuple[str, int, float, str]]:
    """(command, exit code, seconds, output) of each command that is not excluded, in one shell, since a later one may use a variable."""
    script = ["set -uo pipefail"]
    run = [c for c in block.commands if not lists.why_not(block.page, c)]
    for number, command in enumerate(run):
        script += [f"printf '\\036%s %s\\n' begin {number}", command, f"printf '\\036%s %s %s\\n' end {number} \"$?\""]
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    seconds = time.monotonic() - began
    results = []
    for number, command in enumerate(run):
        _, _, rest = done.stdout.partition(f"\x1ebegin {number}\n")
        output, _, end = rest.partition(f"\x1eend {number} ")
        code = int(end.split("\n", 1)[0]) if end else done.returncode or 255
        results.append((command, code, seconds / max(1, len(run)), output))
    return results


def environment(root: Path = ROOT) -> dict[str, str]:
    """As after `source .venv/bin/activate`, with no settings but those that a folder has."""
    env = {k: v for k, v in os.environ.items() if k != "HEADRACE_SETTINGS"}
    return env | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


def main(names: list[str]) -> int:
    """Run the pages; returns 1 if a command failed."""
    lists, failed, ran = Lists(), 0, 0
    for block in blocks():
        if names and Path(block.page).stem not in names:
            continue
        for command in block.commands:
            if why := lists.why_not(block.page, command):
                print(f"skip  {block.page}:{block.line}: {command}   ({why})")
        for command, code, seconds, output in run_block(block, lists, ROOT, environment()):
            good = code in lists.allowed(block.page, command)
            ran, failed = ran + 1, failed + (not good)
            print(f"{'ok  ' if good else 'FAIL'}  {block.page}:{block.line}: {command}   (exit {code}, {seconds:.1f} s)", flush=True)
            if not good:
                print("      " + "\n      ".join(output.splitlines()[-12:]))
    print(f"{ran} commands run, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
