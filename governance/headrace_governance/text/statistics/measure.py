"""The statistics of one text: what the rules of Gopher (quality and repetition) and FineWeb compare with their thresholds.

Each is computed as datatrove's filter of that name computes it, before any threshold; where a filter stops at the first broken
rule, all are computed here. Lines are three things, as in the filters: `splitlines` for quality, runs of line feeds for
repetition, single line feeds without blank lines for FineWeb.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headrace_governance.text.statistics.words import Words

TOP_N_GRAMS = (2, 3, 4)
DUPLICATE_N_GRAMS = (5, 6, 7, 8, 9, 10)
_TOPS, _DUPLICATES = np.array(TOP_N_GRAMS, np.int64), np.array(DUPLICATE_N_GRAMS, np.int64)

WORD_COLUMNS = ("words", "real_words", "real_word_characters", "alpha_words", "stop_words")
QUALITY_COLUMNS = ("hashes", "ellipses", "lines", "bullet_lines", "ellipsis_lines")
REPETITION_COLUMNS = (
    "paragraphs",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
    "line_runs",
    "duplicate_lines",
    "duplicate_line_characters",
    *(f"top_{n}_gram_characters" for n in TOP_N_GRAMS),
    *(f"duplicate_{n}_gram_characters" for n in DUPLICATE_N_GRAMS),
)
FINEWEB_COLUMNS = ("full_lines", "terminal_lines", "short_lines", "duplicate_full_line_characters", "line_feeds")
COLUMNS = ("characters", *WORD_COLUMNS, *QUALITY_COLUMNS, *REPETITION_COLUMNS, *FINEWEB_COLUMNS)


def measure(text: str, words: Words, stop_words: Sequence[str], short_line: int) -> list[int]:
    """The values of `COLUMNS`.

    Args:
        stop_words: how many different ones of these occur is counted.
        short_line: characters up to which a line is short.
    """
    numbers = words.of(text)
    return [
        len(text),
        *_words(numbers, words, stop_words),
        *_quality(text),
        *_repetition(text, numbers, words),
        *_fineweb(text, short_line),
    ]


def _words(numbers: npt.NDArray[np.int64], words: Words, stop_words: Sequence[str]) -> list[int]:
    from headrace_governance.text.statistics.kernels import word_statistics

    wanted = np.array([n for n in map(words.number, stop_words) if n >= 0], np.int64)
    real, characters, with_letter, present = word_statistics(numbers, words.lengths, words.symbols, words.alphas, wanted)
    return [len(numbers), int(real), int(characters), int(with_letter), int(present)]


def _quality(text: str) -> list[int]:
    lines = text.splitlines()
    ellipses = text.count("...") + text.count("…")
    bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines) if "•" in text or "-" in text else 0
    ends = sum(line.rstrip().endswith(("...", "…")) for line in lines) if ellipses else 0
    return [text.count("#"), ellipses, len(lines), bullets, ends]


def _repetition(text: str, numbers: npt.NDArray[np.int64], words: Words) -> list[int]:
    from headrace_governance.text.statistics.kernels import n_gram_statistics

    paragraphs = _paragraphs(text.strip())
    lines = _line_runs(text)
    grams = np.zeros(len(_TOPS) + len(_DUPLICATES), np.int64)
    n_gram_statistics(numbers, words.lengths, words.hashes, words.powers, words.inverses, _TOPS, _DUPLICATES, grams)
    return [len(paragraphs), *_duplicates(paragraphs), len(lines), *_duplicates(lines), *grams.tolist()]


def _fineweb(text: str, short_line: int) -> list[int]:
    from datatrove.utils.text import TERMINAL_PUNCTUATION

    lines = [line for line in text.split("\n") if line.strip()]
    # Every terminal mark is one character, so the last one of the line decides.
    terminal = sum(line[-1] in TERMINAL_PUNCTUATION for line in lines)
    return [len(lines), terminal, sum(len(line) <= short_line for line in lines), _duplicates(lines)[1], text.count("\n")]


def _paragraphs(stripped: str) -> list[str]:
    """`re.split` at two or more line feeds, of a text that neither begins nor ends with one."""
    if "\n\n" not in stripped:
        return [stripped]
    return [p.lstrip("\n") for p in stripped.split("\n\n") if p]


def _line_runs(text: str) -> list[str]:
    """`re.split` at runs of line feeds."""
    if not text:
        return [""]
    lines = [line for line in text.split("\n") if line]
    return [""] * text.startswith("\n") + lines + [""] * text.endswith("\n")


def _duplicates(units: list[str]) -> tuple[int, int]:
    """Units that occurred before, and their characters."""
    if len(set(units)) == len(units):
        return 0, 0
    seen: set[str] = set()
    repeated = characters = 0
    for unit in units:
        if unit in seen:
            repeated += 1
            characters += len(unit)
        else:
            seen.add(unit)
    return repeated, characters
