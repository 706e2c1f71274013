"""Expectations: suites are checked when read, metrics agree with Great Expectations on the rows, and the engine heeds the verdict."""

from __future__ import annotations

import logging
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hyp
from hypothesis import strategies as st
from imported_pages import BAKERY, ENGLISH, bring

from headrace_governance.acquire.crawl.licence import load_licence_policy
from headrace_governance.expectations.drift import earlier_rows, psi, psi_of
from headrace_governance.expectations.metrics import Around, measure
from headrace_governance.expectations.suite import NAMES, InSet, load_suite, load_suites
from headrace_governance.expectations.validator import SuiteValidator
from headrace_lake.engine import Pipeline, check_slice, load_pipeline, run_pipeline
from headrace_lake.errors import ConfigError, ExpectationError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

UNIQUE = "column_values_to_be_unique"
NOWHERE = Around(rows_of=lambda table: 0, earlier=lambda slices: pa.table({}))
PAGES = {
    "canal.html": "".join(f"<p>{s}</p>" for s in ENGLISH),
    "bakery.html": "".join(f"<p>{s}</p>" for s in BAKERY),
    "empty.html": "<script>only();</script>",
}


def written(folder: Path, table: str, *expectations: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{table.replace('*', 'x')}.yaml"
    file.write_text(yaml.safe_dump({"table": table, "expectations": list(expectations)}), encoding="utf-8")
    return file


# -- suites -------------------------------------------------------------------------------------------------------------


def test_every_table_of_the_text_line_has_a_suite_and_every_bound_that_is_no_contract_is_a_warning(
    checkout: Path, settings: Settings
) -> None:
    suites = load_suites(checkout / "governance" / "policies" / "expectations")
    pipeline = load_pipeline(settings, "text")
    tables = {t for s in pipeline.stages for t in (s.output, *s.also) if t is not None} | {"captures"}
    for table in {t for t in tables if t.startswith("verdict_")} | {
        "captures", "documents", "text_statistics", "text_digests", "minhash_signatures", "admitted", "passports", "token_shards",
    }:  # fmt: skip
        assert table in tables and any(s.about(table) for s in suites), table
    for suite in suites:
        for e in suite.expectations:
            depends_on_the_source = e.expect in ("column_mean_to_be_between", "column_median_to_be_between", "column_psi_to_be_less_than")
            assert e.severity == "warning" or not (depends_on_the_source or e.from_rows), (suite.table, e)


def test_the_licence_classes_that_suites_admit_are_those_of_the_licence_policy(checkout: Path) -> None:
    policies = checkout / "governance" / "policies"
    expected = [e for s in load_suites(policies / "expectations") for e in s.expectations]
    sets = [e.value_set for e in expected if isinstance(e, InSet) and e.column == "licence_class"]
    assert len(sets) == 4 and all(set(found) == set(load_licence_policy(policies).fetchable) for found in sets)


@pytest.mark.parametrize(
    ("table", "expectation", "message"),
    [
        ("documents", {"expect": "column_values_to_be_uniqe"}, r"expectations\.0: no expectation '.*uniqe'.*'column_values_to_be_unique'"),
        ("documents", {"expect": "expect_column_values_to_not_be_nul"}, "did you mean 'column_values_to_not_be_null'"),
        ("documents", {"column": "uid"}, "field 'expect' is missing"),
        ("documents", {"expect": UNIQUE, "column": "uid", "severety": "error"}, r"unknown key.*severety'.*did you mean 'severity'"),
        ("documents", {"expect": UNIQUE, "column": "uids"}, "table documents has no column 'uids'.*did you mean 'uid'"),
        ("document", {"expect": UNIQUE, "column": "uid"}, "no table 'document'.*did you mean 'documents'"),
        ("verdict_*", {"expect": UNIQUE, "column": "text_digest"}, "table verdict_language has no column 'text_digest'"),
        ("documents", {"expect": "column_values_to_be_between", "column": "bytes"}, "give min_value, max_value or both"),
        ("documents", {"expect": UNIQUE, "column": "uid", "severity": "fatal"}, "severity"),
        ("admitted", {"expect": "table_row_count_to_equal_other_table", "other_table_name": "docs"}, "no table 'docs'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_suite_is_named_with_the_nearest_right_word(
    tmp_path: Path, table: str, expectation: dict[str, Any], message: str
) -> None:
    file = written(tmp_path, table, {"severity": "error", **expectation})
    with pytest.raises(ConfigError, match=message) as caught:
        load_suite(file)
    assert str(file) in str(caught.value)


# -- metrics against Great Expectations on the very rows --------------------------------------------------------------------


@cache
def great_expectations() -> tuple[Any, Callable[[Any], Any]]:
    """The library, and a function that makes its batch of a data frame: no file, no progress bar, no call home."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    definition = context.data_sources.add_pandas("rows").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("rows")
    return gx, lambda frame: definition.get_batch({"dataframe": frame})


def both(expectation: dict[str, Any], rows: pa.Table) -> tuple[bool, float, Any]:
    """Our verdict and number, and Great Expectations' own result, for the same expectation of the same rows."""
    model = NAMES[expectation["expect"]].model_validate({"severity": "error", **expectation})
    ours = measure(model, rows, NOWHERE)  # type: ignore[arg-type]
    assert ours.value is not None
    success = ours.success
    assert success is not None
    gx, batch_of = great_expectations()
    arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in expectation.items() if k != "expect"}
    cls = getattr(gx.expectations, "Expect" + "".join(w.capitalize() for w in expectation["expect"].split("_")))
    theirs = batch_of(rows.to_pandas()).validate(cls(**arguments))
    assert not theirs.exception_info.get("raised_exception"), theirs.exception_info
    return success, ours.value, theirs


NUMBERS = st.lists(st.one_of(st.none(), st.integers(-3, 9)), min_size=1, max_size=30).filter(lambda v: any(x is not None for x in v))


@hyp(max_examples=40)
@given(
    values=NUMBERS,
    expectation=st.sampled_from(
        [
            {"expect": "column_values_to_be_between", "column": "n", "min_value": 0.0, "max_value": 6.0},
            {"expect": "column_values_to_be_between", "column": "n", "max_value": 5.0, "mostly": 0.5},
            {"expect": "column_values_to_be_unique", "column": "n", "mostly": 0.3},
            {"expect": "column_values_to_not_be_null", "column": "n", "mostly": 0.7},
            {"expect": "column_values_to_be_in_set", "column": "n", "value_set": (1, 2, 3, 4), "mostly": 0.4},
        ]
    ),
)
def test_shares_of_values_are_those_of_great_expectations(values: list[int | None], expectation: dict[str, Any]) -> None:
    rows = pa.table({"n": pa.array(values, pa.int64())})
    success, share, theirs = both(expectation, rows)
    assert success == theirs.success
    found = theirs.result
    of = found["element_count"] if "null" in expectation["expect"] else found["element_count"] - found["missing_count"]
    assert share == pytest.approx(1 - found["unexpected_count"] / of)


@hyp(max_examples=15)
@given(values=NUMBERS, low=st.integers(-3, 6))
def test_aggregates_are_those_of_great_expectations(values: list[int | None], low: int) -> None:
    rows = pa.table({"n": pa.array(values, pa.int64())})
    for name in ("column_mean_to_be_between", "column_median_to_be_between"):
        success, value, theirs = both({"expect": name, "column": "n", "min_value": float(low)}, rows)
        assert (success, value) == (theirs.success, pytest.approx(theirs.result["observed_value"]))
    success, value, theirs = both({"expect": "table_row_count_to_be_between", "min_value": 5, "max_value": 20}, rows)
    assert (success, value) == (theirs.success, theirs.result["observed_value"])


@hyp(max_examples=20)
@given(words=st.lists(st.sampled_from(["en", "zh", "EN", "e", "english", "und", ""]), min_size=1, max_size=20), or_equal=st.booleans())
def test_expressions_and_pairs_are_those_of_great_expectations(words: list[str], or_equal: bool) -> None:
    rows = pa.table({"w": words, "a": [len(w) for w in words], "b": [2] * len(words)})
    success, share, theirs = both({"expect": "column_values_to_match_regex", "column": "w", "regex": "^[a-z]{2,3}$", "mostly": 0.5}, rows)
    assert success == theirs.success and share == pytest.approx(1 - theirs.result["unexpected_count"] / len(words))
    success, share, theirs = both(
        {"expect": "column_pair_values_a_to_be_greater_than_b", "column_A": "a", "column_B": "b", "or_equal": or_equal}, rows
    )
    assert success == theirs.success and share == pytest.approx(1 - theirs.result["unexpected_count"] / len(words))


# -- drift --------------------------------------------------------------------------------------------------------------


def test_psi_of_a_worked_example() -> None:
    # Two bins, by hand: (0.5 - 0.25) ln(0.5 / 0.25) + (0.5 - 0.75) ln(0.5 / 0.75) = 0.25 ln 2 + 0.25 ln 1.5
    assert psi([50, 50], [25, 75]) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5), abs=1e-12)
    assert psi([50, 50], [25, 75]) == pytest.approx(0.2746530721670274, abs=1e-12)
    assert psi([3, 7, 5], [30, 70, 50]) == 0
    # A bin that is empty now: its share counts as 1e-4.
    assert psi([0, 100], [50, 50]) == pytest.approx((1e-4 - 0.5) * math.log(1e-4 / 0.5) + 0.5 * math.log(2))


