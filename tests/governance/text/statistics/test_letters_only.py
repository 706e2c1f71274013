"""What is said of a pattern must hold of every text of letters."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import settings as hyp
from hypothesis import strategies as st

from headrace_governance.text.statistics.letters_only import finds_nothing_in_letters
from headrace_governance.text.statistics.tokenisers import tokenizer_for

LETTERS = st.text(st.sampled_from("abzAßéιµжנक語ﬁ"), max_size=8)
ATOMS = st.sampled_from(
    ["a", "ß", "ι", r"\.", "-", "\u0345", "[a-c]", "[0-9]", "[.,!]", "[^a]", "[^.]", r"\d", r"\s", r"\w", r"\W", ".", "^", "$"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "?", "+", "{2}", "*?"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        st.tuples(st.sampled_from(["(?={})", "(?!{})", "(?>{})", "({})", "(?i:{})"]), inner).map(lambda pair: pair[0].format(pair[1])),
    ),
    max_leaves=8,
)


@hyp(max_examples=400, deadline=None)
@given(PATTERNS, st.sampled_from([0, re.IGNORECASE]), st.lists(LETTERS, min_size=5, max_size=5))
@example("\u0345", re.IGNORECASE, ["ι"])
@example("(?i:\u0345)", 0, ["ι"])
def test_where_the_answer_is_yes_no_text_of_letters_is_found_in(pattern: str, flags: int, texts: list[str]) -> None:
    compiled = re.compile(pattern, flags)
    if finds_nothing_in_letters(compiled):
        assert not any(compiled.search(text) for text in texts)


@pytest.mark.parametrize(
    ("pattern", "nothing"),
    [(r"[.,]+$", True), (r"(?<=[0-9])(?:km|m)$", True), (r"(?:km|m)$", False), (r"'s|’s", True), (r"'s|x", False), (r"(?:\.)?x", False)],
)
def test_the_answer_for_patterns_as_tokenisers_have_them(pattern: str, nothing: bool) -> None:
    assert finds_nothing_in_letters(re.compile(pattern)) is nothing


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "pt", "ru", "ar"])
def test_the_tokenisers_of_the_pool_leave_plain_words_whole(language: str) -> None:
    tokenizer = tokenizer_for(language).tokenizer.tokenizer
    for search in (tokenizer.prefix_search, tokenizer.suffix_search, tokenizer.infix_finditer):
        assert finds_nothing_in_letters(search.__self__)
