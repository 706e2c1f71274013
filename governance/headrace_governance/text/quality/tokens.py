"""Words of a text for quality models: the same at training and at scoring, or the score means nothing.

For features only, the text is folded: NFKC (full width to half width), lower case, every digit to 0 so that no number is learnt by
heart. Spaced languages are cut at word characters and single marks; Chinese by jieba (`statistics.segmenter`). A line of the text is a
line of words. Layout is not a feature: line breaks, indentation and length of lines are the rule filters' business.

Speed: 18 MB/s English, 4.6 MB/s Chinese a core (benchmarks/text/bench_quality.py).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

TOKENS = "folded-words-1"
"""Name of this way of cutting; a model carries it, and another's model is refused."""

_DIGITS = {ord(c): "0" for c in "123456789"}
_WORDS = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class Tokens:
    """Cuts texts of one language."""

    def __init__(self, language: str) -> None:
        self._chinese = language == "zh"
        if self._chinese:
            from headrace_governance.text.statistics.segmenter import Segmenter

            self._segmenter = Segmenter()

    def lines(self, text: str) -> list[str]:
        """Each line that has words, as words with a space between."""
        folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
        folded = folded.lower().translate(_DIGITS)
        cut = self._chinese_line if self._chinese else _spaced_line
        return [words for line in folded.splitlines() if (words := cut(line))]

    def _chinese_line(self, line: str) -> str:
        return " ".join(self._segmenter.cut(line))


def _spaced_line(line: str) -> str:
    return " ".join(_WORDS.findall(line))


@lru_cache(maxsize=32)
def tokens_of(language: str) -> Tokens:
    """The cutter of a language, one a process: jieba's dictionary takes a second to load."""
    return Tokens(language)
