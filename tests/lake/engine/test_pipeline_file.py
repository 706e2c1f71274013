"""Pipeline files: what is wrong in one is named with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_lake.engine import load_pipeline
from headrace_lake.errors import ConfigError
from headrace_lake.settings import Settings


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a stage class that lies in one module, and another that lies in two."""
    for module, classes in {
        "rooms/new.py": ("Moved", "Twice"),
        "rooms/other.py": ("Twice",),
        "rooms/__init__.py": (),
        "__init__.py": (),
    }.items():
        file = tmp_path / "millworks" / module
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('"""Stages."""\n' + "".join(f"\nclass {name}(object):\n    pass\n" for name in classes), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "millworks"


@pytest.mark.parametrize(
    ("use", "way_out"),
    [
        ("millworks.old:Moved", "did you mean 'millworks.rooms.new:Moved'?"),
        ("millworks.rooms.other:Moved", "did you mean 'millworks.rooms.new:Moved'?"),
        ("millworks.old:Twice", "did you mean 'millworks.rooms.new:Twice' or 'millworks.rooms.other:Twice'?"),
        ("millworks.old:Gone", "write module:Class of an installed stage"),
        ("nowhere:Moved", "write module:Class of an installed stage"),
        (":Moved", "write module:Class of an installed stage"),
        (".:Moved", "write module:Class of an installed stage"),
        ("millworks.old", "write module:Class of a subclass of headrace_lake.stage.Stage"),
    ],
)
def test_a_stage_that_has_moved_is_named_by_its_new_place(settings: Settings, package: str, tmp_path: Path, use: str, way_out: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"name: p\nstages: [{{use: '{use}'}}]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_pipeline(settings, file)
    assert refused.value.way_out == way_out and str(file) in refused.value.what
