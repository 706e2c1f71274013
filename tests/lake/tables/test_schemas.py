"""Tables become known from the lake, from installed components and from stages, whoever looks first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headrace_lake import tables as schemas
from headrace_lake.errors import ConfigError
from headrace_lake.tables import TABLES, Tables
from headrace_lake.tables.fields import INT64, ROW, STRING, field, spec
from headrace_lake.tables.lake import LAKE_TABLES

MINE = spec("mine", [*ROW, field("n", INT64, "a number")], "a stage's own")


def test_components_bring_their_tables_and_none_is_declared_twice() -> None:
    assert {"receipts", "artifacts", "exclusions", "quarantine"} == {s.name for s in LAKE_TABLES} < set(TABLES)
    assert {"captures", "documents", "verdict_c4", "evaluation_items", "token_shards", "passports"} <= set(TABLES)
    for table in TABLES.values():
        assert table.doc and all(f.metadata and f.metadata[b"doc"] for f in table.schema), table.name


def test_a_declaration_may_come_again_but_not_another_of_that_name() -> None:
    tables = Tables(*LAKE_TABLES)
    tables.register(MINE)
    tables.register(spec("mine", [*ROW, field("n", INT64, "the same number, said otherwise")], "again"))
    with pytest.raises(ConfigError, match="table 'mine' is declared twice, with different columns"):
        tables.register(spec("mine", [*ROW, field("n", STRING, "a word")], "another"))
    with pytest.raises(ConfigError, match="table 'documents' is declared twice"):
        tables.register(spec("documents", ROW, "not those"))


def test_threads_that_look_while_components_are_asked_wait_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        name, value = "slow", "slow:TABLES"

        def load(self) -> Iterator[Any]:
            time.sleep(0.3)
            return iter([MINE])

    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Slow()] if group == schemas.ENTRY_POINTS else [])
    tables = Tables(*LAKE_TABLES)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: tables["mine"].name, range(4))) == ["mine"] * 4


def test_a_component_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        name, value = "gone", "gone.tables:TABLES"

        def load(self) -> Any:
            raise ImportError("no module named 'gone'")

    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Gone()])
    tables = Tables(*LAKE_TABLES)
    assert tables["receipts"].log
    with pytest.raises(ConfigError, match=r"tables of component 'gone' \(gone.tables:TABLES\) cannot be loaded"):
        len(tables)
