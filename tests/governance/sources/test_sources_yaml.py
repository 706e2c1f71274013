"""Source files: what is refused, and how it is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from headrace_governance.acquire.crawl.licence import load_licence_policy
from headrace_governance.sources.fetch_policy import load_fetch_policy
from headrace_governance.sources.licences import require_licence
from headrace_governance.sources.source import CrawlFetch, get_source, load_source, load_sources
from headrace_lake.errors import ConfigError, HeadraceError, SourceError

ROOT = Path(__file__).parents[3]
GOOD = {
    "id": "site",
    "languages": ["en"],
    "licence": {"id": "MIT", "class": "attribution", "basis": "LICENSE file", "evidence": {"text": "MIT License"}},
    "fetch": {"kind": "crawl", "base_url": "http://site.example", "seeds": ["/index.html"]},
}


def write(folder: Path, **changes: object) -> Path:
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump({**GOOD, **changes}), encoding="utf-8")
    return file


def test_a_source_is_read_and_recorded_under_its_yaml_names(tmp_path: Path) -> None:
    source = load_source(write(tmp_path))
    assert source.record()["licence"]["class"] == "attribution"
    assert isinstance(source.fetch, CrawlFetch)
    assert source.fetch.start_urls("http://127.0.0.1:1/") == ["http://127.0.0.1:1/index.html"]


@pytest.mark.parametrize(
    ("licence", "says"),
    [
        (None, "no licence"),
        ({"id": "MIT", "class": "attribution", "evidence": {"text": "x"}}, "no basis"),
        ({"id": "MIT", "class": "attribution", "basis": " ", "evidence": {"text": "x"}}, "no basis"),
        ({"id": "MIT", "class": "attribution", "basis": "b"}, "no evidence"),
    ],
)
def test_a_source_without_licence_basis_or_evidence_is_refused(tmp_path: Path, licence: object, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        load_source(write(tmp_path, licence=licence))
    assert "site.yaml" in caught.value.what and caught.value.way_out and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"modalty": "text"}, "did you mean 'modality'"),
        ({"fetch": {**GOOD["fetch"], "max_page": 3}}, "did you mean 'max_pages'"),  # type: ignore[dict-item]
        ({"fetch": {"kind": "ftp"}}, "fetch"),
        ({"fetch": {"kind": "crawl", "seeds": ["/x"]}}, "no base_url"),
        ({"fetch": {**GOOD["fetch"], "deny": ["private"]}}, "must start with"),  # type: ignore[dict-item]
        ({"id": "other"}, "not the file's name"),
    ],
)
def test_every_mistake_names_the_file_and_the_way_out(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_source(write(tmp_path, **changes))
    assert "site.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["id: [", "- a\n- b\n", "\x00"])
def test_files_that_are_no_mapping_are_one_line_errors(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(HeadraceError) as caught:
        load_source(file)
    assert "bad.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_source_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(SourceError, match="did you mean 'site'"):
        get_source(tmp_path, "sit")


def test_the_shipped_sources_and_policies_are_in_order() -> None:
    sources = load_sources(ROOT / "governance/sources")
    policy = load_licence_policy(ROOT / "governance/policies")
    load_fetch_policy(ROOT / "governance/policies")
    for s in sources.values():
        require_licence(s, policy)
    languages = {lang for s in sources.values() for lang in s.languages}
    assert languages >= {"en", "zh", "de", "es", "fr", "ja", "ru", "ar", "ko", "hi", "pt", "it"}


def test_the_examples_of_the_documentation_are_sources(tmp_path: Path) -> None:
    page = (ROOT / "docs/add-a-source.md").read_text(encoding="utf-8")
    policy = load_licence_policy(ROOT / "governance/policies")
    kinds = []
    for block in re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S):
        file = tmp_path / f"{yaml.safe_load(block)['id']}.yaml"
        file.write_text(block, encoding="utf-8")
        source = load_source(file)
        require_licence(source, policy)
        kinds.append(source.fetch.kind)
    assert kinds == ["wikipedia", "jats", "latex", "gutenberg", "stackexchange", "legal", "news"]
    assert re.findall(r"^\| `(\w+)` \|(?:[^|\n]*\|){4}$", page, re.M) == kinds  # the table of kinds has five columns


def test_a_class_that_contradicts_the_policy_is_refused(tmp_path: Path) -> None:
    policy = load_licence_policy(ROOT / "governance/policies")
    licence = {"id": "MIT", "class": "public", "basis": "b", "evidence": {"text": "x"}}
    with pytest.raises(SourceError, match="MIT is 'attribution', not 'public'"):
        require_licence(load_source(write(tmp_path, licence=licence)), policy)
