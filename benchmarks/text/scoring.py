"""How an extraction is scored against its label: bags of tokens, and of four tokens in a row.

- *tokens*: words, and single characters of Chinese, Japanese and Korean; upper and lower case are one. Precision, recall and F1 of
  the two bags, a page; a corpus' figure is the mean over its pages (macro, as in Bevendorff et al. 2023).
- *shingles*: the same over bags of four tokens in a row, so that order counts (scrapinghub's article-extraction-benchmark).

Tokens that stand for structure (Markdown's marks) are not word characters, so they count for nobody.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_CJK = "\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
SHINGLE = 4


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1 of one page."""

    precision: float
    recall: float
    f1: float


def tokens(text: str) -> list[str]:
    """Words and characters."""
    return _TOKEN.findall(text.lower())


def score(extracted: list[str], label: list[str], size: int = 1) -> Score:
    """Compare bags of `size` tokens in a row."""
    mine, wanted = _bag(extracted, size), _bag(label, size)
    common = (mine & wanted).total()
    if not common:
        return Score(0.0, 0.0, 0.0)
    precision, recall = common / mine.total(), common / wanted.total()
    return Score(precision, recall, 2 * precision * recall / (precision + recall))


def _bag(words: list[str], size: int) -> Counter[tuple[str, ...]]:
    size = min(size, max(1, len(words)))
    return Counter(zip(*(words[i:] for i in range(size)), strict=False))
