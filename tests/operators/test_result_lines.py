"""The result line of a command: whatever its strings hold, it is one line for every reader, and it is read back whole."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_lake.lines import data_lines, last_line
from headrace_lake.terminal.console import result_line
from headrace_operators.launchers import Job, JobSpec, Owner, error_line, last_words, result_of
from headrace_operators.launchers.ray import RayLauncher

SEPARATORS = {"line separator": "\u2028", "paragraph separator": "\u2029", "next line": "\x85"}
"""What may stand raw in a JSON string (RFC 8259) and is a line's end to `str.splitlines`. Control characters may not: JSON escapes them."""


@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS)
def test_a_result_line_with_a_raw_separator_is_read_whole(separator: str) -> None:
    line = 'HEADRACE_RESULT {"text": "a' + separator + 'b", "n": 1}'
    assert result_of("line\n" + line + "\n") == {"text": f"a{separator}b", "n": 1}
    assert result_of("line\r\n" + line + "\r\n") == {"text": f"a{separator}b", "n": 1}, "written on a system that ends lines with CR LF"


@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS)
def test_a_line_of_output_that_only_seems_to_begin_within_another_is_no_result(separator: str) -> None:
    fake = f'said: {separator}HEADRACE_RESULT {{"n": 2}}\n'
    assert result_of('HEADRACE_RESULT {"n": 1}\n' + fake) == {"n": 1}
    assert error_line(f"Error: no such file 'a{separator}b'\n") == f"Error: no such file 'a{separator}b'"


@given(st.dictionaries(st.text(), st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4))
def test_any_result_is_one_line_for_every_reader_and_comes_back_as_it_was(result: dict[str, str]) -> None:
    line = result_line(result)
    assert line.splitlines() == [line]
    assert result_of(f"before\n{line}\n") == result


def test_texts_stay_readable_in_the_result_line() -> None:
    assert result_line({"title": "数据\u2028€"}) == 'HEADRACE_RESULT {"title": "数据\\u2028€"}'


def test_only_lf_ends_a_line_of_data() -> None:
    odd = "a\x0bb\x0cc\x1cd\x1ee\x85f\u2028g\u2029h\ri"
    assert data_lines(f"{odd}\r\n\nlast") == [odd, "", "last"]
    assert data_lines("") == [] and data_lines("x\n") == ["x"]
    assert last_line("first\nthe last\u2028goes on\n\n") == "the last\u2028goes on" and last_line(" \n", "nothing") == "nothing"
    assert last_words('step 3\n\nHEADRACE_RESULT {"n": 1}\n') == "step 3"
    assert last_words("Running entrypoint for job headrace-1: python -m x\n") == "", "Ray's own line is no word of the command"
    assert last_words("2026-11-29 11:31:01,349\tINFO job_manager.py:581 -- Runtime env is setting up.\n") == ""


def test_a_job_on_ray_that_prints_separators_has_its_lines_and_its_result_whole(jobs: RayLauncher) -> None:
    printed = ["one\u2028line", "another\x85one\u2029still"]
    result = {"text": "a\u2028b\x85c"}
    raw = "HEADRACE_RESULT " + json.dumps(result, ensure_ascii=False)
    code = f"import sys; sys.stdout.reconfigure(encoding='utf-8'); print('\\n'.join({[*printed, raw]!r}))"
    request = JobSpec(["python", "-c", code], {"test": uuid.uuid4().hex})
    sid = jobs.ensure(request, Owner("d", "r", "t", generation=0, user="alice")).job.submission_id

    async def followed() -> list[str]:
        return [item async for item in jobs.follow(sid, poll_s=0.3) if not isinstance(item, Job)]

    lines = asyncio.run(followed())
    # Ray writes lines of its own into a job's log, and on a busy machine between those of the job.
    assert [line for line in lines if " -- " not in line and not line.startswith("Running entrypoint")] == [*printed, raw]
    assert any(line.startswith("Running entrypoint for job") for line in lines)
    assert result_of(jobs.logs(sid)) == result