@hyp(max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=2, max_size=8))
def test_psi_is_great_expectations_relative_entropy_both_ways(bins: list[tuple[int, int]]) -> None:
    gx, batch_of = great_expectations()
    names = [f"bin {i}" for i in range(len(bins))]

    def divergence(observed: int, expected: int) -> float:
        rows = pa.table({"bin": [n for n, b in zip(names, bins, strict=True) for _ in range(b[observed])]})
        weights = [b[expected] / sum(c[expected] for c in bins) for b in bins]
        partition = {"values": names, "weights": weights}
        kl = gx.expectations.ExpectColumnKLDivergenceToBeLessThan(column="bin", partition_object=partition, threshold=9)
        return float(batch_of(rows.to_pandas()).validate(kl).result["observed_value"])

    assert psi([b[0] for b in bins], [b[1] for b in bins]) == pytest.approx(divergence(0, 1) + divergence(1, 0), rel=1e-9, abs=1e-12)


def test_unmoved_columns_stay_below_the_chi_squared_bound_and_moved_ones_do_not() -> None:
    rng = np.random.default_rng(7)
    n = 400
    draws = [psi_of(*(pa.chunked_array([np.exp(rng.normal(7, 1, n))]) for _ in range(2)), bins=10) for _ in range(400)]
    # Yurdakul 2018: mean (bins - 1)(1/n + 1/m); the decile edges are the sample's own, which only lowers the variance.
    assert np.mean(draws) == pytest.approx(9 * (2 / n), rel=0.15) and max(draws) < 0.2
    moved = psi_of(pa.chunked_array([np.exp(rng.normal(7.6, 1, n))]), pa.chunked_array([np.exp(rng.normal(7, 1, n))]), bins=10)
    assert moved > 0.2
    words = [pa.chunked_array([["en"] * a + ["zh"] * (100 - a)]) for a in (50, 25)]
    assert psi_of(*words, bins=10) == pytest.approx(0.2746530721670274)


