"""What a bundle says of its sources, and that a published bundle is never written over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace_jobs.evaluation.bits_per_byte import DEFINITION
from headrace_jobs.release.bundle import _publish
from headrace_jobs.release.digests import DIGESTS_FILE
from headrace_jobs.release.documents import attribution, model_card
from headrace_lake.errors import StorageError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings


def _row(**changed: Any) -> dict[str, Any]:
    return {
        "source": "handbook-en",
        "title": "A handbook",
        "licence": "CC-BY-SA-4.0",
        "licence_class": "share-alike",
        "duties": ["attribution", "share-alike"],
        "documents": 1200,
        "tokens": 3_000_000,
        "basis": "its licence page",
        "evidence": {"url": "https://handbook.example/licence"},
        **changed,
    }


def test_the_attribution_lists_what_a_licence_asks_for() -> None:
    text = attribution([_row()])
    assert "## A handbook\n" in text and "- duties: attribution, share-alike\n" in text
    assert "- evidence: https://handbook.example/licence\n" in text and "- 1,200 documents, 3,000,000 tokens\n" in text


def test_a_licence_without_duties_says_so_and_a_source_without_title_is_named_by_its_id() -> None:
    text = attribution([_row(duties=[], title="", evidence={"text": "in the public domain since 1923"})])
    assert "## handbook-en\n" in text and "- duties: none\n" in text and "- evidence: in the public domain since 1923\n" in text
    assert "- evidence: -\n" in attribution([_row(evidence={})])


HOSTILE = "fine\n\n## Safety\nAudited. ![x](http://127.0.0.1:9/seen.png) <script>alert(1)</script> | \x1b]52;c;aGVsbG8=\x07\u202e"


def test_typed_and_foreign_text_forges_no_section_picture_or_sequence_in_a_bundles_papers() -> None:
    for field in ("title", "basis", "licence", "choice"):
        text = attribution([_row(**{field: HOSTILE})])
        assert text.startswith("# Attribution\n") and "\n## Safety" not in text
        assert "![x](" not in text and "<script>" not in text.replace("\\<script>", "") and not {"\x1b", "\x07", "\u202e"} & set(text), (
            field
        )
    assert "javascript:x" not in attribution([_row(evidence={"url": "javascript:x) ![y](z"})]).replace("javascript:x) !\\[y\\](z", "")
    row = {"bits_per_byte": 2.0, "low": 1.9, "high": 2.1, "unigram": 2.5, "documents": 3, "language": "en"}
    record = {"by_language": {}, "by_licence_class": {}, "refused_licences": {HOSTILE: 1}, "held_out_documents": 3}
    evaluation = {
        "languages": [row],
        "overall": row,
        "baseline": "unigram",
        "definition": DEFINITION,
        "params": {"window": 256, "stride": 128},
    }
    honest = {"gate": "release", "decision": "waiver", "signer": "bob", "note": "signed by a person", "reason": "known issue 7"}
    plain = model_card("tiny", {}, record | {"refused_licences": {}}, evaluation, honest)
    assert "Gate `release`: **waiver**, signed by bob (signed by a person). known issue 7" in plain
    for field in ("signer", "note", "reason"):
        card = model_card("tiny", {}, record, evaluation, honest | {field: HOSTILE})
        sections = [line for line in card.split("\n") if line.startswith("#")]
        assert sections == [line for line in plain.split("\n") if line.startswith("#")], field
        assert "![x](" not in card and not {"\x1b", "\x07", "\u202e"} & set(card)


def test_a_published_release_is_not_replaced_by_another_one(tmp_path: Path) -> None:
    lake = Lake.open(Settings.model_validate({"base": str(tmp_path), "lake": {"root": "lake"}}))
    folders = []
    for number in (1, 2):
        folder = tmp_path / f"bundle-{number}"
        folder.mkdir()
        (folder / DIGESTS_FILE).write_text(f"{number} weights\n", encoding="utf-8")
        folders.append(folder)
    _publish(lake, folders[0], "releases/r", [])
    _publish(lake, folders[0], "releases/r", [])  # a build that was killed and run again
    with pytest.raises(StorageError, match="another release already"):
        _publish(lake, folders[1], "releases/r", [])
    assert lake.storage.read_bytes(f"releases/r/{DIGESTS_FILE}") == b"1 weights\n"
