"""Numbers of people and their things: resident identity numbers, payment cards, passports, number plates, Chinese mobile numbers.

The first two have check digits, a passport's machine-readable zone too. Others need more than their form: a cue before them, a boundary
that is not a word's middle, or the form that their standard gives them (GA 36-2018 for plates).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace_governance.text.pii import checks
from headrace_governance.text.pii.phones import has_cue, in_a_row
from headrace_governance.text.pii.spans import Span, after, before

_SEPARATORS = re.compile(r"[ -]")

_OTHER_NUMBER = re.compile(
    r"(?:订单|编|单|流水|序|批|型|货|账|帐|QQ|ISBN|ISSN|版本|端口|时间戳|金额|数量|总计|合计|total|(?<![^\W\d_])id)号?码?[ :：=]*$",
    re.IGNORECASE,
)
"""A label that names another number."""

# -- with a check digit --------------------------------------------------------------------------------------------------

_RESIDENT_ID = re.compile(r"(?<![0-9A-Za-z.])([1-9]\d{5})[ -]?(\d{8})[ -]?(\d{3}[\dXx])(?![0-9A-Za-z])", re.ASCII)
_CARD = re.compile(
    r"(?<![0-9A-Za-z.,+_-])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -]?)\d{6}\2\d{4,5})(?![0-9A-Za-z_]|[.,]\d)", re.ASCII
)
_CARD_CUE = re.compile(
    r"(?:(?<![^\W\d_])(?:cards?|visa|master ?card|amex|american express|discover|maestro|jcb|union ?pay|credit|debit|paid with|account|"
    r"karten?(?:nummer)?|kreditkarte\w*|carte|tarjeta|cart[ãa]o|carta|карт\w*)|卡号?|账[户号]|帐[户号]|カード|카드)[^\n\d]{0,16}$",
    re.IGNORECASE,
)


def resident_ids(text: str, language: str) -> Iterator[Span]:
    """Chinese resident identity numbers (GB 11643)."""
    for m in _RESIDENT_ID.finditer(text):
        if checks.resident_id("".join(m.groups())):
            yield Span("resident_id", *m.span())


def cards(text: str, language: str) -> Iterator[Span]:
    """Payment cards: an issuer's range and Luhn's check, which one number of ten passes by chance; so in a row of numbers a cue too."""
    for m in _CARD.finditer(text):
        digits = _SEPARATORS.sub("", m[0])
        if not 13 <= len(digits) <= 19 or not checks.card_number(digits):
            continue
        head = before(text, m.start(), 32)
        if _CARD_CUE.search(head) or not (in_a_row(text, *m.span()) or _OTHER_NUMBER.search(head)):
            yield Span("bank_card", *m.span())


# -- passports -----------------------------------------------------------------------------------------------------------

_PASSPORT_LATIN = "passport|паспорт|reisepass|passeport|pasaporte|passaporto"
_PASSPORT_HAN = "护照|護照|旅券|여권"
PASSPORT_WORDS = f"{_PASSPORT_LATIN}|{_PASSPORT_HAN}"
_PASSPORT = re.compile(r"(?<![0-9A-Za-z_./-])(?=[A-Z]{0,3}\d)[A-Z0-9]{7,9}(?![0-9A-Za-z_]|[./-]\w)", re.ASCII)
_PASSPORT_CUE = re.compile(rf"(?:(?<![^\W\d_])(?:{_PASSPORT_LATIN})s?(?![^\W\d_])|{_PASSPORT_HAN})[^\n]{{0,24}}$", re.IGNORECASE)
_MRZ = re.compile(r"(?<![A-Z0-9<])([A-Z0-9<]{9})(\d)([A-Z<]{3})(\d{6})(\d)[MFX<](\d{6})(\d)[A-Z0-9<]{14}[\d<]\d(?![A-Z0-9<])", re.ASCII)
_YEAR_OR_DATE = re.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", re.ASCII)


def passports(text: str, language: str) -> Iterator[Span]:
    """Passport numbers after a cue, and machine-readable zones (ICAO Doc 9303)."""
    for m in _PASSPORT.finditer(text):
        if sum(map(str.isdecimal, m[0])) >= 5 and not _YEAR_OR_DATE.fullmatch(m[0]) and _PASSPORT_CUE.search(before(text, m.start(), 32)):
            yield Span("passport", *m.span())
    for m in _MRZ.finditer(text):
        number, check, _, born, born_check, expires, expires_check = m.groups()
        if all(checks.machine_readable(*pair) for pair in ((number, check), (born, born_check), (expires, expires_check))):
            yield Span("passport", *m.span())


# -- number plates -------------------------------------------------------------------------------------------------------

_SERIAL = "[A-HJ-NP-Z0-9]"
_PLATE = re.compile(
    rf"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z]([·•.\- ]?)"
    rf"({_SERIAL}{{4}}[挂学警港澳领试超]|[A-HJK]{_SERIAL}\d{{4}}|\d{{5}}[A-HJK]|{_SERIAL}{{5}})(?![0-9A-Za-z])"
)
"""GA 36-2018: province, letter of the office, then five places, or six for a car of new energy (D or F and their followers first and
four digits at the end, or five digits before it)."""
_MOST_LETTERS = 2
"""Among the five places of a plate."""
_CAR_BEFORE = re.compile(r"(?:车|牌|辆|驾|停|驶|违章|肇事|[車輛駕駛])")
_CAR_NEXT = re.compile(r"(?:号)?(?:的)?[\u4e00-\u9fff]{0,3}(?:车(?![型系款展企])|轿|客运|驶|停|违|[車駛])")
_CUE_AT_PLATE = re.compile(
    r"(?:车牌|牌照|号牌|牌号|车号|号码|牌|辆|车|轿车|货车|驾驶|驾|车主|挂着|挂有|悬挂)(?:号码?|号|照)?(?:[:：是为叫的]|分别[是为])*\s?$"
)
_JOINS = re.compile(r"[和与及、，,；;。\s(（:：\[【“\"'《「]$")


def plates(text: str, language: str) -> Iterator[Span]:
    """Number plates of mainland China."""
    for m in _PLATE.finditer(text):
        dot, serial = m[1], m[2]
        letters = sum(c.isascii() and c.isalpha() for c in serial)
        if letters > (_MOST_LETTERS if len(serial) == 5 else 2) or sum(map(str.isdecimal, serial)) < 3:
            continue
        head = before(text, m.start(), 24)
        if head and not _CUE_AT_PLATE.search(head) and not _JOINS.search(head) and (head[-1].isalpha() or head[-1].isdecimal()):
            continue  # the province's character ends a word: 最新GTX1080, 阿里云ECS2019
        if dot in ("·", "•") or _CAR_BEFORE.search(head) or _CAR_NEXT.match(after(text, m.end(), 8)):
            yield Span("plate", *m.span())


# -- Chinese mobile numbers ----------------------------------------------------------------------------------------------

_MOBILE = re.compile(
    r"(?<![0-9A-Za-z_.\-+/=,:#%])((?:\+|00)86[ -]?|86[ -]|\(\+?86\) ?)?"
    r"1(?:3\d|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])([ -]?)\d{4}\2\d{4}"
    r"(?![0-9A-Za-z_]|[.,:/-]\d|[ ]?(?:[KMGT]i?B|bytes|字节|元|人|万|亿|次|个))",
    re.ASCII,
)
"""Prefixes that the Ministry of Industry and Information Technology has given to mobile networks."""


def mobiles(text: str, language: str) -> Iterator[Span]:
    """Chinese mobile numbers; in a text that is not Chinese they need the country code or a cue."""
    for m in _MOBILE.finditer(text):
        if m[1] is None:
            if in_a_row(text, *m.span()) or _OTHER_NUMBER.search(before(text, m.start(), 16)):
                continue
            if language != "zh" and not has_cue(text, m.start()):
                continue
        yield Span("mobile", *m.span())
