"""Where our code may use `str.splitlines`, which cuts at U+2028, U+2029, U+0085, VT, FF and FS to RS too: never on lines of data."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGES = ("cli", "dags", "governance", "lake", "megatron_jobs", "operators", "tokenizers")

PROSE = "prose, where these characters do end a line; the reference implementation cuts there as well"
SHOWN = "one line of an error message for people; nothing is read from it"
ALLOWED = {
    "governance/headrace_governance/text/filters/c4.py": PROSE,
    "governance/headrace_governance/text/quality/data.py": PROSE,
    "governance/headrace_governance/text/quality/tokens.py": PROSE,
    "governance/headrace_governance/text/statistics/measure.py": PROSE,
    "governance/headrace_governance/text/statistics/words.py": PROSE,
    "governance/headrace_governance/text/toxicity/stage.py": PROSE,
    "governance/headrace_governance/acquire/importers/readers.py": SHOWN,
    "governance/headrace_governance/containers/debian.py": SHOWN,
    "lake/headrace_lake/tables/shards.py": SHOWN,
    "tokenizers/headrace_tokenizers/text/vocabulary.py": "bytes, whose splitlines cuts at CR and LF alone; the digest is checked before",
}


def test_splitlines_is_used_on_prose_and_messages_only(checkout: Path) -> None:
    found = set()
    for package in PACKAGES:
        for file in sorted((checkout / package).rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            if any(isinstance(node, ast.Attribute) and node.attr == "splitlines" for node in ast.walk(tree)):
                found.add(str(file.relative_to(checkout)))
    assert found - set(ALLOWED) == set(), "lines of data: headrace_lake.lines.data_lines; else give the reason above"
    assert set(ALLOWED) - found == set(), "no longer used there: take it off the list"
