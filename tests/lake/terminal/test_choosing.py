"""Slices named on a command line by a group of sources: one word, whatever the number of slices."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice
from headrace_lake.terminal.choosing import group, is_pattern, slices_of_lake, slices_to_fetch, sources_of_group


@pytest.fixture
def declared(tmp_path: Path) -> Lake:
    """A lake without a slice, and three declared sources."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name, said in {
        "often": "modality: text\nschedule: daily\n",
        "seldom": "modality: 'text'  # and no other\n# schedule: daily\n",
        "songs": "modality: audio\nschedule: daily\n",
    }.items():
        (folder / f"{name}.yaml").write_text(f"id: {name}\n{said}", encoding="utf-8")
    return Lake.open(Settings(lake=LakeSettings(root=str(tmp_path / "lake")), sources=str(folder), base=tmp_path))


def test_a_group_is_the_sources_whose_files_say_so(declared: Lake) -> None:
    folder = declared.settings.sources
    assert sources_of_group(folder, "@text") == ["often", "seldom"]
    assert sources_of_group(folder, group("text", daily=True)) == ["often"]
    assert sources_of_group(folder, group("audio")) == ["songs"]
    assert is_pattern("@text/2026-11-01")


def test_a_fetch_takes_the_declared_sources_and_a_run_those_whose_slices_the_lake_holds(
    declared: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert slices_to_fetch(declared, ["@text/2026-11-01"]) == [Slice("often", "2026-11-01"), Slice("seldom", "2026-11-01")]
    with pytest.raises(InputError, match=r"no slice in the lake at .* of @text matches '\*/2026-11-01'"):
        slices_of_lake(declared, ["@text/2026-11-01"])
    held = [Slice("seldom", "2026-11-01"), Slice("seldom", "2026-11-02"), Slice("songs", "2026-11-01"), Slice("gone", "2026-11-01")]
    monkeypatch.setattr(declared, "slices", lambda table: held)
    assert slices_of_lake(declared, ["@text/2026-11-01"]) == held[:1]
    assert slices_of_lake(declared, ["@text/..", "gone/2026-11-01"]) == [*held[:2], held[3]]
    assert slices_to_fetch(declared, ["@text/.."]) == held[:2]


def test_ten_thousand_sources_are_one_short_word(declared: Lake) -> None:
    folder = Path(declared.settings.sources)
    for n in range(10_000):
        (folder / f"many-{n:05d}.yaml").write_text("modality: video\n", encoding="utf-8")
    word = f"{group('video')}/2026-11-01"
    found = slices_to_fetch(declared, [word])
    assert len(found) == 10_000 and found[-1] == Slice("many-09999", "2026-11-01") and len(word) < 30


@pytest.mark.parametrize("word", ["@", "@Text/2026-11-01", "@text:weekly/2026-11-01", "@text:daily:daily/x", "@te*t/x", "@../x"])
def test_a_word_that_is_not_a_group_is_refused_with_the_form(declared: Lake, word: str) -> None:
    for choose in (slices_to_fetch, slices_of_lake):
        with pytest.raises(ConfigError, match="is not a group of sources.*@MODALITY:daily"):
            choose(declared, [word])


def test_an_empty_group_and_a_file_that_cannot_be_read_are_named(declared: Lake) -> None:
    with pytest.raises(InputError, match="belongs to '@image'.*modality: image"):
        slices_to_fetch(declared, ["@image/2026-11-01"])
    (Path(declared.settings.sources) / "broken.yaml").write_text("modality: [text\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.yaml: cannot be read.*source check broken"):
        slices_to_fetch(declared, ["@text/2026-11-01"])
