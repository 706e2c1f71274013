"""Proof that changed code of a stage writes the same bytes: by editing the stage's file, on a lake with many parts."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from stages_for_tests import Admit

from headrace_lake import fingerprint, lineage
from headrace_lake.engine import NotEqualError, Pipeline, preview_pipeline, prove_equal, run_slices, stale_stages
from headrace_lake.engine.executors import LocalExecutor
from headrace_lake.engine.prove_equal import equivalences, revoke
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

STAGE = '''
"""Written for this test."""
import pyarrow as pa
from headrace_equal_test.rule import short
from headrace_lake.stage import DROP_REASON, Inputs, Stage

class Length(Stage):
    name = "length"
    output = "verdict_c4"

    def inputs(self):
        return Inputs("documents", ("uid", "text", "characters"))

    def process(self, batch):
        flags = [short(t, u) for t, u in zip(batch["text"].to_pylist(), batch["uid"].to_pylist())]
        reasons = pa.array(["too_short" if s else None for s in flags], pa.string())
        measured = batch["characters"].cast(pa.string())
        kept = [not s for s in flags]
        return pa.table({"uid": batch["uid"], "keep": kept, "reason": reasons, "measured": measured, DROP_REASON: reasons})
'''
RULE = "def short(text, uid):\n    return len(text) < 5\n"
REFACTORED = "LIMIT = 5\n\n\ndef short(text, uid):\n    return not len(text) >= LIMIT\n"
SLICES = [Slice("web", f"2026-11-{day:02}") for day in range(1, 26)]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Pipeline]]:
    """Writes the stage's helper, and gives the pipeline as a new process would load it."""
    folder = tmp_path / "headrace_equal_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "stage.py").write_text(STAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    fingerprint._source_file.cache_clear()  # of each test the package lies elsewhere

    def edited(rule: str) -> Pipeline:
        (folder / "rule.py").write_text(rule)
        for name in [n for n in sys.modules if n.startswith("headrace_equal_test")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return Pipeline.of("t", importlib.import_module("headrace_equal_test.stage").Length(), Admit())

    yield edited
    for name in [n for n in sys.modules if n.startswith("headrace_equal_test")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lake of each test lies, and what it begins with: a lake's files name each other by absolute paths."""
    return tmp_path_factory.mktemp("proof")


@pytest.fixture
def lake(place: Path) -> Lake:
    shutil.rmtree(place / "lake", ignore_errors=True)
    if (place / "computed").exists():
        shutil.copytree(place / "computed", place / "lake")
    return Lake.open(Settings(lake=LakeSettings(root=str(place / "lake")), base=place))


@pytest.fixture
def adopted(place: Path, lake: Lake, edit: Callable[[str], Pipeline], with_documents: Callable[..., Receipt]) -> Pipeline:
    """25 slices of 3 parts, all computed by the first code; once, for all tests."""
    pipeline = edit(RULE)
    if not (place / "computed").exists():
        for slice_ in SLICES:
            with_documents(slice_, parts=3, rows=20)
        run_slices(lake, pipeline, SLICES)
        shutil.copytree(place / "lake", place / "computed")
    return pipeline


def actions(lake: Lake, pipeline: Pipeline) -> list[str]:
    return [step.action for slice_ in SLICES for step in preview_pipeline(lake, pipeline, slice_)]


def test_what_refactored_code_was_proven_to_write_is_adopted_everywhere(
    lake: Lake, adopted: Pipeline, edit: Callable[[str], Pipeline]
) -> None:
    old = lake.current_receipts(SLICES[0])["length"]
    assert actions(lake, adopted) == ["adopt"] * 50 and stale_stages(lake, SLICES, adopted) == []
    refactored = edit(REFACTORED)
    assert actions(lake, refactored) == ["compute", "depends"] * 25
    proof = prove_equal(lake, refactored, "length", LocalExecutor(lake), parts=60, seed=4, by="alice")
    assert (proof.parts, proof.population, proof.before) == (60, 75, old.code) and 0.04 < proof.bound < 3 / 60
    [step, _] = preview_pipeline(lake, refactored, SLICES[3])
    assert step.action == "adopt" and f"code {old.code[:12]} was proven equal" in step.why and "60 of 75 parts" in step.why
    assert actions(lake, refactored) == ["adopt"] * 50 and stale_stages(lake, SLICES, refactored) == []
    before = lake.table("receipts").metadata.current_snapshot_id
    reports = run_slices(lake, refactored, SLICES)
    assert {s.action for r in reports for s in r.stages} == {"adopted"}
    assert lake.table("receipts").metadata.current_snapshot_id == before, "nothing was committed"
    assert not lake.storage.exists("work/proof") and not list(Path(lake.storage.root, "work").glob("proof-*/*"))


def test_new_slices_and_old_ones_share_one_identity_until_it_is_revoked(
    lake: Lake, adopted: Pipeline, edit: Callable[[str], Pipeline], with_documents: Callable[..., Receipt]
) -> None:
    old = lake.current_receipts(SLICES[0])["length"]
    refactored = edit(REFACTORED)
    with pytest.raises(InputError, match="all its results are of today's code"):
        prove_equal(lake, edit(RULE), "length", LocalExecutor(lake))
    refactored = edit(REFACTORED)
    proof = prove_equal(lake, refactored, "length", LocalExecutor(lake), parts=1000)
    assert (proof.parts, proof.bound) == (75, 0.0), "all of them: none differs"
    late = Slice("web", "2026-12-01")
    with_documents(late)
    run_slices(lake, refactored, [late])
    new = lake.current_receipts(late)["length"]
    assert new.code == proof.after != old.code
    assert {n.name for n in lineage.down(lake, old.code)} >= {str(late), str(SLICES[0])}, "a fault of the older code is one of the newer"
    assert [s.action for s in preview_pipeline(lake, edit(RULE), late)] == ["adopt", "adopt"], "the way back is as good"
    refactored = edit(REFACTORED)
    revoked = revoke(lake, proof.fingerprint[:10], "sampled the wrong slices", by="bob")
    assert revoked.payload["revoked"] == "sampled the wrong slices" and [a.fingerprint for a in equivalences(lake)] == [proof.fingerprint]
    assert actions(lake, refactored) == ["compute", "depends"] * 25
    with pytest.raises(InputError, match="revoked already"):
        revoke(lake, proof.fingerprint[:10], "again")
    again = prove_equal(lake, refactored, "length", LocalExecutor(lake), parts=20)
    assert again.fingerprint == proof.fingerprint and actions(lake, refactored) == ["adopt"] * 50


def test_whichever_of_two_codes_wrote_a_slice_and_whenever_it_is_adopted_by_both(
    lake: Lake, adopted: Pipeline, edit: Callable[[str], Pipeline], with_documents: Callable[..., Receipt]
) -> None:
    late = [Slice("web", "2026-12-01"), Slice("web", "2026-12-02")]
    refactored = edit(REFACTORED)
    with_documents(late[0])
    run_slices(lake, refactored, late[:1])  # before anything was proven
    back = edit(RULE)
    assert [s.action for s in preview_pipeline(lake, back, late[0])] == ["compute", "depends"]
    proof = prove_equal(lake, back, "length", LocalExecutor(lake))  # the first code again, against what the second wrote
    assert (proof.population, proof.slices) == (3, 1)
    with_documents(late[1])
    run_slices(lake, back, late[1:])
    third = edit(REFACTORED + "UNUSED = 1\n")
    prove_equal(lake, third, "length", LocalExecutor(lake), parts=1000)
    for rule in (REFACTORED + "UNUSED = 1\n", RULE, REFACTORED):
        pipeline = edit(rule)
        assert actions(lake, pipeline) == ["adopt"] * 50
        assert [s.action for slice_ in late for s in preview_pipeline(lake, pipeline, slice_)] == ["adopt"] * 4
        assert stale_stages(lake, [*SLICES, *late], pipeline) == []


def test_a_change_of_one_document_in_one_part_of_many_is_refused_and_named(
    lake: Lake, adopted: Pipeline, edit: Callable[[str], Pipeline]
) -> None:
    rows = lake.read("documents", SLICES[7], columns=["uid", "part"]).to_pylist()
    planted = next(r for r in rows if r["part"] == 1)
    changed = edit(RULE.replace("len(text) < 5", f"(len(text) < 5) != (uid == {planted['uid']!r})"))
    where = rf"stage length: today's code writes other bytes than \w{{12}} in 1 of 75 parts compared: {SLICES[7]} part 1, exclusions: "
    with pytest.raises(NotEqualError, match=where + r"\d+ rows before, \d+ now"):
        prove_equal(lake, changed, "length", LocalExecutor(lake), parts=1000)
    assert equivalences(lake) == [] and actions(lake, changed) == ["compute", "depends"] * 25


def test_a_byte_of_a_value_that_came_out_otherwise_is_shown(lake: Lake, adopted: Pipeline, edit: Callable[[str], Pipeline]) -> None:
    changed = edit(RULE)
    stage = type(changed.stages[0])

    class Length(stage):  # type: ignore[misc, valid-type]
        """Measures one character more of one document."""

        def process(self, batch: pa.Table) -> pa.Table:
            out = super().process(batch)
            measured = [m + "0" if u == planted else m for m, u in zip(out["measured"].to_pylist(), out["uid"].to_pylist(), strict=True)]
            return out.set_column(out.column_names.index("measured"), "measured", pa.array(measured, pa.string()))

    planted = lake.read("documents", SLICES[2], columns=["uid"])["uid"][0].as_py()
    monkey = sys.modules[stage.__module__]
    Length.__module__, Length.__qualname__ = stage.__module__, "Length"
    monkey.Length = Length  # type: ignore[attr-defined]
    (Path(str(monkey.__file__)).with_name("rule.py")).write_text(RULE + "X = 1\n")
    with pytest.raises(NotEqualError, match=rf"verdict_c4: row \d+ \(uid {planted}\), measured: '\d+' before, '\d+0' now"):
        prove_equal(lake, Pipeline.of("t", Length(), Admit()), "length", LocalExecutor(lake), parts=1000)


def test_slices_of_which_more_than_the_code_has_changed_are_left_out_and_counted(
    lake: Lake, adopted: Pipeline, edit: Callable[[str], Pipeline], with_documents: Callable[..., Receipt]
) -> None:
    with_documents(SLICES[0], parts=2, rows=7)
    refactored = edit(REFACTORED)
    proof = prove_equal(lake, refactored, "length", LocalExecutor(lake), parts=1000)
    assert proof.slices == 24 and proof.parts == 72 and proof.bound > 0
    assert proof.skipped == {"its inputs, parameters, version or columns have changed too": 1}
    for slice_ in SLICES:
        with_documents(slice_, parts=1, rows=3)
    with pytest.raises(InputError, match="no slice can be compared"):
        prove_equal(lake, edit(REFACTORED + "X = 1\n"), "length", LocalExecutor(lake))
