"""A search that begins near the end finds what a search from the start finds."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import settings as hyp
from hypothesis import strategies as st

from headrace_governance.text.statistics.from_the_end import search_from_the_end
from headrace_governance.text.statistics.tokenisers import tokenizer_for

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ru", "ar")
ENDS = st.sampled_from(
    [r"\.\.+", r"\.+", "…", r"(?<=[0-9])(?:km|kg)", "'s", r"(?<=[a-z])\.", "[,;]", "(?:ab)+", "x*y", "z{2,}", "(?<!a)b", "", r"\.*,?"]
)
TEXTS = st.text(st.sampled_from(".…,;'sabkmgxyz09\n"), max_size=14)


def same(pattern: re.Pattern[str], text: str) -> bool:
    here, there = search_from_the_end(pattern)(text), pattern.search(text)
    return (here and here.span()) == (there and there.span())


@hyp(max_examples=600, deadline=None)
@given(st.lists(ENDS, min_size=1, max_size=5), st.sampled_from([0, re.MULTILINE, re.IGNORECASE]), st.booleans(), TEXTS)
@example([r"\.\.+", "a"], 0, True, "ba..........\n")
@example([r"\.\.+", "a"], 0, True, "xxxxxxxxxxa\n")
def test_it_finds_what_a_search_from_the_start_finds(ends: list[str], flags: int, anchored: bool, text: str) -> None:
    assert same(re.compile("|".join(end + "$" * anchored for end in ends), flags), text)


@hyp(max_examples=600, deadline=None)
@given(st.sampled_from(LANGUAGES), st.text(st.sampled_from("ab9.…,;:!?'\"()[]«»$%€°²kmКм’s-–—/&"), max_size=16))
def test_the_same_for_the_tokenisers_of_the_pool(language: str, text: str) -> None:
    assert same(tokenizer_for(language).tokenizer.tokenizer.suffix_search.__self__, text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_their_ends_are_searched_from_the_end(language: str) -> None:
    pattern = tokenizer_for(language).tokenizer.tokenizer.suffix_search.__self__
    assert search_from_the_end(pattern) != pattern.search