def test_drift_is_judged_against_earlier_slices_of_the_same_source(lake: Lake, tmp_path: Path, verdicts: Callable[..., None]) -> None:
    rng = random.Random(1)
    long, short = ([rng.lognormvariate(mu, 1) for _ in range(500)] for mu in (8, 5))
    validator = suites_of(tmp_path, "verdict_language", {"expect": "column_psi_to_be_less_than", "column": "score", "severity": "warning"})
    days = [Slice("web", f"2026-11-0{d}") for d in (1, 2, 3)]
    verdicts(lake, Slice("other", "2026-10-01"), short)
    outcomes = []
    for day, scores in zip(days, (long, long[::-1], short), strict=True):
        verdicts(lake, day, scores)
        [receipt] = check_slice(lake, validator, day)
        outcomes.append(receipt.expectations[0])
    assert (outcomes[0].success, outcomes[0].note) == (None, "no earlier slice of this source")
    assert outcomes[1].success is True and outcomes[1].observed == 0
    assert outcomes[2].success is False and outcomes[2].observed is not None and outcomes[2].observed > 1
    assert earlier_rows(lake, "verdict_language", days[2], ["score"], 1)["score"].to_pylist() == long[::-1]
    verdicts(lake, days[2], short[:50])
    [few] = check_slice(lake, validator, days[2])[0].expectations
    assert few.success is None and "50 rows, judged from 400" in few.note


# -- the engine -----------------------------------------------------------------------------------------------------------


def suites_of(folder: Path, table: str, *expectations: dict[str, Any]) -> SuiteValidator:
    written(folder / "policies" / "expectations", table, *expectations)
    return SuiteValidator(Settings(base=folder, policies=Path("policies")))


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.open(settings)


@pytest.fixture
def verdicts() -> Callable[..., None]:
    """Commits a slice of language verdicts with these scores."""
    from datetime import UTC, datetime

    from headrace_lake.fingerprint import digest_of
    from headrace_lake.lake import StageCommit
    from headrace_lake.receipts import Counts, Receipt, here, new_run_id

    def commit(lake: Lake, slice_: Slice, scores: list[float]) -> None:
        n = len(scores)
        columns = {
            "uid": [digest_of([str(slice_), i]) for i in range(n)],
            "keep": [True] * n,
            "language": ["en"] * n,
            "score": scores,
            "script": ["Latn"] * n,
            "starts": [[]] * n,
            "ends": [[]] * n,
        }
        shard = lake.write_shard("verdict_language", slice_, 0, pa.table(columns))
        now = datetime.now(UTC)
        receipt = Receipt(
            run_id=new_run_id(), stage="language", version="1", source=slice_.source, slice=slice_.interval, fingerprint=shard.digest,
            code="", params={}, params_digest="", inputs=(), outputs=(shard,), tables=("verdict_language",),
            counts=Counts(read=n, kept=n), started_at=now, finished_at=now, **here(),
        )  # fmt: skip
        lake.commit(StageCommit(receipt))

    return commit


