"""A labelled set of PII and of what looks like it: people made up by Faker, numbers from libphonenumber's plans, a seed.

Nobody in it exists. Positives carry one span each; hard negatives carry none.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import phonenumbers
from faker import Faker


@dataclass(frozen=True)
class Example:
    """A text, its language, and what must be found: a kind with its place in characters, or nothing."""

    kind: str
    language: str
    text: str
    span: tuple[int, int] | None


_FRAMES = {
    "zh": (
        "据了解，{}，请妥善保管。",
        "{}\n以上信息仅供内部使用。",
        "备注：{}。发货时间为2024年3月5日14:30。",
        "会议纪要第3页写明{}，随后各方签字。",
    ),
    "en": (
        "As noted on page 12, {} and that was all.",
        "{}\nKept on file since 2019.",
        "Please update the record: {}. Version 2.0.1.",
        "- {}",
    ),
}
_CUES: dict[tuple[str, str], tuple[str, ...]] = {
    ("resident_id", "zh"): ("身份证号{}", "身份证：{}", "证件号码 {}", "本人({})同意"),
    ("bank_card", "zh"): ("银行卡号{}", "请汇入卡号：{}", "账户 {}"),
    ("bank_card", "en"): ("card number {}", "paid with {}", "Visa {} was declined"),
    ("passport", "zh"): ("护照号码：{}", "护照 {}", "护照号{}"),
    ("passport", "en"): ("passport no. {}", "Passport number: {}", "holder of passport {}"),
    ("plate", "zh"): ("车牌号{}", "一辆{}轿车", "车辆 {} 驶入"),
    ("mobile", "zh"): ("手机{}", "电话：{}", "微信同号{}", "请致电 {} 咨询"),
    ("email", "zh"): ("邮箱{}", "请发送至 {}", "邮件：{}"),
    ("email", "en"): ("write to {}", "e-mail: {}", "contact <{}>"),
    ("ip", "zh"): ("登录IP：{}", "来自 {} 的访问", "服务器地址 {}"),
    ("ip", "en"): ("logged in from {}", "client {}", "the host at {} answered"),
    ("address", "zh"): ("住址：{}", "家住{}", "寄往{}"),
    ("address", "en"): ("lives at {}", "Address: {}", "ship it to {}"),
    ("name", "zh"): ("姓名：{}", "联系人：{}", "收件人 {}"),
    ("name", "en"): ("Name: {}", "Dr. {}", "Contact: {}"),
}
_PHONE_CUES = {
    "en": "Tel. {}", "de": "Telefon: {}", "fr": "Téléphone : {}", "es": "Teléfono: {}", "it": "Telefono: {}", "pt": "Telefone: {}",
    "ru": "Телефон: {}", "ja": "電話 {}", "ko": "전화 {}", "hi": "फ़ोन {}", "nl": "Telefoon {}", "pl": "Telefon {}", "tr": "Telefon {}",
    "ar": "هاتف {}", "zh": "座机 {}",
}  # fmt: skip
PHONE_COUNTRIES = {
    "US": "en", "GB": "en", "AU": "en", "DE": "de", "FR": "fr", "ES": "es", "MX": "es", "IT": "it", "BR": "pt", "RU": "ru",
    "JP": "ja", "KR": "ko", "IN": "hi", "NL": "nl", "PL": "pl", "TR": "tr", "SA": "ar", "CN": "zh",
}  # fmt: skip


class Maker:
    """Everything from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.zh, self.en, self.gb = Faker("zh_CN"), Faker("en_US"), Faker("en_GB")
        for n, fake in enumerate((self.zh, self.en, self.gb)):
            fake.seed_instance(seed + n)

    # -- values ------------------------------------------------------------------------------------------------------

    def digits(self, n: int) -> str:
        return "".join(self.rng.choice("0123456789") for _ in range(n))

    def grouped(self, number: str) -> str:
        how = self.rng.choice(("", " ", "-"))
        if len(number) == 15:
            return how.join((number[:4], number[4:10], number[10:]))
        return how.join(number[i : i + 4] for i in range(0, len(number), 4))

    def card(self, language: str) -> str:
        if language == "zh":
            body = "62" + self.digits(self.rng.choice((13, 16)))
            return self.grouped(body + self.luhn_digit(body))
        return self.grouped(self.en.credit_card_number(self.rng.choice(("visa16", "mastercard", "amex", "discover"))))

    @staticmethod
    def luhn_digit(body: str) -> str:
        total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(body)))
        return str(-total % 10)

    def mobile(self) -> str:
        n = str(self.zh.phone_number())
        forms = (n, f"{n[:3]}-{n[3:7]}-{n[7:]}", f"{n[:3]} {n[3:7]} {n[7:]}", f"+86 {n}", f"+86{n}", f"86-{n}")
        return self.rng.choice(forms)

    def plate(self) -> str:
        while True:  # Faker also makes plates with I and O, which GA 36-2018 does not give out
            made = str(self.zh.license_plate())
            if not set(made) & {"I", "O"}:
                return made.replace("-", self.rng.choice(("", "·", "-")))

    def ip(self) -> str:
        if self.rng.random() < 0.7:
            return str(self.en.ipv4_public())
        while True:
            address = ipaddress.IPv6Address((0x2400 << 112) | self.rng.getrandbits(112))
            if address.is_global:
                return str(address)

    def address(self, language: str) -> str:
        if language == "en":
            fake = self.rng.choice((self.en, self.gb))
            return str(self.en.address() if fake is self.en else f"{self.rng.randint(1, 400)} {self.gb.street_name()}")
        tail = self.rng.choice(("{}号", "{}号院3号楼2单元501室", "{}弄12号", "{}号8栋1203室"))
        place = f"{self.zh.city_name()}市{self.zh.district()}区{self.zh.street_name()}"
        return self.rng.choice(("", str(self.zh.province()))) + place + tail.format(self.rng.randint(1, 999))

    def phone(self, region: str) -> str:
        fixed, mobile = phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE
        kinds = (fixed,) if region == "CN" else (fixed, mobile)  # Chinese mobile numbers are a kind of their own
        while True:
            example = phonenumbers.example_number_for_type(region, self.rng.choice(kinds))
            assert example is not None
            national = str(example.national_number)
            keep = self.rng.randint(3, 5)
            number = phonenumbers.PhoneNumber(
                country_code=example.country_code,
                national_number=int(national[:keep] + self.digits(len(national) - keep)),
                italian_leading_zero=example.italian_leading_zero,
            )
            if phonenumbers.is_valid_number_for_region(number, region):
                break
        styles = phonenumbers.PhoneNumberFormat
        style = self.rng.choice((styles.INTERNATIONAL, styles.INTERNATIONAL, styles.E164, styles.NATIONAL))
        return str(phonenumbers.format_number(number, style))

    # -- examples ----------------------------------------------------------------------------------------------------

    def framed(self, kind: str, language: str, cue: str, value: str) -> Example:
        frame = self.rng.choice(_FRAMES.get(language, _FRAMES["en"]))
        before, after = cue.split("{}")
        head, tail = frame.split("{}")
        start = len(head) + len(before)
        return Example(kind, language, f"{head}{before}{value}{after}{tail}", (start, start + len(value)))

    def positives(self, each: int) -> list[Example]:
        """`each` examples of every kind and language."""
        values: dict[str, Callable[[str], str]] = {
            "resident_id": lambda _: str(self.zh.ssn()),
            "bank_card": self.card,
            "passport": lambda lang: str(self.rng.choice("EG") + self.digits(8) if lang == "zh" else self.en.passport_number()),
            "plate": lambda _: self.plate(),
            "mobile": lambda _: self.mobile(),
            "email": lambda lang: str(self.rng.choice((self.en.free_email, self.en.company_email, self.zh.free_email))()),
            "ip": lambda _: self.ip(),
            "address": self.address,
            "name": lambda lang: str(self.zh.name() if lang == "zh" else f"{self.en.first_name()} {self.en.last_name()}"),
        }
        made = [
            self.framed(kind, language, self.rng.choice(cues), values[kind](language))
            for (kind, language), cues in _CUES.items()
            for _ in range(each)
        ]
        for region, language in PHONE_COUNTRIES.items():
            made += [self.framed("phone", language, _PHONE_CUES[language], self.phone(region)) for _ in range(each)]
        return made

    def negatives(self, count: int) -> list[Example]:
        """Texts with what only looks like PII."""
        rng, digits = self.rng, self.digits

        def between(low: int, high: int) -> str:
            return f"{rng.randint(low, high):02}"

        def joined(by: str, *ranges: tuple[int, int]) -> str:
            return by.join(between(*r) for r in ranges)

        day, small = ((1990, 2029), (1, 12), (1, 28)), ((1, 9),) * 4
        makers: list[tuple[str, Callable[[], str]]] = [
            ("zh", lambda: f"订单号{rng.choice('23456789')}{digits(17)}已发货"),
            ("zh", lambda: f"统一社会信用代码9{digits(16)}X"),
            ("zh", lambda: f"产品编号{wrong_id(str(self.zh.ssn()))}，库存{digits(3)}件"),
            ("zh", lambda: f"于{rng.randint(1980, 2030)}年{rng.randint(1, 12)}月发布的第{rng.randint(1, 99)}号公告，共{digits(4)}页"),
            ("zh", lambda: f"国家标准GB/T {digits(5)}-{rng.randint(1990, 2024)}规定了型号A{digits(5)}的尺寸"),
            ("zh", lambda: f"版本号{digits(1)}.{digits(2)}.{digits(1)}.{digits(3)}修复了若干问题"),
            ("zh", lambda: f"沿着中山路走{rng.randint(2, 9)}站，经过三个区，市中心就在前面"),
            ("zh", lambda: f"客户满意度为{rng.randint(60, 99)}.{digits(2)}%，联系人可以在系统中修改"),
            ("en", lambda: f"ISBN {self.en.isbn13()} and ISBN {self.en.isbn10()}"),
            ("en", lambda: f"request {self.en.uuid4()} took {digits(3)} ms"),
            ("en", lambda: f"commit {rng.getrandbits(160):040x}"),
            ("en", lambda: f"upgraded from {joined('.', *small[:3])}-{digits(1)} to version {joined('.', *small)}"),
            ("en", lambda: f"on {joined('-', *day)} {joined(':', (0, 23), (0, 59), (0, 59))} +0100"),
            ("en", lambda: f"the total of {rng.randint(1, 999)},{digits(3)},{digits(3)}.{digits(2)} dollars"),
            ("en", lambda: f"order number {wrong_card(str(self.en.credit_card_number('visa16')))}"),
            ("en", lambda: f"icon@{rng.randint(2, 4)}x.png is {digits(3)} pixels wide; use git@github.com:user/repo.git"),
            ("en", lambda: f"listen on 127.0.0.1:{digits(4)} and 192.168.{rng.randint(0, 255)}.{rng.randint(1, 254)}, mask 255.255.255.0"),
            ("en", lambda: f"OID 1.3.6.1.4.1.{digits(4)}.{digits(1)} and section {joined('.', *small)}"),
            ("en", lambda: f"@Override in class Foo{digits(2)} at line {digits(4)}, see user@example.com"),
            ("en", lambda: f"pi is 3.14159265358979 and e is 2.71828182845904, {digits(12)}.{digits(3)}"),
            ("en", lambda: f"timestamp 17{digits(8)} ({digits(13)} in milliseconds)"),
            ("en", lambda: f"{rng.randint(2, 900)} Chapters of the Book were read, {rng.randint(2, 90)} of them twice"),
            ("en", lambda: f"the name: a string; the contact: null; pages {digits(3)}-{digits(3)}"),
            ("en", lambda: f"part no. E{digits(8)} fits the A{digits(6)} housing"),
            ("en", lambda: f"MAC {':'.join(f'{rng.getrandbits(8):02x}' for _ in range(6))} at {joined(':', (0, 23), (0, 59), (0, 59))}"),
            ("de", lambda: f"Artikel {digits(3)}.{digits(3)}.{digits(2)}, Seite {digits(3)}, am {joined('.', *reversed(day))}"),
            ("fr", lambda: f"le {joined('/', *reversed(day))}, {digits(3)} {digits(3)} euros et {digits(2)} centimes"),
            ("es", lambda: f"el artículo {digits(3)}-{digits(4)} del {rng.randint(1990, 2029)}, tomo {digits(2)}"),
        ]  # fmt: skip
        made = []
        for i in range(count):
            language, make = makers[i % len(makers)]
            frame = rng.choice(_FRAMES.get(language, _FRAMES["en"]))
            made.append(Example("", language, frame.replace("{}", make()), None))
        return made


def wrong_id(number: str) -> str:
    """The number with another check digit."""
    return number[:17] + ("1" if number[17] != "1" else "2")


def wrong_card(number: str) -> str:
    """The number with another check digit."""
    return number[:-1] + str((int(number[-1]) + 1) % 10)


def labelled(seed: int = 20261125, *, each: int = 130, negatives: int = 2100) -> list[Example]:
    """The whole set."""
    maker = Maker(seed)
    return maker.positives(each) + maker.negatives(negatives)


def wilson_lower(hits: int, n: int) -> float:
    """Lower end of Wilson's 95 % interval."""
    if not n:
        return 0.0
    z, p = 1.96, hits / n
    return (p + z * z / (2 * n) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)


def is_hit(example: Example, found: tuple[str, int, int]) -> bool:
    """Same kind, and no character of the label is left standing but a tenth."""
    kind, start, end = found
    if example.span is None or kind != example.kind:
        return False
    a, b = example.span
    return min(b, end) - max(a, start) >= 0.9 * (b - a)
