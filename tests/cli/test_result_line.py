"""The command line as programs see it: exit codes, one-line errors, and the result line that operators read from a job's log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from headrace_lake.settings import load_settings
from headrace_lake.terminal.console import RESULT_PREFIX, emit_result, want_result


def _headrace(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace_cli", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def test_the_result_line_appears_only_if_it_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    want_result(False)
    emit_result({"rows": 1})
    assert capsys.readouterr().out == ""
    want_result(True)
    emit_result({"rows": 1, "text": "字"})
    want_result(False)
    assert capsys.readouterr().out == RESULT_PREFIX + '{"rows": 1, "text": "字"}\n'


@pytest.mark.parametrize("words", [["no-such-command"], ["doctor", "--no-such-option"], ["table", "show"]])
def test_a_wrong_word_exits_2_without_a_traceback(words: list[str], tmp_path: Path) -> None:
    done = _headrace(tmp_path, *words)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_an_unknown_key_is_one_line_with_the_nearest_key(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text("lake: {rot: here}\n", encoding="utf-8")
    done = _headrace(tmp_path, "doctor")
    assert done.returncode == 2
    assert done.stderr == f"headrace: {tmp_path / 'headrace.yaml'}: unknown key 'lake.rot'. did you mean 'root'?\n"


def test_a_process_that_somebody_else_starts_finds_its_settings_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "elsewhere.yaml"
    file.write_text("runs: somewhere\n", encoding="utf-8")
    monkeypatch.setenv("HEADRACE_SETTINGS", str(file))
    assert load_settings().resolve(load_settings().runs) == tmp_path / "somewhere"


def test_a_command_that_says_no_hands_its_exit_code_on(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text("ray: {address: nonsense}\n", encoding="utf-8")
    assert _headrace(tmp_path, "doctor").returncode == 2
