"""Find PII in a text: one pattern a kind, then the check that the kind has.

Kinds: `resident_id`, `bank_card`, `passport`, `plate`, `mobile` (Chinese), `phone` (others, by libphonenumber's plans), `email`,
`ip`, `address`, `name`. Numbers without a check digit need more: a cue before them (`passport no.`), or the form in which the
country writes them. Names and addresses are found here by cue and form only; names in running text are for a model (`names.py`).

Where findings overlap, the kind with the stronger check wins, then the longer one.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from headrace_governance.text.pii import checks


@dataclass(frozen=True)
class Span:
    """A finding: its kind and where it lies, in characters."""

    kind: str
    start: int
    end: int


Detector = Callable[[str, str], Iterator[Span]]

_SEPARATORS = re.compile(r"[ \u00a0().\-/]")
_CUE_REACH = 32
"""Characters before a number in which its cue must end."""

# -- numbers with a check ----------------------------------------------------------------------------------------------

_RESIDENT_ID = re.compile(r"(?<![0-9A-Za-z.])([1-9]\d{5})[ -]?(\d{8})[ -]?(\d{3}[\dXx])(?![0-9A-Za-z])")
_CARD = re.compile(r"(?<![0-9A-Za-z.+])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -]?)\d{6}\2\d{4,5})(?![0-9A-Za-z])")
_MRZ = re.compile(r"(?<![A-Z0-9<])([A-Z0-9<]{9})(\d)([A-Z<]{3})(\d{6})(\d)[MFX<](\d{6})(\d)[A-Z0-9<]{14}[\d<]\d(?![A-Z0-9<])")


def _resident_ids(text: str, language: str) -> Iterator[Span]:
    for m in _RESIDENT_ID.finditer(text):
        if checks.resident_id("".join(m.groups())):
            yield Span("resident_id", *m.span())


def _cards(text: str, language: str) -> Iterator[Span]:
    for m in _CARD.finditer(text):
        digits = _SEPARATORS.sub("", m[0])
        if 13 <= len(digits) <= 19 and checks.card_number(digits):
            yield Span("bank_card", *m.span())


# -- numbers with a form -----------------------------------------------------------------------------------------------

_PASSPORT = re.compile(r"(?<![0-9A-Za-z])(?=[A-Z]{0,3}\d)[A-Z0-9]{7,9}(?![0-9A-Za-z])")
_PASSPORT_WORDS = "passport|护照|護照|旅券|여권|паспорт|reisepass|passeport|pasaporte|passaporto"
_PASSPORT_CUE = re.compile(rf"(?:{_PASSPORT_WORDS})[^\n]{{0,24}}$", re.IGNORECASE)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][·•.\- ]?"
    r"(?:[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳]|[A-HJ-NP-Z0-9]{6})(?![0-9A-Za-z])"
)
_MOBILE = re.compile(
    r"(?<![0-9A-Za-z_.\-])(?:(?:\+|00)86[ -]?|86[ -]|\(\+?86\) ?)?"
    r"1(?:3\d|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])([ -]?)\d{4}\1\d{4}(?![0-9A-Za-z_]|[.-]\d)"
)
"""Prefixes that the Ministry of Industry and Information Technology has given to mobile networks."""


def _passports(text: str, language: str) -> Iterator[Span]:
    for m in _PASSPORT.finditer(text):
        if sum(map(str.isdecimal, m[0])) >= 5 and _PASSPORT_CUE.search(text[max(0, m.start() - _CUE_REACH) : m.start()]):
            yield Span("passport", *m.span())
    for m in _MRZ.finditer(text):
        number, check, _, born, born_check, expires, expires_check = m.groups()
        if all(checks.machine_readable(*pair) for pair in ((number, check), (born, born_check), (expires, expires_check))):
            yield Span("passport", *m.span())


def _plates(text: str, language: str) -> Iterator[Span]:
    for m in _PLATE.finditer(text):
        if sum(map(str.isdecimal, m[0])) >= 2:
            yield Span("plate", *m.span())


def _mobiles(text: str, language: str) -> Iterator[Span]:
    for m in _MOBILE.finditer(text):
        yield Span("mobile", *m.span())


_PHONE = re.compile(r"(?<![\w.+\-/=#])(?:\+|00(?=[1-9]))?\(?\d(?:[ \u00a0().\-/]{0,2}\d){5,16}(?![\w]|[.\-/]\d)")
_PHONE_CUE = re.compile(
    r"(?:tel|phone|fon|fax|mobile|cell|call|whatsapp|dial|telefon|teléfono|téléphone|telefone|telefono|móvil|celular|handy|ring|sms|"
    r"тел|телефон|моб|факс|звоните|電話|电话|手机|手機|传真|座机|热线|联系|携帯|전화|휴대폰|연락처|هاتف|جوال|फ़ोन|फोन|मोबाइल)"
    r"[^\n\d]{0,20}$",
    re.IGNORECASE,
)
_NANP = re.compile(r"(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}")
_REGIONS: dict[str, tuple[str, ...]] = {
    "ar": ("SA", "EG", "AE"),
    "de": ("DE", "AT", "CH"),
    "en": ("US", "GB", "AU", "IN"),
    "es": ("ES", "MX", "AR"),
    "fr": ("FR", "BE", "CH"),
    "hi": ("IN",),
    "it": ("IT",),
    "ja": ("JP",),
    "ko": ("KR",),
    "nl": ("NL", "BE"),
    "pl": ("PL",),
    "pt": ("PT", "BR"),
    "ru": ("RU",),
    "tr": ("TR",),
    "zh": ("CN", "TW", "HK"),
}
"""Where a number without a country code may belong, by the document's language."""


