"""Stages that a worker process keeps: set up once, let go in the order of their use, batches bounded by rows and bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from stages_for_tests import Length, Model

from headrace_lake.engine.part import _batches
from headrace_lake.engine.worker import Worker, holds
from headrace_lake.errors import ConfigError
from headrace_lake.stage import Stage

MODEL, LENGTH = "stages_for_tests:Model", "stages_for_tests:Length"


def marks(folder: Path) -> list[str]:
    return [x.partition("@")[0] for f in folder.iterdir() for x in f.read_text(encoding="ascii").split()]


def test_a_stage_with_a_model_is_set_up_once_for_each_choice_of_parameters(tmp_path: Path) -> None:
    worker = Worker()
    params = {"marks": str(tmp_path)}
    first = worker.stage(MODEL, params, where="here")
    assert worker.stage(MODEL, {**params, "minimum": 3}, where="here") is first, "3 is the default"
    assert worker.stage(MODEL, {**params, "minimum": 4}, where="here") is not first
    assert marks(tmp_path) == ["loaded"] * 2
    assert worker.stage(LENGTH, {}, where="here") is not worker.stage(LENGTH, {}, where="here"), "it holds nothing"
    worker.close()
    assert marks(tmp_path) == ["loaded", "loaded", "left", "left"]


def test_the_stage_that_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    worker = Worker(most=2)
    made = {n: worker.stage(MODEL, {"minimum": n, "marks": str(tmp_path)}, where="here") for n in (1, 2)}
    assert worker.stage(MODEL, {"minimum": 1, "marks": str(tmp_path)}, where="here") is made[1]
    worker.stage(MODEL, {"minimum": 3, "marks": str(tmp_path)}, where="here")
    assert marks(tmp_path) == ["loaded", "loaded", "left", "loaded"]
    assert worker.stage(MODEL, {"minimum": 1, "marks": str(tmp_path)}, where="here") is made[1], "2 went"


def test_a_setup_that_fails_is_tried_again_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()

    def refuse(self: Model) -> None:
        raise ConfigError("no model", "install it")

    with monkeypatch.context() as broken:
        broken.setattr(Model, "setup", refuse)
        with pytest.raises(ConfigError, match="no model"):
            worker.stage(MODEL, {}, where="here")
    assert worker.stage(MODEL, {}, where="here").weights.size  # type: ignore[attr-defined]


def test_a_fork_takes_nothing_of_its_parent_down(tmp_path: Path) -> None:
    worker = Worker()
    worker.stage(MODEL, {"marks": str(tmp_path)}, where="here")
    child = os.fork()
    if child == 0:
        worker.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert marks(tmp_path) == ["loaded"]


def test_only_stages_that_override_setup_are_kept() -> None:
    assert holds(Model()) and not holds(Length()) and Model.setup is not Stage.setup


@pytest.mark.parametrize("sizes", [[10] * 100, [1000] * 10, [5, 5000, 5, 5], [0] * 50, [300, 300, 300, 2000]])
def test_batches_hold_the_rows_in_order_within_both_bounds(sizes: list[int]) -> None:
    source = pa.table({"uid": [str(i) for i in range(len(sizes))], "text": ["x" * n for n in sizes]})
    batches = list(_batches(source, 16, 1000))
    assert pa.concat_tables(batches).equals(source)
    assert all(b.num_rows <= 16 and (b.nbytes <= 1000 or b.num_rows == 1) for b in batches)
