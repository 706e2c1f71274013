"""Documents that are a licence, a listing or a list are dropped under their own names; manuals that quote some are not."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from headrace_governance.text.filters.structure import Structure, StructureParams
from headrace_governance.text.statistics.stage import TextStatistics, TextStatisticsParams
from headrace_lake.strict import parse
from headrace_lake.tables import TABLES

FOLDER = Path(__file__).parents[4] / "governance" / "pipelines" / "filters"
PROSE = "The canal that feeds the mill was dug by the monks, and it has been kept clean for six hundred years.\n\n"


def licence(name: str) -> str:
    return (files("spdx") / "data" / f"{name}.txt").read_text(encoding="utf-8")


def judge(texts: list[str], form: str = "markdown", **thresholds: float) -> list[dict[str, Any]]:
    def shipped(name: str, model: Any) -> Any:
        return parse(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()), model, where=name)

    statistics = TextStatistics(shipped("statistics", TextStatisticsParams))
    statistics.setup()
    statistics.begin(None, {})  # type: ignore[arg-type]
    params = parse({"default": thresholds}, StructureParams, where="structure") if thresholds else shipped("structure", StructureParams)
    documents = pa.table(
        {
            "uid": [str(i) for i in range(len(texts))],
            "text": pa.array(texts, pa.large_string()),
            "format": [form] * len(texts),
            "verdict_language.language": ["en"] * len(texts),
        }
    )
    rows: list[dict[str, Any]] = Structure(params).process(statistics.process(documents)).to_pylist()
    return rows


@pytest.mark.parametrize("name", ["GFDL-1.2", "GPL-3.0", "CC-BY-SA-3.0", "Apache-2.0", "MPL-2.0"])
def test_a_licence_is_known_whatever_a_manual_makes_of_it(name: str) -> None:
    text = licence(name)
    # Other line breaks, headings, typographic quotes, another address and year, the manual's title above.
    words = text.replace('"', "”").replace("51 Franklin", "59 Temple").split()
    reset = "# Appendix A. The licence\n\n" + "\n".join(" ".join(["## Section", *words[i : i + 60]]) for i in range(0, len(words), 60))
    [whole, changed, chapter, beside] = judge([text, reset, "\n".join(text.split("\n")[-12:]), text[:1500] + PROSE * 40])
    assert whole["reason"] == changed["reason"] == chapter["reason"] == "licence_page"
    assert json.loads(whole["measured"])["value"] > 0.99 and json.loads(changed["measured"])["value"] > 0.7
    assert beside["keep"] and judge([text], max_licence_share=0)[0]["keep"]


def test_what_is_written_about_licences_is_no_licence() -> None:
    about = (
        "The GNU Free Documentation License lets everyone copy and change a manual, as long as the copies stay under it. Debian asks that "
        "no invariant sections are used, because parts that cannot be changed are not free. A translation has to keep the notices.\n\n"
    )
    assert [r["reason"] for r in judge([about, about * 3 + "Permission is granted to copy, distribute and/or modify this document."])] == [
        None
    ] * 2


def test_a_listing_and_a_list_are_judged_by_what_was_left_out_of_the_rules_for_prose() -> None:
    code = "```c\n" + "int wheel(void) { return 0; }\n" * 60 + "```\n"
    items = "\n".join(f"- item {i} of the list" for i in range(40))
    texts = ["One line.\n\n" + code, PROSE * 3 + code, items, PROSE + items[:200], items.replace("- ", "")]
    assert [r["reason"] for r in judge(texts)] == ["mostly_code", None, "mostly_list", None, None]
    assert [r["reason"] for r in judge(texts, form="plain")] == [None] * 5
    assert [r["reason"] for r in judge(texts, max_code_share=0.8)] == ["mostly_code", "mostly_code", "mostly_list", None, None]
    assert [r["keep"] for r in judge(texts, max_code_share=0, max_item_lines_share=0)] == [True] * 5


def test_rows_from_before_the_counts_break_no_rule() -> None:
    names = [n for n in Structure.columns if TABLES["text_statistics"].schema.field(n).nullable]
    assert names == ["code_characters", "item_lines", "plain_words", "licence_words"]
    table = pa.table(
        {
            "uid": ["a"],
            "language": ["en"],
            "blank": [False],
            **{n: pa.array([None if n in names else 5], pa.int64()) for n in Structure.columns},
        }
    )
    assert Structure().process(table)["keep"].to_pylist() == [True]