def _phones(text: str, language: str) -> Iterator[Span]:
    for m in _PHONE.finditer(text):
        found = _phone(text, m, language)
        if found is not None:
            yield found


def _phone(text: str, m: re.Match[str], language: str) -> Span | None:
    written = m[0]
    if written.count("(") != written.count(")"):
        written = written.lstrip("(")
    start = m.end() - len(written)
    if written.startswith(("+", "00")):
        number = "+" + written.removeprefix("+").removeprefix("00") if written.startswith("00") else written
        return Span("phone", start, m.end()) if _valid(number, None) else None
    cue = _PHONE_CUE.search(text[max(0, start - _CUE_REACH) : start]) is not None
    groups = [g for g in _SEPARATORS.split(written) if g]
    # Written as numbers are: a trunk prefix and groups (with points in French), or North America's form. Dates, versions
    # and ISBNs are not.
    grouped = len(groups) > 1 and len(groups[0]) > 1 and groups[0].startswith("0") and ("." not in written or language == "fr")
    formed = grouped or _NANP.fullmatch(written) is not None
    if not cue and not formed:
        return None
    regions = _REGIONS.get(language, _REGIONS["en"])
    return Span("phone", start, m.end()) if any(_valid(written, r) for r in regions) else None


def _valid(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number(parsed) if region is None else phonenumbers.is_valid_number_for_region(parsed, region))


# -- addresses of machines and mail ------------------------------------------------------------------------------------

