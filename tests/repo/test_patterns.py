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
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(checkout / "scripts")
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
    foreign = (
        "/crawl/",
        "/importers/",
        "/containers/",
        "/encoding/",
        "/licences/",
        "/read.py",
        "text/warc_record",
        "text/html/source",
        "text/html/formulas",
    )
    found = [f for f in tool.patterns([]) if any(part in f.where for part in foreign)]
    assert len(found) >= 70
    growths = {f"{f.where} {f.pattern.pattern!r}": tool.worst(f).growth for f in found}
    assert {where: growth for where, growth in growths.items() if growth > tool.MOST} == {}


class Recorder:
    """A pattern that notes how long the texts are that it is asked about."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.lengths: list[int] = []

    def search(self, text: str) -> re.Match[str] | None:
        self.lengths.append(len(text))
        return self.pattern.search(text)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        self.lengths.append(len(text))
        return self.pattern.fullmatch(text)


def test_the_patterns_that_are_held_by_the_length_of_their_text_are_given_no_longer_one(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace_governance.text.pii.detect import find

    recorders = {}
    for where, most in tool.BOUNDED.items():
        path, _, name = where.partition(" ")
        module = importlib.import_module(path.partition("/")[2].removesuffix(".py").replace("/", "."))
        recorders[where] = most, Recorder(getattr(module, name))
        monkeypatch.setattr(module, name, recorders[where][1])
    filler = ["a" * 3000, "a " * 1500, "Aa-" * 1000, "1.5 " * 800, "changed in ", "(555) " * 500, "v" * 3000 + " ", "A" * 3000 + " "]
    finds = [
        "3.0.145.199",
        "9.0.0.127",
        "5.0.19.77",
        "10.200.3.4",
        "62.4.1.99",
        "8.8.8.8",
        "+44 20 7946 0018",
        "020 7946 0018",
        "555.123",
        "1600 Baker Street",
        "12 Market Road",
    ]
    for language in ("en", "de", "zh", "fr"):
        for head in filler:
            for number in finds:
                find(f"{head}{number} {head} {number} {head}\nCall {number}{'9' * 200} {head}", language)
    for where, (most, recorder) in recorders.items():
        assert recorder.lengths, f"{where} was never asked"
        assert max(recorder.lengths) <= most, where
