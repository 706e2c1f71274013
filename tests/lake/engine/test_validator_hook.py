"""The engine's hook for a validator: what fails is not committed, what warns is noted, and no fingerprint depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from stages_for_tests import Admit, Length, LengthParams

from headrace_lake.engine import Pipeline, Validator, check_slice, load_pipeline, run_pipeline
from headrace_lake.errors import ConfigError, ExpectationError, InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import ExpectationResult, Receipt, ShardFile
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import StrictModel

DAY = Slice("web", "2026-11-01")


class AtLeastParams(StrictModel):
    rows: dict[str, int] = {}
    severity: str = "error"


class AtLeast(Validator):
    """Expects so many rows of some tables."""

    Params = AtLeastParams

    def validate(self, lake: Lake, slice_: Slice, tables: Mapping[str, Sequence[ShardFile]]) -> dict[str, tuple[ExpectationResult, ...]]:
        assert isinstance(self.params, AtLeastParams)
        found = {t: sum(f.rows for f in files) for t, files in tables.items()}
        return {
            t: (
                ExpectationResult.model_validate(
                    {
                        "table": t, "expectation": "table_row_count_to_be_between", "arguments": {"min_value": n},
                        "severity": self.params.severity, "success": found[t] >= n, "observed": found[t], "rows": found[t],
                    }
                ),
            )
            for t, n in self.params.rows.items() if t in found
        }  # fmt: skip


def pipeline(settings: Settings, rows: dict[str, int], severity: str = "error", minimum: int = 5) -> Pipeline:
    validator = AtLeast(settings, AtLeastParams(rows=rows, severity=severity))
    return Pipeline.of("t", Length(LengthParams(minimum=minimum)), Admit(), validator=validator)


def test_a_failed_error_leaves_nothing_committed_of_all_that_was_to_be_committed_together(
    lake: Lake, settings: Settings, with_documents: Callable[..., Receipt]
) -> None:
    with_documents(DAY)
    with pytest.raises(ExpectationError, match=r"slice web/2026-11-01, stage admit: not committed.*admitted: .*min_value 121.*observed"):
        run_pipeline(lake, pipeline(settings, {"admitted": 121, "verdict_c4": 120}), DAY)
    assert [r.stage for r in lake.receipts(DAY)] == ["extract"]
    assert all(lake.read(t, DAY).num_rows == 0 for t in ("verdict_c4", "admitted", "exclusions"))
    assert lake.table("admitted").current_snapshot() is None


def test_a_mended_suite_commits_what_was_computed_and_the_fingerprints_are_those_of_a_run_without_one(
    lake: Lake, settings: Settings, with_documents: Callable[..., Receipt]
) -> None:
    with_documents(DAY)
    with pytest.raises(ExpectationError):
        run_pipeline(lake, pipeline(settings, {"admitted": 121}), DAY)
    written = {p.relative_to(lake.storage.root): p.stat().st_mtime_ns for p in Path(lake.storage.root).rglob("data/*/web/*/*.parquet")}
    report = run_pipeline(lake, pipeline(settings, {"admitted": 1}), DAY)
    outputs = {o.path for s in report.stages for o in s.receipt.outputs}
    now = {p.relative_to(lake.storage.root): p.stat().st_mtime_ns for p in Path(lake.storage.root).rglob("data/*/web/*/*.parquet")}
    assert outputs and all(now[Path(o)] == written[Path(o)] for o in outputs), "no file was written twice"
    plain = Pipeline.of("t", Length(LengthParams(minimum=5)), Admit())
    assert {s.action for s in run_pipeline(lake, plain, DAY).stages} == {"adopted"}


def test_a_failed_warning_is_committed_and_stands_in_the_receipt(
    lake: Lake, settings: Settings, with_documents: Callable[..., Receipt]
) -> None:
    with_documents(DAY)
    length, admit = run_pipeline(lake, pipeline(settings, {"admitted": 121, "verdict_c4": 120}, "warning"), DAY).stages
    stored = lake.current_receipts(DAY)
    assert stored["admit"] == admit.receipt and stored["length"] == length.receipt
    [result] = stored["admit"].expectations
    assert (result.success, result.severity, result.observed) == (False, "warning", lake.read("admitted", DAY).num_rows)
    assert [n for n in stored["admit"].notes if n.startswith("expectation: warning admitted: table_row_count_to_be_between")]
    assert stored["length"].expectations[0].success is True
    assert not [n for n in stored["length"].notes if n.startswith("expectation")]


def test_an_earlier_result_is_judged_again_before_it_is_restored(
    lake: Lake, settings: Settings, with_documents: Callable[..., Receipt]
) -> None:
    with_documents(DAY)
    for minimum in (5, 6):
        run_pipeline(lake, pipeline(settings, {}, minimum=minimum), DAY)
    before = lake.current_receipts(DAY)
    with pytest.raises(ExpectationError):
        run_pipeline(lake, pipeline(settings, {"verdict_c4": 121}, minimum=5), DAY)
    assert lake.current_receipts(DAY) == before
    report = run_pipeline(lake, pipeline(settings, {"verdict_c4": 120}, minimum=5), DAY)
    assert [s.action for s in report.stages] == ["restored", "restored"] and report.stages[0].receipt.expectations[0].success


def test_check_judges_committed_tables_and_records_only_when_asked(
    lake: Lake, settings: Settings, with_documents: Callable[..., Receipt]
) -> None:
    with_documents(DAY)
    run_pipeline(lake, pipeline(settings, {}), DAY)
    before, snapshot = lake.receipts(DAY), lake.table("admitted").current_snapshot()
    validator = AtLeast(settings, AtLeastParams(rows={"admitted": 121, "documents": 120}))
    judged = {r.stage: r.expectations[0].success for r in check_slice(lake, validator, DAY)}
    assert judged == {"extract": True, "admit": False} and lake.receipts(DAY) == before
    check_slice(lake, validator, DAY, record=True)
    now = lake.current_receipts(DAY)
    assert len(lake.receipts(DAY)) == len(before) + 2 and lake.table("admitted").current_snapshot() == snapshot
    assert now["admit"].expectations[0].success is False and now["admit"].fingerprint == before[-1].fingerprint
    assert {s.action for s in run_pipeline(lake, pipeline(settings, {}), DAY).stages} == {"adopted"}
    with pytest.raises(InputError, match="slice web/2026-11-09 has no receipt"):
        check_slice(lake, validator, Slice("web", "2026-11-09"))


def test_a_pipeline_file_names_its_validator_and_a_wrong_one_is_refused(settings: Settings, tmp_path: Path) -> None:
    def load(validator: str) -> Pipeline:
        file = tmp_path / "p.yaml"
        file.write_text(f"name: p\nstages: [{{use: 'stages_for_tests:Length'}}]\nvalidator: {validator}\n", encoding="utf-8")
        return load_pipeline(settings, file)

    for wrong, message in (
        ("{use: 'stages_for_tests:Length'}", "is not a validator"),
        ("{use: 'nowhere:None'}", "validator 'nowhere:None' cannot be imported"),
        ("{use: 'x:y', parms: {}}", r"unknown key 'validator\.parms'.*did you mean 'params'"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(wrong)


def test_a_hook_that_judges_nothing_cannot_be_made(settings: Settings) -> None:
    class Forgotten(Validator):
        """Has no `validate`."""

    with pytest.raises(TypeError, match="validate"):
        Forgotten(settings)  # type: ignore[abstract]