_EMAIL = re.compile(
    r"(?<![\w.+%@/=~-])[A-Za-z0-9](?:[\w.%+-]{0,62}[\w%+-])?@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9_@-]|:[\w/~])",
    re.ASCII,
)
"""The local part is RFC 5322's dot-atom without its rare characters; `user@host:path` is a place to copy from, not a mailbox."""
_NO_TLD = frozenset("png jpg jpeg gif svg webp bmp ico js css json html htm txt xml yaml yml local localhost internal".split())
_RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|org|net))?|test|invalid|localhost)$")
"""RFC 2606: names that belong to nobody."""
_IPV4 = re.compile(r"(?<![\w.\-/])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|[.-]\d|/\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_IPV4_HINT = re.compile(r"\.\d{1,3}\.\d")
_IPV6_HINT = re.compile(r":[0-9A-Fa-f]{0,4}:")
"""What every address holds; both begin with one certain character, so a text without it is left at once."""
_VERSION_CUE = re.compile(r"(?:\bv|version|ver\.|release|revision|rev\.|build|firmware|版本|版|section|chapter|§|第)[ :]*$", re.IGNORECASE)


def _emails(text: str, language: str) -> Iterator[Span]:
    for m in _EMAIL.finditer(text):
        host = m[0].rpartition("@")[2].lower()
        if host.rpartition(".")[2] not in _NO_TLD and not _RESERVED.search(host) and ".." not in m[0]:
            yield Span("email", *m.span())


def _ips(text: str, language: str) -> Iterator[Span]:
    for hint, pattern in ((_IPV4_HINT, _IPV4), (_IPV6_HINT, _IPV6)):
        if not hint.search(text):
            continue
        for m in pattern.finditer(text):
            if _VERSION_CUE.search(text[max(0, m.start() - 12) : m.start()]):
                continue
            try:
                address = ipaddress.ip_address(m[0])
            except ValueError:
                continue
            # Only an address that is routed belongs to somebody.
            if address.is_global and not address.is_multicast:
                yield Span("ip", *m.span())


# -- postal addresses and names ----------------------------------------------------------------------------------------

_HAN = r"[\u4e00-\u9fff]"
_ADDRESS_ZH = re.compile(
    rf"(?:{_HAN}{{2,7}}(?:省|自治区))?(?:{_HAN}{{2,8}}?(?:市|自治州|地区|盟))?{_HAN}{{1,8}}?(?:市|区|县|旗)"
    rf"{_HAN}{{1,14}}?(?:路|街|大道|道|巷|弄|胡同|里|村|镇|乡)"
    rf"(?:(?:[\dA-Za-z一二三四五六七八九十百]{{1,6}}(?:号院|号楼|号|弄|座|栋|幢|单元|室|层|楼))+)"
)
_STREETS = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Parkway|Pkwy|Crescent"
    "|Close|Highway|Hwy|Circle|Cir|Trail|Trl|Way|Alley|Row|Garden|Mews|Grove|Plaza|Crossing|Ridge|Heights|Green|Walk|Quay"
    "|Loop|Path|Point|Bridge|Hill|Mill|Park|View|Village|Station|Spring|Valley|Meadow|Manor|Landing|Junction|Island|Harbor"
    "|Fort|Forge|Ford|Forest|Field|Estate|Cove|Corner|Canyon|Camp|Bypass|Brook|Branch|Bluff|Bend|Beach|Turnpike|Throughway"
    "|Track|Tunnel|Union|Viaduct|Ville|Vista|Wall|Well|Shore|Shoal|Rue|Run|Route|River|Rapid|Ranch|Ramp|Radial|Prairie|Port"
    "|Plain|Pine|Pike|Passage|Pass|Overpass|Oval|Orchard|Neck|Mountain|Mount|Motorway|Mission|Mall|Lodge|Lock|Loaf|Light"
    "|Lake|Knoll|Key|Isle|Inlet|Hollow|Haven|Glen|Gateway|Freeway|Fork|Flat|Ferry|Fall|Extension|Expressway|Divide|Dam|Dale"
    "|Curve|Crest|Creek|Course|Common|Club|Cliff|Center|Causeway|Cape|Burg|Bottom|Bayou|Arcade|Annex|Summit|Stream"
    "|Stravenue|Skyway|Underpass|Crossroad|Land|Trace|Trafficway|Spur"
)
"""Street suffixes of the United States Postal Service (Publication 28, appendix C1) and usual British ones."""
_ADDRESS_EN = re.compile(
    rf"(?<![\w.$])\d{{1,5}}[A-Z]?(?: (?:[NSEW]\.|North|South|East|West))?(?: [A-Z][\w'’-]+){{1,4}} (?:{_STREETS})s?\b\.?"
    r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Floor|Flat|Studio)\.? ?[\w-]{1,6})?"
    r"(?:(?:,|\n)? ?[A-Z][A-Za-z' -]{2,30},? (?:[A-Z]{2} \d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}))?"
)
_ADDRESS_MILITARY = re.compile(
    r"(?<!\w)(?:(?:PSC|Unit|CMR) \d{1,5},? Box \d{1,5}|(?:USS|USNS|USCGC|USNV) [A-Z]\w+)(?:,|\n)? ?[AFD]PO,? A[AEP] \d{5}(?!\d)"
)
SURNAMES = (
    "欧阳|上官|司马|诸葛|东方|皇甫|尉迟|公孙|令狐|慕容|司徒|夏侯|[王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢"
    "蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜倪严牛温芦季俞"
    "章鲁葛伍韦申尤毕聂丛焦向柳邢路岳齐沿梅莫庄辛管祝左涂谷祁时舒耿牟卜路詹关苗凌费纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包司柏宁柯阮桂"
    "闵解强柴华车冉房边辜吉饶刁瞿戚丘古米池滕晋苑邬臧畅宫来嵺苟全褚廉简娄盖符奚木穆党燕郎邸冀谈姬屠连郜晏栾郁商蒙计喻揭窦迟宇敖糜鄢冷卓花仇艾蓝都巩稽井练仲乐虞"
    "卞封竺冼原官衣楚佟栗匡宗应台巫鞠僧桑荆谌银扬明沙薄伏岑习胥保和蔺]"
)
_NAME_CUES_ZH = "姓名|联系人|收件人|收货人|患者|客户|申请人|负责人|经办人|法定代表人|持卡人|乘客|学生姓名"
_NAME_ZH = re.compile(rf"(?:{_NAME_CUES_ZH})(?:[:：是为叫]|\s)\s*((?:{SURNAMES}){_HAN}{{1,2}})(?!{_HAN})")
_CAPITAL = "[A-ZÀ-ÖØ-Þ]"
_WORD = rf"{_CAPITAL}[\w'’-]+"
_NAME_EN = re.compile(
    rf"(?:\b(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? |\b(?:[Nn]ame|[Cc]ontact|[Pp]atient|[Cc]ustomer|[Rr]ecipient|[Cc]ardholder|[Pp]assenger|"
    rf"[Aa]pplicant)(?: [Nn]ame)?: ?)({_WORD}(?: [A-Z]\.)?(?: {_WORD}){{0,2}})"
)


