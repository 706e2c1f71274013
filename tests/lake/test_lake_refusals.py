"""What the lake and its settings refuse, each in a line that says the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import load_settings
from headrace_lake.slices import Slice
from headrace_lake.strict import read_yaml

DAY = Slice("web", "2026-11-01")


def test_a_filter_that_is_none_and_a_column_that_is_not_there(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    assert lake.read("documents", DAY, where="characters > 5").num_rows < lake.read("documents", DAY).num_rows
    with pytest.raises(InputError, match="'characters >>> 5' is no row filter"):
        lake.read("documents", DAY, where="characters >>> 5")
    with pytest.raises(InputError, match="colour.*columns: .*uid"):
        lake.read("documents", DAY, where="colour = 'red'")


def test_a_snapshot_that_never_was(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    with pytest.raises(InputError, match="documents has no snapshot 42"):
        lake.read("documents", snapshot=42)


def test_a_password_in_the_catalog_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text("lake:\n  root: lake\n  catalog: postgresql+psycopg2://me:planted-secret@127.0.0.1/lake\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="catalog_password") as caught:
        load_settings(file)
    assert "planted-secret" not in str(caught.value)


def test_only_true_and_false_are_booleans() -> None:
    assert read_yaml("{no: yes, on: off, y: n, a: true, b: False, c: 1}") == {
        "no": "yes",
        "on": "off",
        "y": "n",
        "a": True,
        "b": False,
        "c": 1,
    }
