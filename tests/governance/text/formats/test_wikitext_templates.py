"""Templates of wikitext that carry numbers, dates, names and readings; those that nobody knows keep their arguments and are counted."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_trials import RULES, run_import

from headrace_governance.text.formats.wikipedia.convert import convert_page, wikitext
from headrace_governance.text.formats.wikipedia.templates import FUNCTIONS, Templates, normal
from headrace_lake.settings import Settings

WIKI = RULES.wikitext


def export(text: str, language: str, title: str = "T") -> bytes:
    page = f"<page><title>{title}</title><ns>0</ns><id>1</id><revision><id>2</id><text>{escape(text)}</text></revision></page>"
    return f'<mediawiki xml:lang="{language}"><siteinfo><base>https://x.org/wiki/x</base></siteinfo>{page}</mediawiki>'.encode()


@pytest.mark.parametrize(
    ("language", "source", "text"),
    [
        ("en", "covers {{convert|10|to|20|km2}}, lies {{cvt|500|m}} high", "covers 10 to 20 km2, lies 500 m high"),
        ("en", "dammed on {{start date|1999|5|3}} at {{US$|5 million}}", "dammed on 3 May 1999 at US$5 million"),
        ("en", "{{convert|5|ft|10|in|cm}} by {{convert|3|x|4|m}} at {{convert|72|F|C}}", "5 ft 10 in by 3 × 4 m at 72 °F"),
        ("en", "{{convert|2.5|e6km2}}, {{convert|10|km|mi|abbr=on}} or {{cvt|5|-|7|kg|lb|0}}", "2.5 million km2, 10 km or 5–7 kg"),
        ("en", "about {{val|1.23|0.02|e=5|u=kg}} and {{val|5|ul=m/s}}", "about 1.23 ± 0.02 × 10⁵ kg and 5 m/s"),
        ("en", "born {{birth date and age|1999|5|3|df=y}}, {{start date|2001|2}}, {{dts|3 May 1999}}",
         "born 3 May 1999, February 2001, 3 May 1999"),
        ("en", "{{as of|2011|lc=y}} it is {{frac|3|1|2}} or {{frac|1|2}} {{e|5}} at {{INR|5}}", "as of 2011 it is 3 1/2 or 1/2 ×10⁵ at ₹5"),
        ("en", "{{OldStyleDate|3 May|1999|22 April}} by {{ill|Name|de|Fremd|lt=Shown}}", "3 May [O.S. 22 April] 1999 by Shown"),
        ("en", "H{{sub|2}}O, x{{sup|2}} and {{sort|abc|Abc}} {{sortname|John|Smith}}", "H₂O, x² and Abc John Smith"),
        ("en", "of {{hlist|a|b|c}} and {{lang|fr|Bonjour}} {{transl|ru|Moskva}}", "of a, b, c and Bonjour Moskva"),
        ("zh", "此湖由{{le|张三|Zhang San}}和{{link-en|李四|Li Si}}于1999年发现", "此湖由张三和李四于1999年发现"),
        ("zh", "及{{tsl|en|Wang Wu|王五}}、{{tsl|en|Wang Wu|王五|老王}}和{{le|GitHub|GitHub}}", "及王五、老王和GitHub"),
        ("zh", "于{{start date|1999|5|3}}，费用{{US$|500万}}，{{internal link helper/en|甲|A}}", "于1999年5月3日，费用US$500万，甲"),
        ("ja", "{{読み仮名|東京|とうきょう}}は日本の首都である", "東京は日本の首都である"),
        ("ja", "{{仮リンク|川|en|River}}と{{仮リンク|東京|zh|东京市|label=都}}の{{ruby|漢字|かんじ}}", "川と都の漢字"),
        ("ja", "{{生年月日と年齢|1999|5|3}}に生まれ{{要出典|date=2020}}た", "1999年5月3日に生まれた"),
        ("ko", "{{llang|en|word}}는 {{출생일과 나이|1999|5|3}}에", "word는 1999년 5월 3일에"),
        ("fr", "long de {{unité|10|km}} et {{unité|5|m|3|s|-1}}, {{nombre|12345|habitants}}", "long de 10 km et 5 m³ s⁻¹, 12345 habitants"),
        ("fr", "le {{date|3|mai|1999}} au {{s|XIX}} ou {{siècle|XX}}, {{av JC}}", "le 3 mai 1999 au XIXe siècle ou XXe siècle, av. J.-C."),
        ("fr", "par {{Lien|langue=en|trad=Foo|fr=Local|texte=vu}} et {{langue|en|word}}", "par vu et word"),
        ("es", "mide {{unidad|10|km}} el {{fecha|3|5|1999}} en el {{siglo|XIX}}", "mide 10 km el 3 de mayo de 1999 en el siglo XIX"),
        ("ru", "имя {{нп5|Местное|Показ|en|Foreign}} и {{нп5|Местное||en|Foreign}}", "имя Показ и Местное"),
        ("ru", "{{число|12345}} и {{s|5 км}} от {{дата|3|5|1999}}", "12345 и 5 км от 3 мая 1999"),
        ("de", "hat {{Zahl|12345}} Einwohner, {{Höhe|500|DE}}, {{enS|text}}, {{EUR|5}}", "hat 12345 Einwohner, 500 m, text, 5 €"),
        ("en", "{{yes|3 of 5}}, {{yes}}, {{no|none}}, {{n/a|not held}}, {{won|joint}}", "3 of 5, Yes, none, not held, joint"),
        ("en", "{{percentage|1|4}} and {{percent|2|3|1}} of {{percentage|1,000|0}}, died aged {{age|1950|5|2|2000|3|4}}",
         "25% and 66.7% of 1,000/0, died aged 49"),
        ("fr", "selon {{M.|Dupont}}, {{Mme|Durand}} et {{M.}} Petit au {{n°|5}}", "selon M. Dupont, Mme Durand et M. Petit au no 5"),
        ("ko", "{{출생일과 만나이|1950|1|2}}, {{시작날짜|1999|5|3}}에 {{임시링크|강|en|River}}", "1950년 1월 2일, 1999년 5월 3일에 강"),
        ("es", "por {{enlace interlingüístico|Río|en|River}} el {{fecha de nacimiento|3|5|1999}} {{ac.}}",
         "por Río el 3 de mayo de 1999 a. C."),
        ("en", "{{formatnum:{{val|1234}}}} at {{currency|amount=5|code=EUR}} {{±|2}}", "1234 at 5 EUR ±2"),
        ("fr", "en {{av JC|52}} et 60 {{av JC}}, {{ap JC|5}}", "en 52 av. J.-C. et 60 av. J.-C., 5 apr. J.-C."),
        ("ru", "дом {{№|5}}, {{век|XIX}}", "дом № 5, XIX век"),
        ("ja", "{{年月日|1999|5|3}}に{{フリガナ|川|かわ}}", "1999年5月3日に川"),
    ],
)  # fmt: skip
def test_a_known_template_says_what_its_reader_sees(language: str, source: str, text: str) -> None:
    assert wikitext(f"Word {source} word.", WIKI, language=language) == f"Word {text} word."


@pytest.mark.parametrize(
    ("source", "text", "fields"),
    [
        ("A word {{foo bar|kept|x=y}} more.", "A word kept more.", {"templates_unknown": "1", "templates": "foo bar 1"}),
        ("Of {{foo|one|two}} and [[a]] {{foo|3}}.", "Of one two and a 3.", {"templates_unknown": "2", "templates": "foo 2"}),
        ("A word {{foo|x=y}} more.", "A word more.", {"templates_dropped": "1", "templates": "foo 1"}),
        ("{{Some box|one\n|two}}\nA word.", "A word.", {"templates_dropped": "1", "templates": "some box 1"}),
        ("Said.{{foonote|Smith}} And 5{{foo|kg}}.", "Said. And 5kg.",
         {"templates_unknown": "1", "templates_dropped": "1", "templates": "foo 1; foonote 1"}),
        ("A {{#if:x|y|z}} word.", "A word.", {"templates_dropped": "1", "templates": "#if: 1"}),
        ("* {{foo|in a list}}", "- in a list", {"templates_unknown": "1", "templates": "foo 1"}),
        ("A word.{{sfn|Smith}} {{citation needed}} More{{efn|a}}.", "A word. More.", {}),
        ("{{Infobox lake|depth=3}}\n{{Main|B}}\nA word.", "A word.", {}),
    ],
)  # fmt: skip
def test_an_unknown_template_is_kept_in_a_sentence_and_counted_everywhere(source: str, text: str, fields: dict[str, str]) -> None:
    got = convert_page(export(source, "en"), WIKI)
    assert got.text == f"# T\n\n{text}"
    assert {k: v for k, v in got.fields.items() if k.startswith("templates")} == fields


def test_the_cells_of_a_table_hold_what_templates_say() -> None:
    source = (
        '{| class="wikitable"\n! Land !! t !! on !! x\n|-\n| {{flag|France}} || {{nts|1,000}} || {{dts|1999|5|3}} || {{unheard of|7}}\n|}'
    )
    assert wikitext(source, WIKI) == "| Land | t | on | x |\n| --- | --- | --- | --- |\n| France | 1,000 | 3 May 1999 | 7 |"


def test_pages_of_dumps_say_how_many_templates_nobody_knew(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "zh.xml").write_bytes(export("此湖由{{le|张三|Zhang San}}和{{未知|李四}}发现，每年春天水位很高。", "zh", "湖"))
    got = run_import(settings, {"kind": "wikipedia", "paths": [str(tmp_path / "zh.xml")]})
    assert got.every == ["# 湖\n\n此湖由张三和李四发现，每年春天水位很高。"]
    [fields] = got.fields.values()
    assert (fields["templates_unknown"], fields["templates"]) == ("1", "未知 1")


def test_every_rule_that_ships_names_a_function_that_there_is() -> None:
    rules = [*WIKI.templates.values(), *(rule for named in WIKI.templates_by_language.values() for rule in named.values())]
    called = {rule[1:].partition(":")[0] for rule in rules if rule.startswith("@")}
    assert called - {"amount"} <= set(FUNCTIONS)
    for language in WIKI.templates_by_language:
        known = Templates(WIKI, language)
        assert not [name for name in WIKI.templates_by_language[language] if known.rule(normal(name.rstrip("*"))) is None]


@given(
    st.dictionaries(
        st.sampled_from(["1", "2", "3", "4", "5", "e", "u", "d", "m", "label"]), st.text(max_size=6).map(str.strip).filter(bool)
    )
)
def test_no_arguments_break_a_function(given_: dict[str, str]) -> None:
    for function in FUNCTIONS.values():
        for language in ("en", "zh", "xx", ""):
            assert isinstance(function(given_, language), str)
