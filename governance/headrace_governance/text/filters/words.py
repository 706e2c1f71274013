"""Word tokenisers for datatrove's filters, chosen the same way on every machine, each document split once.

datatrove splits a document again in every filter, and splitting is most of a filter's time. Its filters accept a
tokeniser object in place of a language, so all of them are given one that remembers. The memory holds words joined in
one string (about the text's own size), up to `MEMORY_CHARACTERS`, oldest out first; it changes speed, never a verdict.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import Any

MEMORY_CHARACTERS = 32_000_000
"""At most 128 MB: four bytes a character in the worst case."""
_BORDER = "\ue000"
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
    """A datatrove word tokeniser for an ISO 639-1 code, remembering what it split.

    Languages outside the table get spaCy's language-neutral one: many of their own would need a download or a package
    outside our lock, and the choice must depend on the language alone, never on what happens to be installed.
    """
    return _tokenizer(language if language in _NAMES else "xx")


@lru_cache(maxsize=256)
def _tokenizer(language: str) -> Any:
    from datatrove.utils.word_tokenizers import KiwiTokenizer, SpaCyTokenizer, WordTokenizer, load_word_tokenizer

    inner: Any = (
        KiwiTokenizer(KIWI_MODEL)
        if language == "ko"
        else SpaCyTokenizer("xx")
        if language == "xx"
        else load_word_tokenizer(_NAMES[language])
    )

    class Remembering(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return _memory().words(language, text, inner)

        def sent_tokenize(self, text: str) -> list[str]:
            sentences: list[str] = inner.sent_tokenize(text)
            return sentences

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            spans: list[tuple[int, int]] = list(inner.span_tokenize(text))
            return spans

    return Remembering(language)


class _Memory:
    def __init__(self) -> None:
        self._joined: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._characters = 0

    def words(self, language: str, text: str, inner: Any) -> list[str]:
        from headrace_lake.fingerprint import digest_bytes

        key = (language, digest_bytes(text.encode("utf-8", errors="surrogatepass")))
        found = self._joined.get(key)
        if found is not None:
            self._joined.move_to_end(key)
            return found.split(_BORDER) if found else []
        words: list[str] = inner.word_tokenize(text)
        if words and _BORDER not in text and len(text) <= MEMORY_CHARACTERS // 16:
            joined = _BORDER.join(words)
            self._joined[key] = joined
            self._characters += len(joined)
            while self._characters > MEMORY_CHARACTERS:
                self._characters -= len(self._joined.popitem(last=False)[1])
        return words


@lru_cache(maxsize=1)
def _memory() -> _Memory:
    return _Memory()
