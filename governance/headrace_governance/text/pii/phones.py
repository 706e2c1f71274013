"""Telephone numbers: a form or a cue, then the country's plan (E.164 and national plans, by `phonenumbers`).

A number with a country code counts if the plan knows it. Without one it needs a cue word before it (`Tel.`, never inside another
word) or the form in which its country writes numbers; and it is not a date, decimal, netmask, range of years, or part of a row of numbers.
Chinese mobile numbers are a kind of their own, `mobile`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace_governance.text.pii.spans import Span, after, before

_SEPARATORS = re.compile(r"[ \u00a0().\-/\u2010\u2011\u2013（）－]+")
_DASHES = str.maketrans("\u2010\u2011\u2013（）－", "---()-")
_EAST = r"\u3005-\u30ff\u3400-\u9fff\uac00-\ud7a3"
"""Chinese characters, kana and Hangul, which are written without a space before and after a number."""
_CUE_REACH = 36
"""Characters before a number in which its cue must end."""
_PHONE = re.compile(
    rf"(?<![^\W{_EAST}])(?<![+\-/#第])(?:(?<!\.)|(?<=[^\W\d_]{{2}}\.))(?:\+|00(?=[1-9]))?[(（]?\d"
    r"(?:(?: [/\-\u2013] |[ \u00a0().\-/\u2010\u2011\u2013（）－]{0,2})\d){5,16}"
    rf"(?![^\W{_EAST}]|[.\-/:,]\d|[元円원个個인人万萬亿億次件年月日号號倍])"
)
_WORDS = (
    r"tel(?:\.|ef\w*|eph\w*)?|t[eé]l(?:[eé]ph\w*|[eé]f\w*)?|tfno|fono|fon|phones?(?:numbers?)?|telephone\w*|fax(?:nummer|es|no|nr)?|"
    r"telefax\w*|mobile?(?:funk\w*|nummer)?|mobil|m[oó]vil(?:es)?|celular\w*|cellular\w*|cellphone\w*|cell(?= ?[.:]| ph| no| nu)|"
    r"telem[oó]vel|handy(?:nummer)?|tlf|rufnummer|durchwahl|hotline|helpline|whatsapp|viber|sms|contact|call|dial|ring|text|kom(?=\.)|gsm|cep|"
    r"(?:ph|mob)(?=[.:])|rufen sie|appelez|joignable|llam(?:ar|e|en)|chiam(?:are|ate|i)|lig(?:ar|ue)|"
    r"тел(?:ефон\w*)?|моб(?:ильн\w*)?|факс\w*|τηλ\w*|звон\w*|هاتف|جوال|الهاتف|फ़ोन|फोन|मोबाइल"
)
_WORDS_EAST = "電話|电话|手机|手機|传真|傳真|座机|热线|联系|聯絡|致电|拨打|携帯|전화|휴대폰|연락처|팩스"
_CUE = re.compile(
    rf"(?:(?<![^\W\d_])(?:{_WORDS})(?![^\W\d_])|(?-i:(?<=[a-z])(?:Phone|Tel|Fax|Mobile)(?:Number|No)?(?![a-z]))|{_WORDS_EAST})"
    r"(?:[ ._:：-]*(?:\w{1,3}\.|number|numbers|nummer|no|nr|num[eé]ro|número|numero|us|me|him|her|them|at|on|is|"
    r"番号|号码|號碼|번호|au|al|le|il|unter|para|は|是|为|為|는|은)){0,4}"
    r"[^\w\n]{0,8}$",
    re.IGNORECASE,
)
_NANP = re.compile(r"(?:1[-. ])?(?:\(\d{3}\) ?\d{3}[-. ]\d{4}|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4}|\d{3} \d{3}-\d{4})", re.ASCII)
"""North America's forms; three groups with spaces alone are a table's row."""
_DATE = re.compile(
    r"\(?(?:\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,4}|\d{8})"
    r"(?:[ T]+\d{1,2})?\)?"
)
"""Days and months with digits, with the hour of a time after them; from a year to a year."""
_DECIMAL = re.compile(r"\d+\.\d+")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[. \u00a0]\d{3})+")
_OCTETS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,3})?")
_ZIP = re.compile(r"\d{5}-\d{4}")
_FRENCH = re.compile(r"0[1-9](?:([ .\u00a0-])\d{2})(?:\1\d{2}){3}")
_ROW_BEFORE = re.compile(r"\d[,;|]?[ \t\u00a0]{1,3}$|\d[ \t]*\|[ \t]*$")
_ROW_AFTER = re.compile(r"[ \t\u00a0]{1,3}\d|[ \t]*\|[ \t]*\d")
_REGIONS: dict[str, tuple[str, ...]] = {
    "ar": ("SA", "EG", "AE"),
    "de": ("DE", "AT", "CH"),
    "en": ("US", "GB", "AU", "IN"),
    "bg": ("BG",),
    "ca": ("ES",),
    "cs": ("CZ",),
    "da": ("DK",),
    "el": ("GR",),
    "es": ("ES", "MX", "AR"),
    "fa": ("IR",),
    "fi": ("FI",),
    "fr": ("FR", "BE", "CH"),
    "he": ("IL",),
    "hi": ("IN",),
    "hu": ("HU",),
    "id": ("ID",),
    "it": ("IT",),
    "ja": ("JP",),
    "ko": ("KR",),
    "ms": ("MY",),
    "nl": ("NL", "BE"),
    "no": ("NO",),
    "pl": ("PL",),
    "pt": ("PT", "BR"),
    "ro": ("RO",),
    "ru": ("RU",),
    "sk": ("SK",),
    "sv": ("SE",),
    "th": ("TH",),
    "tr": ("TR",),
    "uk": ("UA",),
    "vi": ("VN",),
    "zh": ("CN", "TW", "HK"),
}
"""Where a number without a country code may belong, by the document's language."""