def _addresses(text: str, language: str) -> Iterator[Span]:
    for pattern in (_ADDRESS_ZH,) if language == "zh" else (_ADDRESS_EN, _ADDRESS_MILITARY):
        for m in pattern.finditer(text):
            yield Span("address", *m.span())


def _names(text: str, language: str) -> Iterator[Span]:
    for m in (_NAME_ZH if language == "zh" else _NAME_EN).finditer(text):
        yield Span("name", *m.span(1))


DETECTORS: dict[str, Detector] = {
    "resident_id": _resident_ids,
    "bank_card": _cards,
    "passport": _passports,
    "email": _emails,
    "ip": _ips,
    "plate": _plates,
    "mobile": _mobiles,
    "phone": _phones,
    "address": _addresses,
    "name": _names,
}
"""By strength of what proves the finding."""
KINDS = tuple(DETECTORS)
_STRENGTH: dict[str, int] = {kind: i for i, kind in enumerate(KINDS)}

PREFILTER: dict[str, str] = {
    "resident_id": r"\d{6}[ -]?\d{8}[ -]?\d{3}",
    "bank_card": r"\d(?:[ -]?\d){12}",
    "passport": rf"(?i:{_PASSPORT_WORDS})|\d{{7}}[MFX<]\d{{7}}",
    "email": "@",
    "ip": r"\d\.\d{1,3}\.\d{1,3}\.\d|(?:^|[^0-9A-Za-z_:.])(?:[0-9A-Fa-f]{0,4}:){2}",
    "plate": r"[\x{4e00}-\x{9fff}][A-Z]",
    "mobile": r"1[3-9]\d[ -]?\d{4}[ -]?\d{4}",
    "phone": r"\d(?:[ ().\-/\x{a0}]{0,2}\d){5}",
    "address": r"\d[A-Z]? [A-Z][^ ]+ [A-Z]|[AFD]PO,? A[AEP] \d|[路街道巷弄同里村镇乡][0-9A-Za-z一二三四五六七八九十百]",
    "name": rf"(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? {_CAPITAL}|(?:ame|ontact|atient|ustomer|ecipient|ardholder|assenger|pplicant): ?{_CAPITAL}"
    rf"|{_NAME_CUES_ZH}",
}
"""What a text must contain (RE2) before a kind is looked for: nine texts of ten need no look."""


def find(text: str, language: str, kinds: tuple[str, ...] = KINDS) -> list[Span]:
    """All findings of a text that do not overlap, by place.

    Args:
        language: ISO 639-1 code, for forms that belong to a language.
    """
    return chosen([span for kind in kinds for span in DETECTORS[kind](text, language)])


def chosen(found: list[Span]) -> list[Span]:
    """Those that do not overlap, the stronger kind first, then the longer; by place."""
    found = sorted(set(found), key=lambda s: (_STRENGTH[s.kind], s.start - s.end, s.start))
    kept: list[Span] = []
    for span in found:
        at = bisect_right(kept, span.start, key=lambda s: s.start)
        if not (at and kept[at - 1].end > span.start) and not (at < len(kept) and kept[at].start < span.end):
            kept.insert(at, span)
    return kept


def candidates(texts: Any) -> dict[str, Any]:
    """Kind → boolean Arrow array: which texts of a column may hold it."""
    import pyarrow.compute as pc

    return {kind: pc.match_substring_regex(texts, pattern) for kind, pattern in PREFILTER.items()}
