"""Rates and lengths of time as progress lines say them."""

from __future__ import annotations

import pytest

from headrace_lake.terminal.progress import duration, number


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (12.345, "12.3"), (99.94, "99.9"), (100.4, "100"), (1234.5, "1,234"), (2e6, "2,000,000")]
)
def test_a_rate_shows_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(98.4, "98 s"), (99, "2 min"), (98.4 * 60, "98 min"), (99 * 60, "1 h 39 min")])
def test_a_length_of_time_changes_its_unit_at_99(seconds: float, text: str) -> None:
    assert duration(seconds) == text