def phones(text: str, language: str) -> Iterator[Span]:
    """Telephone numbers."""
    for m in _PHONE.finditer(text):
        found = _phone(text, m, language)
        if found is not None:
            yield found


def has_cue(text: str, start: int) -> bool:
    """Whether the words before a number ask for one."""
    return _CUE.search(before(text, start, _CUE_REACH)) is not None


def in_a_row(text: str, start: int, end: int) -> bool:
    """Whether a number stands between others, as in a table."""
    return _ROW_BEFORE.search(before(text, start, 8)) is not None or _ROW_AFTER.match(after(text, end, 8)) is not None


def _phone(text: str, m: re.Match[str], language: str) -> Span | None:
    written = m[0].translate(_DASHES)
    if written.count("(") != written.count(")"):
        written = written.lstrip("(")
    start, end = m.end() - len(written), m.end()
    if _is_something_else(written):
        return None
    cue = has_cue(text, start)
    # `=`: a parameter of an address on the web.
    if not cue and (text[max(0, start - 1) : start] == "=" or _THOUSANDS.fullmatch(written)):
        return None
    if written.startswith("+"):
        table = _ROW_AFTER.match(after(text, end, 8)) is not None
        return Span("phone", start, end) if _valid(written, None) and not table else None
    if written.startswith("00"):
        formed = written[2].isdecimal() and _SEPARATORS.search(written) is not None and not in_a_row(text, start, end)
        return Span("phone", start, end) if (cue or formed) and _valid("+" + written[2:], None) else None
    if _NANP.fullmatch(written):
        regions: tuple[str, ...] = ("US", *_REGIONS.get(language, ())) if cue else ("US",)
        return Span("phone", start, end) if any(_valid(written, r) for r in regions) else None
    groups = [g for g in _SEPARATORS.split(written) if g]
    if not cue and not (_is_formed(written, groups, language) and not in_a_row(text, start, end)):
        return None
    return Span("phone", start, end) if any(_valid(written, r) for r in _REGIONS.get(language, _REGIONS["en"])) else None


def _is_something_else(written: str) -> bool:
    """Whether it is written as a date, a decimal, octets, or a postal code."""
    return any(form.fullmatch(written) for form in (_DATE, _DECIMAL, _OCTETS, _ZIP))


def _is_formed(written: str, groups: list[str], language: str) -> bool:
    """Whether a number is written as its country writes numbers: a trunk prefix and groups, in French with points too."""
    if language == "fr" and _FRENCH.fullmatch(written):
        return True
    if "." in written or "/" in written or " - " in written or sum(map(len, groups)) < 9:
        return False
    return len(groups) > 1 and len(groups[0]) > 1 and groups[0].startswith("0") and all(len(g) > 1 for g in groups)


def _valid(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number(parsed) if region is None else phonenumbers.is_valid_number_for_region(parsed, region))
