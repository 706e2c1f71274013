"""The engine: counts add up, bad rows are quarantined, the same fingerprint is never computed twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import write_documents
from hypothesis import HealthCheck, given
from hypothesis import settings as hyp
from hypothesis import strategies as st
from stages_for_tests import Admit, Echo, Elsewhere, FullDisk, Halves, Length, LengthParams, Loser, PoisonedPart

from headrace_lake.engine import Pipeline, preview_pipeline, run_pipeline
from headrace_lake.errors import InputError, StageError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

DAY = Slice("web", "2026-11-01")


def pipeline(**params: object) -> Pipeline:
    return Pipeline.of("t", Length(LengthParams(**params)), Admit())


def actions(report: object) -> list[str]:
    return [s.action for s in report.stages]  # type: ignore[attr-defined]


def test_every_row_is_kept_dropped_or_failed_and_can_be_found(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    report = run_pipeline(lake, pipeline(minimum=5, poison=" 7"), DAY)
    length, admit = (s.receipt.counts for s in report.stages)
    assert length.read == 120 == length.kept + length.dropped + length.failed
    assert length.failed > 0 and length.dropped > 0
    quarantine = lake.read("quarantine", DAY)
    assert quarantine.num_rows == length.failed
    assert set(quarantine["error"].to_pylist()) == {"ValueError: poison  7"}
    exclusions = lake.read("exclusions", DAY).to_pylist()
    assert sum(r["stage"] == "length" for r in exclusions) == length.dropped
    assert admit.read == 120 and admit.kept == length.kept
    assert lake.read("admitted", DAY).num_rows == length.kept
    verdicts = lake.read("verdict_c4", DAY)
    assert verdicts.num_rows == 120 - length.failed, "a verdict keeps a row for dropped documents too"


def test_a_second_run_adopts_and_a_threshold_recomputes_only_what_depends_on_it(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    assert actions(run_pipeline(lake, pipeline(minimum=5), DAY)) == ["computed", "computed"]
    assert actions(run_pipeline(lake, pipeline(minimum=5), DAY)) == ["adopted", "adopted"]
    steps = preview_pipeline(lake, pipeline(minimum=6), DAY)
    assert [(s.stage, s.action) for s in steps] == [("length", "compute"), ("admit", "depends")]
    assert steps[0].why == "changed: parameters (minimum)"
    assert actions(run_pipeline(lake, pipeline(minimum=6), DAY)) == ["computed", "computed"]
    assert actions(run_pipeline(lake, pipeline(minimum=5), DAY)) == ["restored", "restored"], "the old result is still stored"


def test_a_stage_that_comes_out_unchanged_leaves_the_next_one_adopted(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    run_pipeline(lake, pipeline(minimum=5), DAY)
    assert actions(run_pipeline(lake, pipeline(minimum=5, poison="never there"), DAY)) == ["computed", "adopted"]


def test_a_part_whose_rows_all_failed_in_one_stage_is_read_by_what_is_fused_behind_another(
    lake: Lake, with_documents: Callable[..., Receipt]
) -> None:
    """`echo` reads a table that lacks part 1; `admit`, computed in the same pass, reads the documents, which have it."""
    with_documents(DAY, parts=3, rows=16)
    run_pipeline(lake, Pipeline.of("t", PoisonedPart()), DAY)
    assert {f.part for f in lake.slice_files("verdict_c4", DAY)} == {0, 2}
    report = run_pipeline(lake, Pipeline.of("t", PoisonedPart(), Echo(), Admit()), DAY)
    assert [(s.stage, s.receipt.counts.read) for s in report.stages] == [("poisoned_part", 48), ("echo", 32), ("admit", 48)]


def test_fused_and_single_stages_write_the_same_bytes_in_the_order_of_the_documents(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    """Each computes in a lake of its own: what one left cannot be adopted by the other."""
    other = Lake.open(settings.model_copy(update={"lake": LakeSettings(root=str(tmp_path / "other"))}))
    p = pipeline(minimum=5, poison=" 7")
    for each in (lake, other):
        write_documents(each, DAY)
    fused = run_pipeline(lake, p, DAY).stages
    single = [run_pipeline(other, p.only([name]), DAY).stages[0] for name in ("length", "admit")]
    assert [s.action for s in fused] == [s.action for s in single] == ["computed", "computed"]
    assert [s.receipt.fingerprint for s in fused] == [s.receipt.fingerprint for s in single]
    assert [s.receipt.outputs for s in fused] == [s.receipt.outputs for s in single], "files with their digests"
    for table in ("verdict_c4", "admitted", "exclusions", "quarantine"):
        assert lake.read(table, DAY).num_rows and lake.read(table, DAY).equals(other.read(table, DAY)), table
    place = {uid: i for i, uid in enumerate(lake.read("documents", DAY)["uid"].to_pylist())}
    for table in ("verdict_c4", "admitted"):
        places = [place[uid] for uid in lake.read(table, DAY)["uid"].to_pylist()]
        assert places == sorted(places), f"{table} keeps the order of the documents"


def test_a_stage_that_forgets_a_row_is_refused(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    with pytest.raises(StageError, match="loser.*1 of .* rows lost"):
        run_pipeline(lake, Pipeline.of("t", Loser()), DAY)
    assert lake.read("admitted", DAY).num_rows == 0


def test_a_slice_that_was_never_written_is_an_error_and_an_empty_one_is_not(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with pytest.raises(InputError, match="slice web/2026-11-01: table documents has no rows"):
        run_pipeline(lake, pipeline(), DAY)
    with_documents(DAY, rows=0)
    report = run_pipeline(lake, pipeline(), DAY)
    assert [s.receipt.counts.read for s in report.stages] == [0, 0]


def test_what_prepare_reads_elsewhere_belongs_to_the_fingerprint(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    p = Pipeline.of("t", Elsewhere())
    assert actions(run_pipeline(lake, p, DAY)) == ["computed"]
    assert actions(run_pipeline(lake, p, DAY)) == ["adopted"]
    with_documents(Slice("web", "2026-11-02"))
    assert actions(run_pipeline(lake, p, DAY)) == ["computed"]
    assert set(lake.read("text_digests", DAY)["text_digest"].to_pylist()) == {"240"}
    looked = lake.current_receipts(DAY)[Elsewhere.name].looked_at
    assert looked and {x.table for x in looked} == {"documents"}, "what it looked at is in its receipt"


def test_a_replaced_input_empties_parts_that_are_gone(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY, parts=3)
    run_pipeline(lake, pipeline(), DAY)
    with_documents(DAY, parts=1)
    run_pipeline(lake, pipeline(), DAY)
    assert {f.part for f in lake.slice_files("admitted", DAY)} == {0}


@hyp(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minimum=st.integers(0, 12), poison=st.sampled_from(["", " 1", "xx", "x"]), batch=st.integers(1, 50))
def test_counts_always_add_up(lake: Lake, with_documents: Callable[..., Receipt], minimum: int, poison: str, batch: int) -> None:
    with_documents(DAY, parts=2, rows=20)
    length = Length(LengthParams(minimum=minimum, poison=poison))
    length.batch_rows = batch  # type: ignore[misc]
    report = run_pipeline(lake, Pipeline.of("t", length, Admit()), DAY)
    for s in report.stages:
        c = s.receipt.counts
        assert c.read == 40 == c.kept + c.dropped + c.failed
    excluded = lake.read("exclusions", DAY).filter(pa.compute.equal(lake.read("exclusions", DAY)["stage"], "length"))
    assert excluded.num_rows == report.stages[0].receipt.counts.dropped


def test_a_full_disk_stops_the_run_and_quarantines_no_row(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    with pytest.raises(OSError, match="No space left"):
        run_pipeline(lake, Pipeline.of("t", FullDisk()), DAY)
    assert lake.read("quarantine", DAY).num_rows == 0
    assert [r.stage for r in lake.receipts(DAY)] == ["extract"]


def test_of_one_to_many_an_input_is_dropped_once_and_only_if_nothing_of_it_is_left(
    lake: Lake, with_documents: Callable[..., Receipt]
) -> None:
    with_documents(DAY)
    [stage] = run_pipeline(lake, Pipeline.of("t", Halves()), DAY).stages
    lengths = [len(t) for t in lake.read("documents", DAY)["text"].to_pylist()]
    kept = sum(n - n // 2 > 2 for n in lengths)
    counts = stage.receipt.counts
    assert (counts.read, counts.kept, counts.dropped, counts.failed) == (len(lengths), kept, len(lengths) - kept, 0)
    assert sum(counts.reasons.values()) == counts.dropped > 0
    halves = [half for n in lengths for half in (n // 2, n - n // 2)]
    assert lake.read("text_digests", DAY).num_rows == sum(half > 2 for half in halves)
    assert lake.read("exclusions", DAY).num_rows == sum(half <= 2 for half in halves) > counts.dropped


def test_a_rule_that_takes_a_third_of_a_slice_raises_an_alarm_in_the_receipt(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    few = Slice("web", "2026-11-02")
    with_documents(few, parts=1, rows=40)
    run = {s: run_pipeline(lake, Pipeline.of("t", Length(LengthParams(minimum=6))), s).stages[0].receipt for s in (DAY, few)}
    dropped, read = run[DAY].counts.dropped, run[DAY].counts.read
    assert dropped > 0.3 * read and run[few].counts.dropped > 0.3 * run[few].counts.read
    assert run[DAY].notes == (f"alarm: too_short dropped {dropped / read:.0%} of the rows ({dropped} of {read})",)
    assert run[few].notes == (), "of forty rows a third says nothing"
    mild = run_pipeline(lake, Pipeline.of("t", Length(LengthParams(minimum=2))), DAY).stages[0].receipt
    assert mild.counts.dropped and not mild.notes
