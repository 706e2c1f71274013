"""Completion is installed for a shell that is found or named; where neither can be, the message names the shells and how to say one."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from headrace_cli import main


@pytest.mark.parametrize(
    ("words", "login", "code", "said"),
    [
        ([], "/usr/bin/zsh", 0, "compdef"),
        (["fish"], "/usr/bin/zsh", 0, "complete --command headrace"),
        (
            [],
            "/bin/ksh",
            2,
            "Which shell this is cannot be told. Name one of bash, zsh, fish, powershell, pwsh: 'headrace --show-completion bash'",
        ),
        (["ksh"], "/usr/bin/zsh", 2, "'ksh' is no shell that is known"),
    ],
)
def test_where_no_shell_runs_the_command_it_is_the_one_that_is_named_or_logged_in_with(
    words: list[str], login: str, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: None)
    monkeypatch.setenv("SHELL", login)
    done = CliRunner().invoke(main.app, ["--show-completion", *words], prog_name="headrace")
    assert done.exit_code == code and said in done.output, done.output