def test_the_shipped_suites_pass_on_a_real_slice_and_their_results_are_in_the_receipts(settings: Settings, tmp_path: Path) -> None:
    lake, slice_ = Lake.open(settings), Slice("mill", "2026-11-01")
    pipeline = load_pipeline(settings, "text").only(["extract", "language", "text_digests"])
    bring(lake, tmp_path / "pages", slice_, PAGES)
    run_pipeline(lake, pipeline, slice_)
    results = {(e.table, e.expectation): e for r in lake.current_receipts(slice_).values() for e in r.expectations}
    assert {t for t, _ in results} == {"documents", "verdict_language", "text_digests"}
    assert not [e.line for e in results.values() if e.success is False]
    unique = results["documents", "column_values_to_be_unique"]
    assert results["documents", "table_row_count_to_be_between"].observed == 2
    assert results["verdict_language", "column_mean_to_be_between"].note == "2 rows, judged from 50"
    assert unique.success is None or unique.observed == 1
    assert pipeline.validator is not None
    judged = check_slice(lake, pipeline.validator, slice_)
    assert "crawl" in {r.stage for r in judged} or "import" in {r.stage for r in judged}, "captures are judged by check"
    assert not [e.line for r in judged for e in r.expectations if e.success is False]


def test_an_error_stops_the_slice_and_a_warning_is_noted(settings: Settings, tmp_path: Path) -> None:
    lake, slice_ = Lake.open(settings), Slice("mill", "2026-11-01")
    bring(lake, tmp_path / "pages", slice_, PAGES)
    stages = load_pipeline(settings, "text").only(["extract", "text_digests"]).stages
    bound = {"expect": "column_median_to_be_between", "column": "characters", "max_value": 10}
    strict = suites_of(tmp_path / "a", "documents", {**bound, "severity": "error"})
    with pytest.raises(
        ExpectationError, match=r"stage extract: not committed.*column_median_to_be_between \(column characters, max_value 10\.0\)"
    ):
        run_pipeline(lake, Pipeline.of("t", *stages, validator=strict), slice_)
    assert lake.read("documents", slice_).num_rows == 0 and lake.read("text_digests", slice_).num_rows == 0
    mild = suites_of(tmp_path / "b", "documents", {**bound, "severity": "warning"})
    extract, digests = run_pipeline(lake, Pipeline.of("t", *stages, validator=mild), slice_).stages
    assert [n for n in extract.receipt.notes if n.startswith("expectation: warning documents: column_median_to_be_between")]
    assert lake.current_receipts(slice_)["extract"].expectations == extract.receipt.expectations
    assert digests.receipt.expectations == () and lake.read("documents", slice_).num_rows == 2


def test_check_at_the_command_line_names_what_fails_and_exits_with_1_for_an_error(settings: Settings, tmp_path: Path) -> None:
    lake, slice_ = Lake.open(settings), Slice("mill", "2026-11-01")
    bring(lake, tmp_path / "pages", slice_, PAGES)
    run_pipeline(lake, Pipeline.of("t", *load_pipeline(settings, "text").only(["extract"]).stages), slice_)
    written(
        tmp_path / "policies" / "expectations",
        "documents",
        {"expect": "table_row_count_to_be_between", "min_value": 3, "severity": "error"},
    )
    file = tmp_path / "headrace.yaml"
    conf = {**settings.model_dump(mode="json"), "policies": str(tmp_path / "policies")}
    file.write_text(yaml.safe_dump(conf), encoding="utf-8")
    command = [sys.executable, "-m", "headrace_cli", "slice", "check", "text", str(slice_), "--settings", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "mill/2026-11-01: error documents: table_row_count_to_be_between (min_value 3.0), observed 2" in done.stdout
    assert "Calculating Metrics" not in done.stderr


def test_judging_imports_no_great_expectations() -> None:
    code = "import sys; from headrace_lake.engine import load_pipeline; from headrace_lake.settings import load_settings\n"
    code += "p = load_pipeline(load_settings(), 'text'); print(p.validator.suites != [], 'great_expectations' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert done.stdout.split() == ["True", "False"]
