"""Postal addresses and names of people, by form and cue; names in running text are for a model (`names.py`).

An English address is a house number, a street's name and a street suffix. Suffixes that are everyday words (Key, Forest, Court, Way)
count only with more: a suite, a town with its code, or a cue before them; and no house number stands after `Windows`, `Chapter` or `War`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace_governance.text.pii.spans import Span, before

# -- addresses -----------------------------------------------------------------------------------------------------------

_HAN = r"[\u4e00-\u9fff]"
_ADDRESS_ZH = re.compile(
    rf"(?:{_HAN}{{2,7}}(?:省|自治区))?(?:{_HAN}{{2,8}}?(?:市|自治州|地区|盟))?{_HAN}{{1,8}}?(?:市|区|县|旗)"
    rf"{_HAN}{{1,14}}?(?:路|街|大道|道|巷|弄|胡同|里|村|镇|乡)"
    rf"(?:(?:[\dA-Za-z一二三四五六七八九十百]{{1,6}}(?:号院|号楼|号(?!线)|弄|座|栋|幢|单元|室|层|楼))+)"
)
_NUMBERED_ZH = re.compile(
    r"(?:路|街|大道|道|巷|弄|胡同|里|村|镇|乡)[\dA-Za-z一二三四五六七八九十百]{1,6}(?:号院|号楼|号(?!线)|弄|座|栋|幢|单元|室|层|楼)"
)
"""What every address of `_ADDRESS_ZH` holds: its street with the number behind."""
_DISTRICT_ZH = re.compile(r"[市区县旗]")
_BEFORE_STREET_ZH = 7 + 3 + 8 + 3 + 8 + 1 + 14
"""Characters that it may have before that."""
_STREETS = "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Parkway|Pkwy|Highway|Hwy|Terrace|Crescent|Freeway|Expressway|Turnpike"
"""Suffixes that mean nothing but a street."""
_EVERYDAY_STREETS = (
    "Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Close|Circle|Cir|Trail|Trl|Way|Alley|Row|Garden|Mews|Grove|Plaza|Crossing|Ridge|Heights|Green"
    "|Walk|Quay|Loop|Path|Point|Bridge|Hill|Mill|Park|View|Village|Station|Spring|Valley|Meadow|Manor|Landing|Junction|Island|Harbor"
    "|Fort|Forge|Ford|Forest|Field|Estate|Cove|Corner|Canyon|Camp|Bypass|Brook|Branch|Bluff|Bend|Beach|Throughway"
    "|Track|Tunnel|Union|Viaduct|Ville|Vista|Wall|Well|Shore|Shoal|Rue|Run|Route|River|Rapid|Ranch|Ramp|Radial|Prairie|Port"
    "|Plain|Pine|Pike|Passage|Pass|Overpass|Oval|Orchard|Neck|Mountain|Mount|Motorway|Mission|Mall|Lodge|Lock|Loaf|Light"
    "|Lake|Knoll|Key|Isle|Inlet|Hollow|Haven|Glen|Gateway|Fork|Flat|Ferry|Fall|Extension|Divide|Dam|Dale"
    "|Curve|Crest|Creek|Course|Common|Club|Cliff|Center|Causeway|Cape|Burg|Bottom|Bayou|Arcade|Annex|Summit|Stream"
    "|Stravenue|Skyway|Underpass|Crossroad|Land|Trace|Trafficway|Spur"
)
"""The other street suffixes of the United States Postal Service (Publication 28, appendix C1) and usual British ones."""
_ADDRESS_EN = re.compile(
    r"(?<![\w.$/#-])(?<![A-Z]-)\d{1,5}[A-Z]?(?: (?:[NSEW]\.?|NE|NW|SE|SW|North|South|East|West))?"
    r"(?P<name>(?: (?:[A-Z][\w'’-]+|\d{1,3}(?:st|nd|rd|th))){1,4}) "
    rf"(?:(?P<street>{_STREETS})|(?P<everyday>{_EVERYDAY_STREETS}))s?\b\.?(?: (?:NE|NW|SE|SW|[NSEW])\b)?"
    r"(?P<unit>,? (?:Apt|Apartment|Suite|Ste|Unit|Floor|Flat|Studio)\b\.? ?[\w-]{1,6})?"
    r"(?P<town>(?:(?:,|\n)? ?[A-Z][A-Za-z' -]{2,30},? {1,2}(?:[A-Z]{2} {1,2}\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}))?)"
)
_ABBREVIATED = re.compile(r" [A-Z][a-z]{1,3}s?\.$")
_ADDRESS_MILITARY = re.compile(
    r"(?<!\w)(?:(?:PSC|Unit|CMR) \d{1,5},? Box \d{1,5}|(?:USS|USNS|USCGC|USNV) [A-Z]\w+)(?:,|\n)? ?[AFD]PO,? A[AEP] \d{5}(?!\d)"
)
_ADDRESS_CUE = re.compile(
    r"(?:(?<!\w)(?:address|(?:live|reside|dwell|work|stay)[sd]?|living|residing|residence|located|lodging|ship(?:ped)?|deliver(?:ed)?|send|"
    r"sent|mail(?:ed)?|visit|office|home|headquarters|moved|house)"
    r"(?: (?:it|them|this|is|was|in|at|to|on|of|the|parcel|order|office)){0,4}|\bat)"
    r"[ :=\"'(]{1,4}$",
    re.IGNORECASE,
)
_COUNTED_BEFORE = re.compile(
    r"(?<!\w)(?:windows|chapter|server|war|version|figure|fig\.|table|section|step|part|no\.?|number|release|book|volume|vol\.|page|pages|"
    r"episode|season|level|stage|phase|act|scene|lesson|unit|exercise|example|appendix|annex|item|type|class|grade|group|team|round|day|"
    r"week|month|year|top|the|these|those|all|of|and|or|with|about|over|only|another|other|first|last|next|python|android|ios|macos|"
    r"office|java|php|ubuntu|debian|fedora|kernel|http|ipv|usb|world|formula|route|interstate|apollo|area|channel|radio|bus|tram|line|"
    r"january|february|march|april|may|june|july|august|september|october|november|december|copyright|©|\(c\)) $",
    re.IGNORECASE,
)
_TIME_BEFORE = re.compile(
    r"(?<!\w)(?:in|on|since|by|until|till|from|to|of|before|after|during|circa|ca\.|c\.|early|late|mid|wwi|wwii|spring|summer|autumn|"
    r"fall|winter) $",
    re.IGNORECASE,
)
"""Before a year or a day: "in 2008 Wall Street fell"."""
_MONTHS = frozenset("January February March April May June July August September October November December".split())
_NO_NAME = frozenset(
    "The A An And Or Of In On At To For From With By Is Are Was Were This That These Those If When While Your Our Their My His Her Its "
    "New Weak Strong Releasing Using Setting Creating Adding Removing Opening Closing Private Public Dual Quad Single Registry Primary "
    "Foreign Master Hot Product Web Data Open Each Every Some All Any No Not "
    "Der Die Das Ein Eine Den Dem Des Le La Les Un Une Des Il Lo Gli El Los Las Una Uno O Os As Um Uma De Het Een".split()
)


def addresses(text: str, language: str) -> Iterator[Span]:
    """Postal addresses: Chinese in Chinese texts, English in all others."""
    if language == "zh":
        yield from _addresses_zh(text)
        return
    for m in _ADDRESS_EN.finditer(text):
        if _is_address(text, m):
            sentence_ends = m[0].endswith(".") and not _ABBREVIATED.search(m[0])
            yield Span("address", m.start(), m.end() - sentence_ends)
    for m in _ADDRESS_MILITARY.finditer(text):
        yield Span("address", *m.span())


def _addresses_zh(text: str) -> Iterator[Span]:
    """What `_ADDRESS_ZH.finditer` finds, tried only at places shortly before a street with its number: 40 µs a place are saved."""
    tried = 0  # places before this one need no look
    for street in _NUMBERED_ZH.finditer(text):
        at = max(tried, street.start() - _BEFORE_STREET_ZH)
        if at > street.start() or _DISTRICT_ZH.search(text, at, street.start()) is None:
            continue
        while at < street.start():
            found = _ADDRESS_ZH.match(text, at)
            if found is not None:
                yield Span("address", *found.span())
                at = found.end()
                break
            at += 1
        tried = at


def _is_address(text: str, m: re.Match[str]) -> bool:
    if m["town"] or m["unit"]:
        return True
    head = before(text, m.start(), 40)
    words = m["name"].split()
    if _is_date(m[0].partition(" ")[0], words[0]) and _TIME_BEFORE.search(head) and not _ADDRESS_CUE.search(head):
        return False
    if _COUNTED_BEFORE.search(head) or words[0] in _NO_NAME:
        return False
    if m["everyday"]:
        return _ADDRESS_CUE.search(head) is not None and not _NO_NAME.intersection(words)
    return len(words) <= 3 or _ADDRESS_CUE.search(head) is not None


def _is_date(number: str, word: str) -> bool:
    """Whether a number may be a year, or the day of the month that follows."""
    return number.isdecimal() and (1500 <= int(number) <= 2099 or (int(number) <= 31 and word in _MONTHS))


# -- names by cue --------------------------------------------------------------------------------------------------------

SURNAMES = (
    "欧阳|上官|司马|诸葛|东方|皇甫|尉迟|公孙|令狐|慕容|司徒|夏侯|[王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢"
    "蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜倪严牛温芦季俞"
    "章鲁葛伍韦申尤毕聂丛焦向柳邢路岳齐沿梅莫庄辛管祝左涂谷祁时舒耿牟卜路詹关苗凌费纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包司柏宁柯阮桂"
    "闵解强柴华车冉房边辜吉饶刁瞿戚丘古米池滕晋苑邬臧畅宫来嵺苟全褚廉简娄盖符奚木穆党燕郎邸冀谈姬屠连郜晏栾郁商蒙计喻揭窦迟宇敖糜鄢冷卓花仇艾蓝都巩稽井练仲乐虞"
    "卞封竺冼原官衣楚佟栗匡宗应台巫鞠僧桑荆谌银扬明沙薄伏岑习胥保和蔺]"
)
NAME_CUES_ZH = "姓名|联系人|收件人|收货人|患者|客户|申请人|负责人|经办人|法定代表人|持卡人|乘客|学生姓名"
_NAME_ZH = re.compile(
    rf"(?:(?:{NAME_CUES_ZH})[:：是为叫]\s*|(?:姓名|联系人|收件人|收货人|经办人|法定代表人|持卡人)\s+)((?:{SURNAMES}){_HAN}{{1,2}})(?!{_HAN})"
)
CAPITAL = "[A-ZÀ-ÖØ-Þ]"
_WORD = rf"{CAPITAL}[\w'’-]*[a-zà-ÿ'’](?![\w])"
_TITLED = re.compile(rf"\b(?:(?:Mr|Mrs|Ms|Miss|Dr)\.?|Prof\.) ({_WORD}(?: [A-Z]\.)*(?: {_WORD}){{0,2}})")
_OF_PEOPLE = "[Cc]ontact|[Pp]atient|[Cc]ustomer|[Rr]ecipient|[Cc]ardholder|[Pp]assenger|[Aa]pplicant"
_LABELLED = re.compile(
    rf"(?<![^\W_])(?:(?:[Ff]ull|[Ff]irst|[Ll]ast|[Rr]eal|[Ss]tudent|[Ee]mployee|[Aa]uthor|{_OF_PEOPLE})(?:'s)? )?"
    rf"(?:[Nn]ame|{_OF_PEOPLE}): ?(?P<name>{_WORD}(?: [A-Z]\.)?(?: {_WORD}){{1,2}})"
)
_GENITIVE = re.compile(r"['’](?:s\b|$)")
_NO_PERSON = frozenset(
    "Association Bar Baz Bot Center Centre College Committee Community Company Consortium Corp Corporation Council Debian "
    "Department Developers Division Fedora Firefox Foo Foundation Free GmbH GNU Group Help Inc Institute International Internet "
    "Labs Laboratory License Linux List Ltd Maintainers Mailing Microsoft Mozilla Network Office Open Organization Organisation "
    "Packaging Planet Project Public Research Robot School Security Server Service Services Society Software Solutions Source "
    "Support System Systems Team Technologies University Upstream User Users Who Windows".split()
)
"""Words of firms, products and placeholders, where people stand too: "Contact: ... Foundation", "Mr. Foo"."""


def names(text: str, language: str) -> Iterator[Span]:
    """Names of people after a title or a label."""
    if language == "zh":
        for m in _NAME_ZH.finditer(text):
            yield Span("name", *m.span(1))
        return
    for m in _TITLED.finditer(text):
        words = m[1].split()
        # Contests, products and toys: Miss Italia, Miss Melody, Mr. Potato in a text about potatoes.
        alone = len(words) == 1 and (m[0].startswith("Miss") or _written_small(text, words[0]))
        if not alone and not _NO_PERSON.intersection(words):
            yield _without_genitive(m, 1)
    for m in _LABELLED.finditer(text):
        words = m["name"].split()
        if _labels_people(text, m.start()) and not _NO_NAME.intersection(words) and not _NO_PERSON.intersection(words):
            yield _without_genitive(m, "name")


def _labels_people(text: str, start: int) -> bool:
    """Whether a label is not a thing's, as in `Package name:`, `Upstream-Name:`, `host name:`."""
    last, mark = text[max(0, start - 2) : max(0, start - 1)], text[max(0, start - 1) : start]
    if mark == "-":
        return not last.isalnum() or text.startswith("Contact", start)
    return mark in "\n([>|*_" or (mark in " \t" and not last.isalnum())


def _written_small(text: str, word: str) -> bool:
    """Whether a text has a capitalised word in small letters too."""
    small = _GENITIVE.split(word)[0].lower()
    at = text.find(small)
    while at >= 0:
        if not text[max(0, at - 1) : at].isalnum() and not text[at + len(small) : at + len(small) + 1].isalnum():
            return True
        at = text.find(small, at + 1)
    return False


def _without_genitive(m: re.Match[str], group: int | str) -> Span:
    """The name up to its `'s`: "Dr. Sun's Birthday"."""
    start, end = m.span(group)
    genitive = _GENITIVE.search(m[group])
    return Span("name", start, start + genitive.start() if genitive else end)
