"""Planted pairs: texts that are near duplicates, and texts that only share a form. Everything from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from faker import Faker

LOCALES = ("en_US", "de_DE", "fr_FR", "ru_RU", "zh_CN", "ja_JP")
UNSPACED = ("zh_CN", "ja_JP")


@dataclass(frozen=True)
class Pair:
    """Two texts, what was done to the second, and whether they are near duplicates."""

    kind: str
    one: str
    other: str
    near: bool


class Planter:
    """Makes texts of a few hundred words and their variants."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.fakes = {}
        for n, locale in enumerate(LOCALES):
            self.fakes[locale] = Faker(locale)
            self.fakes[locale].seed_instance(seed * 100 + n)
        self.en = self.fakes["en_US"]

    def prose(self, locale: str) -> str:
        """Paragraphs of one language."""
        fake, rng = self.fakes[locale], self.rng
        paragraphs = ["".join(fake.paragraph(nb_sentences=rng.randint(4, 9))) for _ in range(rng.randint(4, 9))]
        return "\n\n".join(paragraphs)

    # -- near duplicates -----------------------------------------------------------------------------------------------

    def edited(self, text: str, locale: str, share: float) -> str:
        """Some words (characters where there are no spaces) replaced by others of the same text."""
        unit = list(text) if locale in UNSPACED else text.split(" ")
        pool = sorted({u for u in unit if u.strip()})
        # Edits of web pages come together, a sentence here and there: that keeps the similarity above 0.8.
        places = max(1, int(len(unit) * share / 4))
        for _ in range(places):
            at = self.rng.randrange(max(1, len(unit) - 4))
            for i in range(at, min(at + 4, len(unit))):
                if unit[i].strip():
                    unit[i] = self.rng.choice(pool)
        return ("" if locale in UNSPACED else " ").join(unit)

    def near(self) -> Pair:
        """A pair that should be found."""
        locale = self.rng.choice(LOCALES)
        text = self.prose(locale)
        kind = self.rng.choice(("edited", "framed", "spaced", "cased", "cut"))
        if kind == "edited":
            other = self.edited(text, locale, self.rng.uniform(0.01, 0.05))
        elif kind == "framed":
            other = f"Home | About | Contact\n\n{text}\n\nAll rights reserved. Share this page."
        elif kind == "spaced":
            other = text.replace("\n\n", "\n \n\t").replace(". ", ".  ")
        elif kind == "cased":
            other = text.upper() if self.rng.random() < 0.5 else text.lower()
        else:
            other = text[: int(len(text) * self.rng.uniform(0.9, 0.97))]
        return Pair(f"{kind} {locale}", text, other, True)

    # -- hard negatives ------------------------------------------------------------------------------------------------

    def letter(self) -> str:
        """One form letter: the same words, other facts."""
        e, rng = self.en, self.rng
        return (
            f"Dear {e.first_name()} {e.last_name()},\n\nthank you for your order {rng.randint(10**6, 10**7)} of {e.date()}. We have "
            f"received your payment of {rng.randint(10, 999)}.{rng.randint(10, 99)} dollars and sent the goods to {e.street_address()}, "
            f"{e.city()}, on the following day. They left our store in {e.city()} with {e.company()} and should reach you before "
            f"{e.date()}. If anything is missing, call {e.last_name()} at extension {rng.randint(1000, 9999)} and name the delivery "
            f"note {rng.randint(10**5, 10**6)}. Goods may be sent back within {rng.randint(10, 60)} days in their original packaging; "
            f"the price is then paid back to the account ending in {rng.randint(1000, 9999)}, less the cost of {rng.randint(5, 30)} "
            f"dollars for the transport. We hope that you will order from us again and remain, with kind regards, yours sincerely, "
            f"{e.first_name()} {e.last_name()}, customer service, branch {e.city()}."
        )

    def changelog(self) -> str:
        """The standing entries of a change log, with other versions, dates and tickets."""
        e, rng = self.en, self.rng
        entries = "".join(
            f"\n* {what} (#{rng.randint(100, 99999)}, reported by {e.first_name()} {e.last_name()})"
            for what in (
                "fix a crash when the configuration file is empty", "update translations", "build with the current compiler",
                "bump the required version of the library", "remove deprecated options", "improve error messages of the parser",
                "speed up the start on slow disks", "document the new option", "do not leak file descriptors in the watcher",
                "handle signals while waiting for input", "use the system's certificates by default",
            )
        )  # fmt: skip
        return f"Release {rng.randint(1, 30)}.{rng.randint(0, 60)}.{rng.randint(0, 90)} of {e.date()}\n{entries}\n"

    def record(self) -> str:
        """A Chinese form: the same words, other facts."""
        z, rng = self.fakes["zh_CN"], self.rng
        return (
            f"根据《公司登记管理条例》的有关规定，经审查，{z.company()}（注册号{rng.randint(10**14, 10**15 - 1)}）提交的"
            f"变更登记申请材料齐全，符合法定形式，我局决定准予变更登记。法定代表人由{z.name()}变更为{z.name()}，"
            f"注册资本由{rng.randint(10, 999)}万元变更为{rng.randint(1000, 9999)}万元，住所变更为{z.address()}。"
            f"请于{rng.randint(2001, 2025)}年{rng.randint(1, 12)}月{rng.randint(1, 28)}日前携带本通知书到登记机关领取新的营业执照，"
            f"逾期未领取的，登记机关将依法处理。如有疑问，请拨打电话{rng.randint(10**7, 10**8)}咨询，"
            f"受理编号为{rng.randint(10**8, 10**9)}。"
        )

    def contract(self) -> str:
        """A long text with few facts: nine of ten shingles are the same."""
        e, rng = self.en, self.rng
        terms = (
            "The tenant shall pay the rent in advance on the first working day of each month, without deduction and without being "
            "asked. The tenant shall keep the inside of the premises in good and clean condition, make good any damage that is "
            "caused by neglect, and tell the landlord at once of any defect that the landlord has to repair. The tenant shall not "
            "use the premises for a trade or business, keep animals without written consent, or do anything that disturbs the "
            "neighbours. The landlord shall keep the structure, the roof and the drains in repair, insure the building against "
            "fire and water, and leave the tenant in quiet enjoyment as long as the rent is paid. The landlord may enter the "
            "premises at reasonable hours of the day, after giving notice in writing, to look at their state or to repair what "
            "needs it. At the end of the tenancy the tenant shall give back the premises with all keys, in the state in which "
            "they were taken over, fair wear and tear excepted. The deposit is held by an independent scheme and paid back within "
            "the time that the law allows, less what is owed for rent or damage. Neither side may give the contract to others "
            "without consent. Changes must be in writing. If one term is void, the others stay in force, and the void one is "
            "replaced by what comes nearest to it."
        )
        return (
            f"Agreement of {e.date()} between {e.first_name()} {e.last_name()}, landlord, and {e.first_name()} {e.last_name()}, tenant, "
            f"for the premises at {e.street_address()}, {e.city()}. The rent is {rng.randint(400, 4000)} and the deposit is "
            f"{rng.randint(4000, 9000)}. {terms} Signed at {e.city()} by both sides."
        )

    def hard(self) -> Pair:
        """A pair that must not be merged."""
        kind = self.rng.choice(("letter", "changelog", "record", "contract", "prose"))
        if kind == "prose":
            locale = self.rng.choice(LOCALES)
            return Pair(f"prose {locale}", self.prose(locale), self.prose(locale), False)
        make = getattr(self, kind)
        return Pair(kind, make(), make(), False)


def pairs(seed: int, near: int, hard: int) -> list[Pair]:
    """The planted pairs."""
    planter = Planter(seed)
    return [planter.near() for _ in range(near)] + [planter.hard() for _ in range(hard)]
