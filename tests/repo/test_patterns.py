"""Regular expressions over foreign bytes take linear time under attack, and the tool that says so finds those that do not."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def tool(checkout: Path) -> ModuleType:
    """`scripts/patterns.py`."""
    spec = importlib.util.spec_from_file_location("patterns_tool", checkout / "scripts" / "patterns.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:a+)+$",
        r"(?:a|a)*b",
        r"(?:\w+\s?)*;",
        r"charset\s*=\s*[\"']?\s*([a-z]+)",
        r"\\begin\{x\}.*?\\end\{x\}",
        r"\s+OR",
        rb"<a[^>]*x[^>]*>",
        r"\w*[a-z]\w*[A-Z]",
    ],
)
def test_a_pattern_that_can_blow_up_is_found(tool: ModuleType, pattern: str | bytes) -> None:
    assert tool.worst(tool.Found("planted", re.compile(pattern, re.DOTALL), anchored=False)).growth > tool.MOST


@pytest.mark.parametrize("pattern", [r"(?<![a-z])[a-z]+=\d{1,9}", r"(?<!\s)\s++OR", rb"<a\b[^<>]{0,100}>", r"charset\s*+=\s*+[a-z]++"])
def test_a_linear_one_passes(tool: ModuleType, pattern: str | bytes) -> None:
    assert tool.worst(tool.Found("planted", re.compile(pattern), anchored=False)).growth <= tool.MOST


def test_patterns_over_responses_and_records_are_linear(tool: ModuleType) -> None:
    foreign = ("/crawl/", "/importers/", "/licences/", "text/warc_record", "text/meta_charset", "text/html_source", "text/formulas")
    found = [f for f in tool.patterns([]) if any(part in f.where for part in foreign)]
    assert len(found) >= 70
    growths = {f"{f.where} {f.pattern.pattern!r}": tool.worst(f).growth for f in found}
    assert {where: growth for where, growth in growths.items() if growth > tool.MOST} == {}
