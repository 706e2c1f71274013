"""README, CONTRIBUTING and docs/ stay true: links lead somewhere, commands and make targets exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from headrace_cli.main import build

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)


def _pages(checkout: Path) -> list[Path]:
    named = [checkout / "README.md", checkout / "CONTRIBUTING.md"]
    folders = list(checkout.glob("*/README.md"))
    return [*named, *sorted((checkout / "docs").glob("*.md")), *sorted(folders)]


def _shell_lines(page: Path) -> Iterator[str]:
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("bash", "sh", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                yield line.removeprefix("$ ").split(" #")[0].strip()


def test_every_relative_link_leads_to_a_file(checkout: Path) -> None:
    broken = []
    for page in _pages(checkout):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(checkout)}: {target}")
    assert broken == []


def test_every_make_target_that_is_named_exists(checkout: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (checkout / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in _pages(checkout):
        named = set(re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")))
        named |= {m[1] for line in _shell_lines(page) if (m := re.match(r"make ([a-z-]+)", line))}
        assert named <= targets, page.name


def test_the_table_of_dags_lists_the_dags_that_exist(checkout: Path) -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (checkout / "docs/trigger.md").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(f.stem for f in (checkout / "dags").glob("*.py"))


def test_every_headrace_command_that_is_shown_exists_with_its_options(checkout: Path) -> None:
    root = typer.main.get_command(build())
    wrong = []
    for page in _pages(checkout):
        for line in _shell_lines(page):
            line = re.sub(r"^(?:\w+=\S+ )+|^\.venv/bin/", "", line)
            line = line.removesuffix("&").strip()
            if line.startswith("headrace ") and (problem := _problem(root, shlex.split(line)[1:])):
                wrong.append(f"{page.relative_to(checkout)}: {line}: {problem}")
    assert wrong == []


def _problem(command: click.Command, words: list[str]) -> str:
    """What is wrong with a command line, without running it; what follows `--` is a command line of its own (`jobs plan`)."""
    if "--" in words:
        words, inner = words[: words.index("--")], words[words.index("--") + 1 :]
        if problem := _problem(command, inner):
            return problem
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return ""
        if words[0] not in command.commands:
            return f"no command '{words[0]}'"
        command, words = command.commands[words[0]], words[1:]
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    unknown = [w for w in words if w.startswith("--") and w.split("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown else ""


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_front_pages_are_short_enough_to_read(checkout: Path, page: str) -> None:
    assert (checkout / page).read_text(encoding="utf-8").count("\n") <= 260
