"""What `headrace poc` says of a run's tasks: words that never go backwards, and a note that the next command can tell at once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace_operators.poc.note import NoteFile
from headrace_operators.poc.report import task_times
from headrace_operators.poc.states import TaskWords, active, duration, since, took


def task(state: str | None, *, attempt: int = 1, name: str = "train", **times: str) -> dict[str, Any]:
    return {"task_id": name, "state": state, "try_number": attempt, **times}


def told(words: TaskWords, *states: str | None, attempt: int = 1) -> list[str]:
    """The different words, one after the other."""
    found = [words.word(task(state, attempt=attempt)) for state in states]
    return [word for i, word in enumerate(found) if i == 0 or word != found[i - 1]]


LIFE = (None, "scheduled", "queued", "running", "deferred", "scheduled", "queued", "running", "success")


def test_a_task_that_comes_back_from_ray_is_finishing_and_never_starts_again() -> None:
    assert told(TaskWords(), *LIFE) == ["", "queued", "starting", "running on Ray", "finishing", "success"]


def test_states_that_were_missed_between_two_looks_change_nothing() -> None:
    assert told(TaskWords(), "queued", "deferred", "running", "success") == ["queued", "running on Ray", "finishing", "success"]
    assert told(TaskWords(), "running", "deferred", "success") == ["starting", "running on Ray", "success"]


def test_a_second_attempt_starts_and_says_that_it_is_one() -> None:
    words = TaskWords()
    told(words, *LIFE[:-1])
    assert told(words, "up_for_retry") == ["failed, will be tried again"]
    second = told(words, "queued", "running", "deferred", "running", "success", attempt=2)
    assert second == ["queued (attempt 2)", "starting (attempt 2)", "running on Ray (attempt 2)", "finishing (attempt 2)", "success"]


@pytest.mark.parametrize(("job_ended", "expected"), [(True, "finishing"), (False, "starting")])
def test_a_task_first_seen_while_its_process_runs_is_told_by_its_remote_job(job_ended: bool, expected: str) -> None:
    asked: list[str] = []

    def came_back(name: str) -> bool:
        asked.append(name)
        return job_ended

    words = TaskWords(came_back)
    assert told(words, "running", "running", "running") == [expected]
    assert asked == ["train"], "asked once, not at every look"


def test_a_human_s_gate_waits_and_then_finishes() -> None:
    assert told(TaskWords(), "running", "awaiting_input", "queued", "running", "success") == [
        "starting",
        "waiting for a human",
        "finishing",
        "success",
    ]


def test_only_tasks_that_have_begun_and_not_ended_are_waited_for() -> None:
    began = {"start_date": "2026-11-29T10:00:00Z"}
    tasks = [
        task("success", **began),
        task("deferred", **began, name="b"),
        task("queued", name="c"),
        task("up_for_retry", **began, name="d"),
    ]
    assert [t["task_id"] for t in active(tasks)] == ["b", "d"]


def test_times_are_told_in_units_of_their_size() -> None:
    now = datetime(2026, 11, 29, 10, 1, 35, tzinfo=UTC)
    assert since(task("deferred", start_date="2026-11-29T10:00:00.500000Z"), now) == "for 94 s, since 10:00:00 UTC"
    assert since(task("queued")) == "" and took(task("deferred", start_date="2026-11-29T10:00:00Z")) == ""
    assert took(task("success", start_date="2026-11-29T10:00:00+00:00", end_date="2026-11-29T10:00:16.25+00:00")) == " (16.2 s)"
    assert [duration(s) for s in (-1, 119.6, 150, 7199, 12_240)] == ["0 s", "120 s", "2 min", "120 min", "3.4 h"]


def test_the_report_says_what_each_task_took_in_the_order_in_which_they_began() -> None:
    train = task("success", start_date="2026-11-29T10:00:30Z", end_date="2026-11-29T10:04:24Z")
    crawl = task("success", name="crawl_1", start_date="2026-11-29T10:00:00Z", end_date="2026-11-29T10:00:27.4Z")
    assert task_times([train, crawl, task("deferred", name="gate", start_date="2026-11-29T10:05:00Z"), task(None, name="verify")]) == (
        "crawl_1 27 s, train 3.9 min"
    )


def test_the_note_of_a_folder_is_told_again_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    note = NoteFile(tmp_path)
    assert note.read() is None
    note.write("manual__1", {"train": "running on Ray for 95 s, since 10:01:03 UTC"})
    found = NoteFile(tmp_path).read()
    assert found is not None and found.run_id == "manual__1"
    assert found.line.startswith("run manual__1 had not ended when last looked at, ")
    assert found.line.endswith("UTC: train running on Ray for 95 s, since 10:01:03 UTC")
    note.write("manual__2", {})
    assert (again := note.read()) is not None and again.line.endswith("no task begun")
    for damaged in ("", "{", "[]", '{"run_id": "x"}', '{"run_id": "x", "seen_at": "t", "doing": 3}'):
        note.file.write_text(damaged)
        assert note.read() is None, damaged
    note.forget()
    note.forget()
    assert not note.file.exists()
