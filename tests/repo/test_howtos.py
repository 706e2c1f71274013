"""Every command of every how-to runs as written: here in a fresh clone, and by `scripts/howtos` straight after `make poc`."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from headrace_cli.main import app, build
from headrace_lake.errors import HeadraceError
from headrace_lake.settings import SETTINGS_ENV

PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_/]{3,}\b")


@pytest.fixture(scope="module")
def howtos(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("howtos", checkout / "scripts" / "howtos.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["howtos"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fresh_clone(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What git holds of the checkout, and nothing that was made in it."""
    for entry in checkout.iterdir():
        if entry.name != "var" and not entry.name.startswith("."):
            (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(SETTINGS_ENV, raising=False)
    return tmp_path


def test_no_command_needs_a_word_filled_in_unless_it_is_listed_with_the_reason(howtos: ModuleType, checkout: Path) -> None:
    lists = howtos.Lists()
    commands = [(b.page, c) for b in howtos.blocks(checkout) for c in b.commands]
    assert len(commands) > 60 and {p for p, _ in commands} > {"README.md", "docs/gate.md", "docs/tune-a-filter.md"}
    for page, command in commands:
        bare = re.sub(r"'[^']*'|\$\w+|\w+=|-X [A-Z]+", "", command.partition(" #")[0])
        assert lists.why_not(page, command) or not PLACEHOLDER.search(bare), f"{page}: {command}"


def test_what_is_listed_as_not_run_is_a_command_of_its_page(howtos: ModuleType, checkout: Path) -> None:
    lists = howtos.Lists()
    for listed in (lists.excluded, lists.exit_codes):
        for page, starts in listed.items():
            commands = [c for b in howtos.blocks(checkout) if b.page == page for c in b.commands]
            for start in starts:
                assert any(c.startswith(start) for c in commands), f"{page}: {start}"
    assert all(len(why) > 10 for starts in lists.excluded.values() for why in starts.values())
    for starts in lists.exit_codes.values():  # a comma in a reason without quotes makes it two
        assert all(isinstance(code, int) and len(why) > 10 for code, why in starts.values())


def test_in_a_fresh_clone_a_command_that_reads_the_lake_says_what_to_do_first_and_the_others_run(
    howtos: ModuleType, fresh_clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))  # `--install-completion` writes into the shell's own files
    monkeypatch.setenv("SHELL", "/bin/bash")  # whoever started the tests
    lists, build_app = howtos.Lists(), build()
    assert build_app is app
    told = ran = 0
    for page, command in dict.fromkeys((b.page, c) for b in howtos.blocks(fresh_clone) for c in b.commands):
        line = command.partition(" #")[0].strip()
        if lists.why_not(page, command) or not line.startswith("headrace ") or "$" in line or line.startswith("headrace crawl"):
            continue  # what asks the shell for a name needs what the lake holds; a crawl needs the sample site
        words = shlex.split(line)[1:]
        if "edited.yaml" in line or "mmlu" in line:
            continue  # the line before it makes that file in the shell
        result = CliRunner().invoke(app, words)
        if isinstance(result.exception, HeadraceError):
            error = str(result.exception)
            if line.startswith(("headrace backfill", "headrace jobs")):
                assert "headrace services up" in error, f"{page}: {line}: {error}"
                continue
            assert error.startswith(f"no lake at {fresh_clone}/var/poc/lake (defaults: "), f"{page}: {line}: {error}"
            assert "'make poc' or 'headrace crawl SOURCE/INTERVAL' starts one" in error
            told += 1
        else:
            assert result.exit_code == 0, f"{page}: {line}: {result.output[-500:]}"
            ran += 1
    assert told > 30 and ran >= 1
    assert not (fresh_clone / "var").exists(), "reading made nothing"


def test_commands_are_pasted_into_one_shell_and_each_exit_code_is_seen(howtos: ModuleType, tmp_path: Path) -> None:
    block = howtos.Block("README.md", 1, ("NAME=there", 'echo "hello $NAME"', "false", "echo '{\"a\": 1}' | grep -c a  # one"))
    results = howtos.run_block(block, howtos.Lists(), tmp_path, howtos.environment())
    assert [(code, output.strip()) for _, code, _, output in results] == [(0, ""), (0, "hello there"), (1, ""), (0, "1")]
