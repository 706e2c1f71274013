"""Language of texts in capitals, of languages that are hardly told apart, and of Japanese without kana. Sentences are ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from headrace_governance.text.language.scripts import kanji_forms, kanji_language
from headrace_governance.text.language.stage import Language, LanguageParams, mostly_capitals, small_letters
from headrace_lake.errors import ConfigError
from headrace_lake.strict import parse

FILE = Path(__file__).parents[4] / "governance" / "pipelines" / "filters" / "language.yaml"

LICENCE = (
    "THE SOFTWARE IS PROVIDED AS IS, WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. THE AUTHORS ARE NOT LIABLE FOR ANY DAMAGE THAT "
    "COMES FROM ITS USE. THE USER TAKES ALL RISKS AND AGREES TO THE TERMS THAT ARE WRITTEN ABOVE."
)
SENTENCES = {
    "en": "The council decided today to clean the canal, and the miller said that the work will begin next week.",
    "fr": "Le conseil a décidé aujourd'hui de nettoyer le canal et le meunier a dit que les travaux commenceront la semaine prochaine.",
    "de": "Der Rat hat heute beschlossen, den Kanal zu reinigen, und der Müller sagte, dass die große Arbeit nächste Woche beginnt.",
    "es": "El consejo decidió hoy limpiar el canal y el molinero dijo que los trabajos comenzarán la próxima semana.",
    "it": "Il consiglio ha deciso oggi di pulire il canale e il mugnaio ha detto che i lavori inizieranno la prossima settimana.",
    "pt": "O conselho decidiu hoje limpar o canal e o moleiro disse que os trabalhos começarão na próxima semana.",
    "nl": "De raad heeft vandaag besloten het kanaal schoon te maken en de molenaar zei dat het werk volgende week begint.",
    "pl": "Rada zdecydowała dziś o oczyszczeniu kanału, a młynarz powiedział, że prace rozpoczną się w przyszłym tygodniu.",
    "cs": "Rada dnes rozhodla o vyčištění kanálu a mlynář řekl, že práce začnou příští týden.",
    "tr": "Meclis bugün kanalı temizleme kararı aldı ve değirmenci işin gelecek hafta başlayacağını söyledi, ışıklar İzmir'de söndü.",
    "az": "Şura bu gün kanalı təmizləmək qərarı verdi və dəyirmançı dedi ki, iş gələn həftə başlayacaq, İclas isə sabahdır.",
    "ru": "Совет сегодня решил очистить канал, и мельник сказал, что работы начнутся на следующей неделе.",
    "uk": "Рада сьогодні вирішила очистити канал, і мірошник сказав, що роботи почнуться наступного тижня.",
    "bg": "Съветът днес реши да почисти канала и мелничарят каза, че работата ще започне следващата седмица.",
    "el": "Το συμβούλιο αποφάσισε σήμερα να καθαρίσει το κανάλι και ο μυλωνάς είπε ότι οι εργασίες θα αρχίσουν την επόμενη εβδομάδα.",
    "vi": "Hội đồng hôm nay quyết định nạo vét con kênh và người thợ xay nói rằng công việc sẽ bắt đầu vào tuần tới.",
    "id": "Dewan hari ini memutuskan untuk membersihkan saluran dan tukang giling mengatakan bahwa pekerjaan akan dimulai minggu depan.",
    "fi": "Neuvosto päätti tänään puhdistaa kanavan, ja mylläri sanoi, että työ alkaa ensi viikolla.",
}


@pytest.fixture(scope="module")
def stage() -> Language:
    made = Language(parse(yaml.safe_load(FILE.read_text(encoding="utf-8")), LanguageParams, where="language.yaml"))
    made.setup()
    made.begin(None, {})  # type: ignore[arg-type]
    return made


def run(stage: Language, texts: list[str], hints: list[str | None] | None = None) -> list[dict[str, Any]]:
    columns = {"uid": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.large_string())}
    if hints:
        columns["language_hint"] = pa.array(hints, pa.string())
    rows: list[dict[str, Any]] = stage.process(pa.table(columns)).to_pylist()
    return rows


def test_a_licence_in_capitals_is_english(stage: Language) -> None:
    [row] = run(stage, [LICENCE])
    assert row["language"] == "en" and row["keep"] and row["score"] > 0.9


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_capitals_are_told_as_small_letters_are(stage: Language, language: str) -> None:
    text = SENTENCES[language]
    mixed = text.upper() + " " + text[: len(text) // 3]
    titled = " ".join(word.upper() if i % 4 else word for i, word in enumerate(text.split()))
    small, *others = run(stage, [text, text.upper(), mixed, titled])
    assert small["language"] == language
    for row in others:
        assert row["language"] == language and row["score"] >= small["score"] - 0.12 and row["keep"] == small["keep"]


def test_a_text_that_has_some_capitals_is_left_as_it_is() -> None:
    assert not mostly_capitals("NASA and ESA sent a probe to the moon, and it came back.", 0.4)
    assert not mostly_capitals("Der Rat der Stadt Ulm hat heute Nacht beschlossen", 0.4)
    assert not mostly_capitals("这是一个没有大小写的句子", 0.4) and not mostly_capitals("1234 !", 0.4)
    assert mostly_capitals("ЭТО ТЕКСТ", 0.4) and mostly_capitals("A" * 5000 + "b" * 300, 0.4)


def test_turkish_letters_are_folded_as_turkish_writes_them() -> None:
    assert small_letters("IŞIK İZMİR") == "ışık izmir" and small_letters("GROSSE INSEL, ΟΔΟΣ") == "grosse insel, οδος"


SOUTH_SLAVIC = {
    "hr": "Vijeće je danas odlučilo očistiti kanal, a mlinar je rekao da će radovi početi sljedećeg tjedna.",
    "sr": "Veće je danas odlučilo da očisti kanal, a mlinar je rekao da će radovi početi sledeće nedelje.",
    "bs": "Vijeće je danas odlučilo da očisti kanal, a mlinar je rekao da će radovi početi sljedeće sedmice.",
}


@pytest.mark.parametrize("declared", ["hr", "sr", "bs", "sr-Latn-RS", "hr_HR", "BS"])
def test_a_declared_language_decides_within_its_confusable_set(stage: Language, declared: str) -> None:
    code = declared[:2].lower()
    free, told = run(stage, [SOUTH_SLAVIC[code]] * 2, [None, declared])
    assert told["keep"] and told["language"] == code and free["keep"] and free["language"] in SOUTH_SLAVIC
    possible = json.loads(told["measured"])["confusable"]
    assert {"hr", "sr", code} <= set(possible)
    assert told["score"] == free["score"] > 0.9 and list(possible.values()) == sorted(possible.values(), reverse=True)


@pytest.mark.parametrize(
    ("language", "other", "text"),
    [
        (
            "ms",
            "id",
            "Majlis hari ini memutuskan untuk membersihkan terusan dan pengisar berkata bahawa kerja itu akan bermula minggu depan.",
        ),
        ("no", "da", "Rådet bestemte i dag å rense kanalen, og mølleren sa at arbeidet begynner neste uke."),
        ("sk", "cs", "Vláda dnes rozhodla o zvýšení dôchodkov a minister povedal, že výplata sa začne budúci týždeň."),
        ("gl", "pt", "O goberno decidiu hoxe aumentar as pensións e o ministro dixo que o pagamento comezará a semana que vén."),
    ],
)
def test_other_pairs_are_reported_with_both(stage: Language, language: str, other: str, text: str) -> None:
    plain, declared = run(stage, [text, text], [None, language])
    assert plain["keep"] and declared["keep"] and declared["language"] == language
    assert {language, other} <= set(json.loads(plain["measured"])["confusable"])


def test_a_declared_language_that_the_text_is_surely_not_in_decides_nothing(stage: Language) -> None:
    rows = run(stage, [SENTENCES["cs"], SENTENCES["ru"], SENTENCES["en"], SENTENCES["de"]], ["sk", "uk", "fr", "xx-Zzzz"])
    assert [r["language"] for r in rows] == ["cs", "ru", "en", "de"]
    assert not any("confusable" in json.loads(r["measured"]) for r in rows)


def test_a_wanted_language_is_wanted_with_those_it_cannot_be_told_from(stage: Language) -> None:
    params = stage.params.model_copy(update={"wanted": ("sr",)})
    wanted = Language(params)
    wanted.setup()
    wanted.begin(None, {})  # type: ignore[arg-type]
    rows = run(wanted, [SOUTH_SLAVIC["hr"], SENTENCES["cs"]])
    assert [r["reason"] for r in rows] == [None, "language_not_wanted"]


def test_paragraphs_of_one_confusable_set_are_no_mixture(stage: Language) -> None:
    text = "\n\n".join(SOUTH_SLAVIC[code] + " " + SOUTH_SLAVIC[code] for code in ("hr", "sr", "bs") * 4)
    [row] = run(stage, [text])
    assert row["keep"] and len(json.loads(row["paragraph_languages"])) >= 2


KANJI = [
    "東京都千代田区霞が関一丁目二番三号 日本国憲法第九条 戦争放棄 国権発動 国際紛争解決手段 永久放棄",
    "株式会社日本経済新聞社 代表取締役社長 東京都中央区 電話番号 営業時間 午前九時 午後五時 定休日 土曜日 日曜日 祝日",
    "第一章 総則 第一条 目的 第二条 定義 第三条 権利義務 第四条 契約期間 第五条 秘密保持 第六条 損害賠償 第七条 解約",
    "気象庁発表 明日天気予報 東京 晴後曇 最高気温二十度 大阪 雨 降水確率八十",
    "国立大学法人東京大学大学院工学系研究科電気系工学専攻",
]


def test_japanese_without_kana_is_japanese(stage: Language) -> None:
    rows = run(stage, KANJI)
    assert [(r["language"], r["script"], r["keep"]) for r in rows] == [("ja", "Jpan", True)] * len(KANJI)


def test_chinese_is_no_japanese(stage: Language) -> None:
    texts = [
        "中华人民共和国宪法第一章总纲，国家机关工作人员必须依照法律规定就职。",
        "為了慶祝元旦，學校組織了豐富多彩的活動，同學們都很高興，老師也參加了演出。",
        "这条水渠是僧侣们挖的，六百年来一直有人清理，冬天也不停。",
        "臺北市政府今日公告，明年度預算將提高百分之三，並請市民踴躍參與說明會。",
        "子曰學而時習之不亦說乎有朋自遠方來不亦樂乎人不知而不慍不亦君子乎",
    ]
    rows = run(stage, texts)
    assert [r["language"] for r in rows] == ["zh"] * 5 and all(r["script"] in ("Hans", "Hant") and r["keep"] for r in rows)


def test_forms_of_characters_tell_japanese_from_chinese() -> None:
    alone, strange, simplified, traditional = kanji_forms()
    assert set("気図働込駅円") <= alone and set("们這說妳") & strange and "国" in simplified and "東" in traditional
    assert [kanji_language(t) for t in ("国東会銀", "気駅", "们说", "山水", "國東會")] == ["ja", "ja", "zh", None, None]


@pytest.mark.parametrize(("sets", "message"), [([["hr"]], "needs two languages"), ([["hr", "sr"], ["sr", "bs"]], "'sr' is in two")])
def test_confusable_sets_are_checked(sets: list[list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse({"confusable": sets}, LanguageParams, where="language.yaml")
