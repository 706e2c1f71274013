"""What a command says when a signal ends it."""

from __future__ import annotations

import signal

import pytest

from headrace_lake.terminal.interrupt import says_what_stays


@pytest.mark.parametrize(
    ("raised", "name"),
    [(KeyboardInterrupt(), "SIGINT"), (SystemExit(128 + signal.SIGTERM), "SIGTERM"), (SystemExit(128 + signal.SIGINT), "SIGINT")],
)
def test_an_end_by_a_signal_says_once_what_stays(raised: BaseException, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(raised)), says_what_stays(lambda: "3 of 8 slices are committed"):
        raise raised
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"headrace: {name}: 3 of 8 slices are committed. Go on with: ")


@pytest.mark.parametrize("raised", [SystemExit(0), SystemExit(1), SystemExit("no"), SystemExit(128), ValueError("x")])
def test_any_other_end_says_nothing(raised: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(raised)), says_what_stays(lambda: "never asked"):
        raise raised
    assert capsys.readouterr().err == ""
