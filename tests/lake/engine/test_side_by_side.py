"""Slices of one command side by side: the same tables in every order, few commits, and one slice's fault costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import write_documents
from stages_across_slices import AfterNeighbours, Neighbours, RefusesOne
from stages_for_tests import Admit, Length, LengthParams
from typer.testing import CliRunner

from headrace_lake.cli import slice_app
from headrace_lake.engine import Pipeline, StageReport, run_pipeline, run_slices
from headrace_lake.errors import ConfigError, StageError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

SLICES = [Slice(source, "2026-11-01") for source in ("a", "b", "c", "d")]
TABLES = ("verdict_c4", "admitted", "text_digests", "exclusions")


def pipeline() -> Pipeline:
    return Pipeline.of("t", Length(LengthParams(minimum=5)), Neighbours(), Admit())


def shown(lake: Lake, slices: list[Slice]) -> list[str]:
    return sorted(f.path for table in TABLES for slice_ in slices for f in lake.slice_files(table, slice_))


@pytest.fixture
def new_lake(settings: Settings) -> Callable[[str], Lake]:
    """Makes a lake with the documents of all slices."""

    def make(name: str) -> Lake:
        lake = Lake.open(settings.model_copy(update={"lake": LakeSettings(root=str(settings.base / name))}))
        for number, slice_ in enumerate(SLICES):
            write_documents(lake, slice_, parts=1 + number % 2, rows=20)
        return lake

    return make


def test_the_order_in_which_slices_are_named_changes_no_byte(new_lake: Callable[[str], Lake]) -> None:
    one_by_one = new_lake("one-by-one")
    for names in (["length"], ["neighbours", "admit"]):  # what the order must be if nobody computes it
        for slice_ in SLICES:
            run_pipeline(one_by_one, pipeline().only(names), slice_)
    expected = shown(one_by_one, SLICES)
    kept = one_by_one.read("verdict_c4", columns=["keep"])["keep"].to_pylist()
    assert set(one_by_one.read("text_digests", columns=["text_digest"])["text_digest"].to_pylist()) == {str(sum(kept))}
    for name, order in (("forwards", SLICES), ("backwards", SLICES[::-1]), ("mixed", [SLICES[i] for i in (2, 0, 3, 1)])):
        lake = new_lake(name)
        run_pipeline(lake, pipeline().only(["length"]), order[1])  # one slice is further than the others
        run_slices(lake, pipeline(), order)
        assert shown(lake, SLICES) == expected, name


def test_reports_come_in_the_order_of_the_slices_with_the_stages_in_the_pipelines(new_lake: Callable[[str], Lake]) -> None:
    lake = new_lake("lake")
    heard: list[tuple[Slice, str]] = []

    def hear(slice_: Slice, stage: StageReport) -> None:
        heard.append((slice_, stage.stage))

    reports = run_slices(lake, pipeline(), SLICES[::-1], on_stage=hear)
    assert [r.slice_ for r in reports] == SLICES[::-1]
    assert [[(s.stage, s.action) for s in r.stages] for r in reports] == [
        [("length", "computed"), ("neighbours", "computed"), ("admit", "computed")]
    ] * 4
    assert sorted(heard) == sorted((s, stage) for s in SLICES for stage in ("length", "neighbours", "admit"))
    again = run_slices(lake, pipeline(), SLICES)
    assert {s.action for r in again for s in r.stages} == {"adopted"}


def test_many_slices_land_in_one_commit(new_lake: Callable[[str], Lake]) -> None:
    lake = new_lake("lake")
    run_slices(lake, pipeline(), SLICES)
    assert [h["slice"] for h in lake.history("verdict_c4")] == [",".join(map(str, SLICES))]
    assert len(lake.history("text_digests")) == 1


def test_a_slice_that_fails_costs_the_others_nothing_and_a_second_run_goes_on(
    lake: Lake, with_documents: Callable[..., Receipt], monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = [Slice(source, "2026-11-01") for source in ("a", "broken", "c")]
    for slice_ in slices:
        with_documents(slice_, parts=1, rows=10)
    with pytest.raises(StageError, match="this source is broken"):
        run_slices(lake, Pipeline.of("t", RefusesOne()), [slices[0], slices[2], slices[1]])
    assert [bool(lake.slice_files("text_digests", s)) for s in slices] == [True, False, True]
    monkeypatch.setattr(RefusesOne, "begin", lambda self, part, shared: setattr(self, "broken", False))
    actions = {str(r.slice_): r.stages[0].action for r in run_slices(lake, Pipeline.of("t", RefusesOne()), slices)}
    assert actions == {"a/2026-11-01": "adopted", "broken/2026-11-01": "computed", "c/2026-11-01": "adopted"}


def test_a_slice_without_rows_and_one_named_twice_are_no_trouble(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    empty, full = SLICES[:2]
    with_documents(empty, rows=0)
    with_documents(full, parts=1, rows=10)
    reports = run_slices(lake, pipeline(), [full, empty, full])
    assert [r.slice_ for r in reports] == [full, empty]
    assert [s.receipt.counts.read for s in reports[1].stages] == [0, 0, 0]


def test_layers_are_computed_from_what_stages_read() -> None:
    stages = Length(), Neighbours(), AfterNeighbours(), Admit()
    line = Pipeline.of("t", *stages)
    assert [[s.name for s in layer.stages] for layer in line.layers()] == [["length", "admit"], ["neighbours", "after_neighbours"]]
    assert [s.name for s in line.slice_local().stages] == ["length", "admit"]
    assert line.slice_local().specs == [line.specs[0], line.specs[3]], "a worker makes the same stages"
    assert Pipeline.of("t", Neighbours()).slice_local().stages == []
    assert [[s.name for s in layer.stages] for layer in Pipeline.of("t", Length(), Admit()).layers()] == [["length", "admit"]]


def test_stages_and_slice_local_exclude_each_other() -> None:
    words = ["run", "text", "a/2026-11-01", "--stages", "extract", "--slice-local"]
    result = CliRunner().invoke(slice_app, words)
    assert isinstance(result.exception, ConfigError) and "--slice-local" in str(result.exception)
