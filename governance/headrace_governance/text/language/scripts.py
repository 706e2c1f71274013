"""Which script a text is written in (ISO 15924), and whether its Chinese is simplified or traditional.

A letter's script is told by its Unicode name or block. Simplified and traditional are told by characters that only one of both has:
OpenCC (BYVoid, Apache-2.0, https://github.com/BYVoid/OpenCC) converts the character to another one, and the other side's old
national standard does not know it (Big5 for Taiwan, GB 2312 for the mainland). So 后, 里 and 台, which both write, count for neither.

Speed: one compiled pass over the bytes; the tables are made once a process in about 1 s.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace_lake.errors import ConfigError

_NAMES = {
    "ADLAM": "Adlm", "ARABIC": "Arab", "ARMENIAN": "Armn", "BENGALI": "Beng", "BOPOMOFO": "Bopo", "CANADIAN": "Cans",
    "CHEROKEE": "Cher", "CJK": "Hani", "COPTIC": "Copt", "CYRILLIC": "Cyrl", "DEVANAGARI": "Deva", "ETHIOPIC": "Ethi",
    "GEORGIAN": "Geor", "GREEK": "Grek", "GUJARATI": "Gujr", "GURMUKHI": "Guru", "HANGUL": "Hang", "HEBREW": "Hebr",
    "HENTAIGANA": "Hira", "HIRAGANA": "Hira", "KANNADA": "Knda", "KATAKANA": "Kana", "KHMER": "Khmr", "LAO": "Laoo", "LATIN": "Latn",
    "MALAYALAM": "Mlym", "MONGOLIAN": "Mong", "MYANMAR": "Mymr", "NKO": "Nkoo", "ORIYA": "Orya", "SINHALA": "Sinh",
    "SYRIAC": "Syrc", "TAMIL": "Taml", "TELUGU": "Telu", "THAANA": "Thaa", "THAI": "Thai", "TIBETAN": "Tibt", "TIFINAGH": "Tfng",
    "YI": "Yiii",
}  # fmt: skip
"""First word of a letter's Unicode name → script."""
OTHER, NONE = "Zzzz", "Zyyy"
"""ISO 15924's codes for a script that has no entry here, and for a text without letters."""
LETTER_SCRIPTS = (NONE, OTHER, *sorted(set(_NAMES.values())))
_EAST_ASIAN = ("Bopo", "Hang", "Hani", "Hira", "Kana")
_HAN = ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
_HANGUL = (0xAC00, 0xD7A3)
_NAMED = 0x1F000
"""Beyond are ideographs, or nothing that is a letter of a living script."""
SCRIPT_BITS, SIMPLIFIED, TRADITIONAL = 0x3F, 0x40, 0x80
WEIGHT = 3
"""An East Asian character says about as much as three letters."""
KANA_SHARE, HANGUL_SHARE = 0.1, 0.2
"""Of East Asian characters, from which a text is Japanese or Korean: Chinese texts quote a word of them."""
KNOWN = frozenset({*LETTER_SCRIPTS, "Hans", "Hant", "Jpan", "Kore"} - {"Hang", "Hira", "Kana"})
"""What a text's script can be."""


def one_sided_characters() -> tuple[frozenset[str], frozenset[str]]:
    """(simplified only, traditional only).

    Raises:
        ConfigError: OpenCC is not installed.
    """
    try:
        import opencc
    except ImportError as e:
        raise ConfigError("telling simplified from traditional Chinese needs the package opencc", "pip install opencc") from e
    # A line feed between them, because OpenCC converts words.
    every = [chr(p) for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF)) for p in range(first, last + 1)]
    to_traditional = opencc.OpenCC("s2t").convert("\n".join(every)).split("\n")
    to_simplified = opencc.OpenCC("t2s").convert("\n".join(every)).split("\n")
    simplified = {c for c, other in zip(every, to_traditional, strict=True) if c != other and not _encodes(c, "big5")}
    traditional = {c for c, other in zip(every, to_simplified, strict=True) if c != other and not _encodes(c, "gb2312")}
    return frozenset(simplified - traditional), frozenset(traditional - simplified)


def _encodes(character: str, codec: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=1)
def kanji_forms() -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
    """(characters of Japanese alone, characters that Japanese does not have, its simplified ones, its traditional ones).

    Japanese has JIS X 0208; of Japanese alone is what neither GB 2312 nor Big5 has: 気, 図, 働, 込. It writes both 国 and 東,
    which no Chinese text does together.
    """
    every = [chr(p) for p in range(0x4E00, 0xA000)]
    japanese = {c for c in every if _encodes(c, "euc_jp") and len(c.encode("euc_jp")) == 2}
    simplified, traditional = one_sided_characters()
    alone = {c for c in japanese if not _encodes(c, "gb2312") and not _encodes(c, "big5")}
    return frozenset(alone), frozenset(set(every) - japanese), frozenset((simplified & japanese) - alone), frozenset(traditional & japanese)


