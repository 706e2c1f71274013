"""Names in running text, made up by Faker in sentences that no rule was tuned on, and what only looks like names.

Rules were tuned on other sentences ("{} joined the company in 2015.") and on the sample manuals, not on these, and not changed for
what they miss here; but those for Indian names were chosen on other seeds of this set, with lists of names that are not Faker's. English
names are of the United States and Britain (`en`) and, apart, of India (`en-IN`). Nobody in it exists.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml
from faker import Faker
from pii_set import Example

_SET: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def names_in_text(seed: int = 20261126, *, each: int = 1100) -> list[Example]:
    """`each` sentences with one name and `each` without, in Chinese and in English, and `each` with an Indian name (`en-IN`)."""
    rng = random.Random(seed)
    zh, places = Faker("zh_CN"), {"zh": Faker("zh_CN"), "en": Faker("en_GB")}
    people = [Faker(code) for code in ("en_US", "en_GB")]
    indian = Faker("en_IN")
    for n, fake in enumerate([zh, *places.values(), *people, indian]):
        fake.seed_instance(seed + n)
    made = []
    for language, origin in (("zh", "zh"), ("en", "en"), ("en", "en-IN")):
        sentences = _SET["sentences"][language]
        for i in range(each):
            fake = indian if origin == "en-IN" else people[i % len(people)]
            name = str(zh.name() if language == "zh" else f"{fake.first_name()} {fake.last_name()}")
            head, tail = rng.choice(_SET["frames"][language]).split("{}")
            before, after = sentences[i % len(sentences)].split("{}")
            start = len(head) + len(before)
            made.append(Example("name", origin, f"{head}{before}{name}{after}{tail}", (start, start + len(name))))
    for language, others in _SET["others"].items():
        for i in range(each):
            place = places[language]
            town = place.city_name if language == "zh" else place.city
            values = {
                "product": rng.choice(_SET["products"][language]),
                "n": rng.randint(2, 90),
                "place": town(),
                "other": town(),
                "month": f"{rng.randint(1, 12)}月" if language == "zh" else place.month_name(),
            }
            text = others[i % len(others)].format(**values)
            made.append(Example("", language, rng.choice(_SET["frames"][language]).replace("{}", text), None))
    return made
