"""A run says early how long it will take and why, then at bounded intervals how far it is."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from headrace_jobs.model.precision import Measured, decide
from headrace_jobs.trainer import progress
from headrace_jobs.trainer.observer import StepRecord
from headrace_jobs.trainer.pace import Pace, causes, duration, estimate
from headrace_jobs.trainer.segment import Segment, changes, joined

GOOD, SLOW = Measured(shape="x", fp32=90, bf16=280), Measured(shape="x", fp32=96, bf16=7)


def _segment(**more: Any) -> Segment:
    kept = {"processor": "EPYC", "capability": "AVX2", "threads": 2, "processes": 1}
    return Segment(**{"layers": decide("layers", "fp32", GOOD), "softmax": decide("softmax", "auto", SLOW), **kept, **more})


def _record(step: int, seconds: float = 0.5, tokens: int = 1000) -> StepRecord:
    return StepRecord(step, 7.25, 1e-3, 0.5, tokens, step * tokens, tokens / seconds, seconds, "A")


def _run(records: Sequence[StepRecord], *, terminal: bool = False, segment: Segment | None = None, **options: Any) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200)
    shown = progress.Progress("tiny", **{"total_tokens": 400_000, "log_every": 10, **options}, console=console)
    shown.started(0, None, (segment or _segment(),))
    for record in records:
        shown.stepped(record)
    shown.stop()
    return out.getvalue()


def test_after_four_steps_it_says_how_long_the_rest_takes_and_at_what_speed() -> None:
    said = _run([_record(1, seconds=9), *(_record(i) for i in range(2, 30))])
    lines = [line for line in said.splitlines() if "to go at this speed" in line]
    # 396,000 tokens are left at 2,000 tokens/s: the slow first step does not count.
    assert len(lines) == 1 and lines[0].startswith("about 3 min to go at this speed (2,000 tokens/s on 2 thread(s), softmax in fp32)")
    assert said.index("to go at this speed") < said.index("step 10 ")


def test_a_slow_run_says_it_after_its_first_steps_and_names_the_emulated_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EARLY_SECONDS", 0.0)
    segment = _segment(softmax=decide("softmax", "bf16", SLOW), threads=1)
    said = _run([_record(1, seconds=40, tokens=1000)], segment=segment)
    assert "about 4 h 26 min to go at this speed (25 tokens/s on 1 thread(s), softmax in bf16)" in said
    assert (
        "Slow because the model asks for bf16 for its softmax, which takes 14 times as long as fp32" in said and "it has one core" in said
    )


def test_the_start_names_precision_figures_threads_and_processor_and_warns() -> None:
    said = _run([], segment=_segment(softmax=decide("softmax", "bf16", SLOW)))
    assert "precision: layers fp32, softmax bf16; 2 thread(s) x 1 process(es) on EPYC (AVX2)" in said
    assert "bf16 7.0 GFLOP/s, fp32 96 GFLOP/s" in said and "warning: the model asks for bf16 for its softmax" in said


def test_log_lines_carry_step_loss_speed_and_time_left_ten_steps_apart() -> None:
    said = _run([_record(i) for i in range(1, 41)])
    steps = re.findall(r"^step (\d+) \(\d+%\) phase A loss 7\.2500 2,000 tokens/s", said, re.MULTILINE)
    assert steps == ["1", "10", "20", "30", "40"] and "2 min left" not in said.splitlines()[4]
    assert "3 min left, gradient 0.50, lr 1.00e-03" in said


def test_slow_steps_are_logged_by_time_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    shown = progress.Progress("tiny", total_tokens=400_000, log_every=1000, console=Console(file=out, width=200))
    shown.started(0, None, (_segment(),))
    for step in range(1, 9):
        now[0] += 20
        shown.stepped(_record(step, seconds=20))
    assert re.findall(r"^step (\d+) \(", out.getvalue(), re.MULTILINE) == ["1", "3", "5", "7"]


def test_a_terminal_gets_a_bar_with_the_same_figures() -> None:
    said = _run([_record(i) for i in range(1, 30)], terminal=True)
    assert re.search(r"step 29 loss 7\.2500 2,000 tokens/s, 3 min left", said) and "7 %" in said and "━" in said


def test_a_step_limit_ends_the_estimate_before_the_tokens_do() -> None:
    pace = Pace(total_tokens=400_000, last_step=20)
    for _ in range(10):
        pace.stepped(1000, 0.5)
    assert pace.seconds_left(step=10, total_tokens=10_000) == pytest.approx(5.0)
    assert Pace(total_tokens=400_000).seconds_left(step=0, total_tokens=0) == 0.0
    assert pace.seconds_left(step=25, total_tokens=25_000) == 0.0


def test_other_programs_on_the_cores_are_named_and_a_gpu_has_no_core_count() -> None:
    assert causes(_segment(), 1.0) == []
    assert causes(_segment(), 0.4) == ["it gets 40% of the time of its 2 thread(s): other programs run here"]
    assert causes(_segment(capability="CUDA", threads=1), 0.1) == []
    pace = Pace(total_tokens=1_000_000)
    pace.stepped(1000, 0.1)
    assert (
        estimate(pace, _segment(capability="CUDA"), 0.1, step=1, total_tokens=1000) == "about 2 min to go at this speed (10,000 tokens/s)"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "60 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3600, "60 min"),
        (6060, "1 h 41 min"),
        (3 * 3600, "3 h"),
        (2e7, "231 days 12 h"),
    ],
)
def test_a_length_of_time_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_launch_that_left_no_step_of_its_own_is_no_segment_and_changes_are_named() -> None:
    first, again = _segment(softmax=decide("softmax", "auto", GOOD)), _segment()
    resumed = joined((first,), again, step=100)
    assert [s.after_step for s in resumed] == [0, 100]
    assert [s.after_step for s in joined(resumed, again, step=100)] == [0, 100]
    [line] = changes(resumed)
    assert line.startswith("precision of the softmax changes after step 100: bf16 to fp32, since fp32 is 14 times as fast")
    assert list(changes(joined((first,), first, step=50))) == []


def test_a_run_that_goes_on_says_from_where_and_what_changed() -> None:
    out = io.StringIO()
    shown = progress.Progress("tiny", total_tokens=1000, log_every=10, console=Console(file=out, width=300))
    segments = joined((_segment(softmax=decide("softmax", "auto", GOOD)),), _segment(), step=100)
    shown.started(100, Path("step-00000100"), segments, ("softmax: a note",))
    assert "after step 100, from step-00000100" in out.getvalue() and "softmax: a note" in out.getvalue()
    assert "precision of the softmax changes after step 100: bf16 to fp32" in out.getvalue()