def kanji_language(text: str) -> str | None:
    """`ja` or `zh` for a text in Chinese characters without kana, by the forms of its characters; None if they do not tell."""
    characters = set(text)
    alone, strange, simplified, traditional = (len(characters & forms) for forms in kanji_forms())
    japanese = alone + min(simplified, traditional)
    if japanese >= 2 and japanese > strange:
        return "ja"
    return "zh" if strange >= 2 and strange > japanese else None


@lru_cache(maxsize=1)
def script_table() -> npt.NDArray[np.uint8]:
    """uint8[0x110000]: number of the script in `LETTER_SCRIPTS` (0: no letter), `SIMPLIFIED` or `TRADITIONAL`."""
    table = np.zeros(0x110000, np.uint8)
    numbers = {code: i for i, code in enumerate(LETTER_SCRIPTS)}
    for point in range(_NAMED):
        c = chr(point)
        if c.isalpha() and not 0x3400 <= point <= 0x9FFF and not _HANGUL[0] <= point <= _HANGUL[1]:
            words = unicodedata.name(c, "").removeprefix("HALFWIDTH ").removeprefix("FULLWIDTH ").split()
            table[point] = numbers[_NAMES.get(words[0], OTHER) if words else OTHER]
    table[_HANGUL[0] : _HANGUL[1] + 1] = numbers["Hang"]
    for first, last in _HAN:
        table[first : last + 1] = numbers["Hani"]
    for characters, flag in zip(one_sided_characters(), (SIMPLIFIED, TRADITIONAL), strict=True):
        table[[ord(c) for c in characters]] |= flag
    table.flags.writeable = False
    return table


@dataclass(frozen=True)
class Scripts:
    """The scripts of a column of texts.

    Attributes:
        codes: dominant script of each text; Chinese is Hans, Hant, or Hani where nothing tells.
        shares: share of the dominant script's letters, an East Asian one counting as three.
        traditional: share of traditional ones among characters that only one side has; not a number without any.
        weights: float64[n, `LETTER_SCRIPTS`]; what the East Asian ones together weigh stands in column Hani.
        east_asian: script of the East Asian characters of each text, None without any.
    """

    codes: list[str]
    shares: npt.NDArray[np.float64]
    traditional: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    east_asian: list[str | None]

    def share_of(self, row: int, wanted: Sequence[str]) -> float:
        """Share of the wanted scripts in a text; 1 if it has no letter."""
        weights = self.weights[row]
        total = weights.sum()
        if not total:
            return 1.0
        found = sum(float(weights[i]) for i, code in enumerate(LETTER_SCRIPTS) if code in wanted and code != "Hani")
        if self.east_asian[row] in wanted:
            found += float(weights[LETTER_SCRIPTS.index("Hani")])
        return float(found / total)


def scripts_of(texts: pa.Array, table: npt.NDArray[np.uint8]) -> Scripts:
    """The scripts of a large_string array."""
    from headrace_governance.text.language.script_kernel import count_scripts

    counts, sides = count_scripts(texts, table, len(LETTER_SCRIPTS))
    column: Mapping[str, npt.NDArray[np.int64]] = {code: counts[:, i] for i, code in enumerate(LETTER_SCRIPTS)}
    kana, hangul = column["Hira"] + column["Kana"], column["Hang"]
    together = kana + hangul + column["Hani"] + column["Bopo"]
    simplified, traditional = sides[:, 0], sides[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        side = traditional / (simplified + traditional)
    chinese = np.where(np.isnan(side), "Hani", np.where(side >= 0.5, "Hant", "Hans"))
    east = np.where(hangul > HANGUL_SHARE * together, "Kore", np.where(kana > KANA_SHARE * together, "Jpan", chinese))
    weights = counts.astype(np.float64)
    weights[:, 0] = 0
    weights[:, [LETTER_SCRIPTS.index(code) for code in _EAST_ASIAN]] = 0
    weights[:, LETTER_SCRIPTS.index("Hani")] = WEIGHT * together
    top, total = weights.argmax(axis=1), weights.sum(axis=1)
    names: npt.NDArray[Any] = np.array(LETTER_SCRIPTS)[top]
    codes = np.where(total == 0, NONE, np.where(names == "Hani", east, names))
    shares = np.divide(weights.max(axis=1), total, out=np.ones(len(texts)), where=total > 0)
    return Scripts(codes.tolist(), shares, side, weights, [e if n else None for e, n in zip(east.tolist(), together, strict=True)])
