"""The rules for Chinese: statistics equal a plain reference, thresholds are YAML's, and manuals live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from chinese_rules_reference import statistics
from hypothesis import given
from hypothesis import strategies as st

from headrace_governance.text.filters.chinese import Chinese, ChineseParams, ChineseThresholds
from headrace_governance.text.statistics.chinese_statistics import ChineseStatistics, ChineseStatisticsParams
from headrace_lake.strict import parse
from headrace_lake.tables import TABLES

FOLDER = Path(__file__).parents[4] / "governance" / "pipelines" / "filters"
PROSE = (
    "水渠把河水引到磨坊，僧侣们挖了它，六百年来一直有人清理。冬天，磨坊主在天亮以前砸开冰面！水轮要是冻住了，轴会从墙里裂开；谁来修它呢？"
)


def locales(language: str) -> list[str]:
    """Airflow's translations (Apache-2.0), one document a file."""
    import airflow

    folder = Path(airflow.__file__).parent / "ui" / "dist" / "i18n" / "locales" / language

    def strings(value: Any) -> list[str]:
        return [s for v in value.values() for s in strings(v)] if isinstance(value, dict) else [str(value)]

    return ["\n".join(strings(json.loads(f.read_text(encoding="utf-8")))) for f in sorted(folder.glob("*.json"))]


def measure(texts: list[str], language: str = "zh", form: str = "plain") -> pa.Table:
    stage = ChineseStatistics(
        parse(yaml.safe_load((FOLDER / "chinese_statistics.yaml").read_text()), ChineseStatisticsParams, where="chinese_statistics.yaml")
    )
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    return stage.process(
        pa.table(
            {
                "uid": [str(i) for i in range(len(texts))],
                "text": pa.array(texts, pa.large_string()),
                "format": [form] * len(texts),
                "verdict_language.language": pa.array([language] * len(texts), pa.string()),
            }
        )
    )


def verdicts(texts: list[str], language: str = "zh", **thresholds: float) -> list[dict[str, Any]]:
    params = parse(yaml.safe_load((FOLDER / "chinese.yaml").read_text()), ChineseParams, where="chinese.yaml")
    if thresholds:
        off = dict.fromkeys(ChineseThresholds.model_fields, 0)
        params = ChineseParams(languages={"zh": ChineseThresholds.model_validate({**off, **thresholds})})
    rows: list[dict[str, Any]] = Chinese(params).process(measure(texts, language)).to_pylist()
    return rows


def check(texts: list[str]) -> None:
    for text, row in zip(texts, measure(texts).to_pylist(), strict=True):
        for name, value in statistics(text).items():
            assert row[name] == pytest.approx(value, abs=1e-9), (name, text[:100])
        assert row["blank"] == (not text.strip())


def test_statistics_of_real_text_equal_the_reference() -> None:
    texts = [*locales("zh-CN"), *locales("zh-TW"), *locales("ja"), PROSE * 50]
    assert len(texts) > 30 and sum(map(len, texts)) > 25_000
    check(texts)


PIECES = [
    "更多",
    "展开…",
    "全文展開 >>\n",
    "【",
    "】",
    "１２",
    "\n",
    "\n\n",
    "。",
    "！",
    "?",
    "；",
    "…",
    "水渠",
    "ＡＢ",
    "\u3000",
    "a1",
    "𠀀",
    "💧",
    "重复重复重复重复重复",
]


@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)), max_size=40),
    st.integers(1, 3),
)
def test_statistics_of_any_text_equal_the_reference(parts: list[str], times: int) -> None:
    check(["".join(parts) * times, "", PROSE])


def test_every_rule_drops_what_it_is_for_and_only_that() -> None:
    rules = {
        "min_characters": (50, "太短。真短。"),
        "max_characters": (10_000, PROSE * 200),
        "max_bracket_ratio": (0.1, "【热】【新】" * 30),
        "max_digit_ratio": (0.3, "电话１３８００１３８０００。" * 20),
        "max_expand_line_ratio": (0.3, (PROSE + "\n点击展开…\n查看更多 >>\n") * 3),
        "min_unique_ratio": (0.1, PROSE * 100),
        "min_entropy": (3, "顶好" * 100),
        "min_sentences": (2, "没有句号的一段话" * 20),
        "min_passage_characters": (170, PROSE),
        "max_non_chinese_ratio": (0.4, "apt-get install headrace 安装" * 20),
        "max_short_line_ratio": (0.25, (PROSE + "\n上\n下\n") * 3),
        "min_alnum_ratio": (0.1, "※※※※※※※※※※※※※※※水" * 20),
        "max_repetition_ratio": (0.6, "哈" * 300),
    }
    good = PROSE + (
        "镇上的孩子把面包放在两根杆子架起的木板上抬到集市去卖，赚来的是热腾腾的小圆面包。老人们记得没有面粉的那几个星期，家里只有栗子做的饼。"
        "河里的水位低的时候，磨坊停工，面包师傅也只好歇着，坐在广场的石阶上同过路的商人聊天，打听邻近山谷的收成、价钱和婚礼。"
    )
    assert set(rules) == set(ChineseThresholds.model_fields)
    for field, (threshold, text) in rules.items():
        bad, fine = verdicts([text, good], **{field: threshold})
        assert not bad["keep"] and fine["keep"], field
        assert json.loads(bad["measured"])["language"] == "zh" and bad["reason"] is not None


def test_real_chinese_interface_texts_survive_the_shipped_rules_but_for_what_has_no_sentences() -> None:
    rows = verdicts([*locales("zh-CN"), *locales("zh-TW")])
    assert {r["reason"] for r in rows if not r["keep"]} <= {"too_few_sentences", "short_line_ratio", "too_few_characters"}
    assert verdicts([PROSE * 2])[0]["keep"]


def test_other_languages_are_neither_measured_nor_dropped() -> None:
    assert [r["keep"] for r in verdicts(["x", "水。", ""], language="ja")] == [True, True, True]
    assert measure([PROSE], language="en")["characters"].to_pylist() == [0]
    [blank] = verdicts(["\n \u3000"])
    assert blank["reason"] == "empty"


def test_a_new_threshold_reads_no_text() -> None:
    wanted = Chinese().inputs()
    assert wanted.primary == "chinese_statistics" and not wanted.sidecars
    assert set(wanted.columns) <= set(TABLES["chinese_statistics"].schema.names)
