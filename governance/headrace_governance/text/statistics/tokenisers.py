"""Word tokenisers, datatrove's own, chosen the same way on every machine."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headrace_governance.text.spacy_import import import_spacy
from headrace_governance.text.statistics.segmenter import import_jieba

if TYPE_CHECKING:
    from headrace_governance.text.statistics.words import Words

_NAMES = {
    "ar": "arb_Arab",
    "ca": "cat_Latn",
    "cs": "ces_Latn",
    "da": "dan_Latn",
    "de": "deu_Latn",
    "el": "ell_Grek",
    "en": "eng_Latn",
    "es": "spa_Latn",
    "fa": "fas_Arab",
    "fi": "fin_Latn",
    "fr": "fra_Latn",
    "hi": "hin_Deva",
    "hr": "hrv_Latn",
    "hu": "hun_Latn",
    "id": "ind_Latn",
    "it": "ita_Latn",
    "ja": "jpn_Jpan",
    "ko": "kor_Hang",
    "nl": "nld_Latn",
    "no": "nob_Latn",
    "pl": "pol_Latn",
    "pt": "por_Latn",
    "ro": "ron_Latn",
    "ru": "rus_Cyrl",
    "sv": "swe_Latn",
    "tr": "tur_Latn",
    "uk": "ukr_Cyrl",
    "zh": "cmn_Hani",
}
"""lid.176's code → FineWeb-2's name. By the two letters alone datatrove would split Chinese at spaces and Hindi as Kurdish."""
KIWI_MODEL = "cong"
"""Korean model that kiwipiepy ships since 0.22; datatrove asks for `sbg`, which it no longer ships."""


def tokenizer_for(language: str) -> Any:
    """A datatrove word tokeniser for an ISO 639-1 code.

    Languages outside the table get spaCy's language-neutral one: many of their own would need a download or a package
    outside our lock, and the choice must depend on the language alone, never on what happens to be installed.
    """
    return _tokenizer(language if language in _NAMES else "xx")


@lru_cache(maxsize=256)
def _tokenizer(language: str) -> Any:
    import_spacy()
    from datatrove.utils import word_tokenizers
    from datatrove.utils.word_tokenizers import KiwiTokenizer, SpaCyTokenizer, load_word_tokenizer

    # datatrove reads the metadata of every installed package to see whether spaCy and jieba are there, a second for each of the two in
    # each process (0.10.1); the lock installs them, and their import says what is wrong where it did not.
    word_tokenizers.check_required_dependencies = lambda step_name, required_dependencies: None
    if language == "zh":
        import_jieba()  # spaCy's tokeniser has it read its dictionary
    if language == "ko":
        return KiwiTokenizer(KIWI_MODEL)
    return SpaCyTokenizer("xx") if language == "xx" else load_word_tokenizer(_NAMES[language])


def words_of(language: str) -> Words:
    """The words of a language as numbers, for statistics; one memory a process and language."""
    return _words(language if language in _NAMES else "xx")


@lru_cache(maxsize=256)
def _words(language: str) -> Words:
    from headrace_governance.text.statistics.words import kind_of

    tokenizer = _tokenizer(language)
    return kind_of(language, tokenizer)(tokenizer)
