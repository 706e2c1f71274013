"""The removal audit: who is drawn, what the interval is worth, which judgements are taken, and what is decided."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from audited_lake import audited_lake, pipeline, texts, write_documents
from hypothesis import given
from hypothesis import strategies as st

from headrace_governance.audit.removals.evidence import audit_on
from headrace_governance.audit.removals.interval import Tally, beta_quantile, clopper_pearson, incomplete_beta, stratified
from headrace_governance.audit.removals.judgements import (
    Judgement,
    agreements,
    cohens_kappa,
    combined,
    read_judgements,
    record,
    recorded_judgements,
)
from headrace_governance.audit.removals.policy import AuditPolicy, load_audit_policy
from headrace_governance.audit.removals.removals import SCHEMA, slices_named
from headrace_governance.audit.removals.review import CHANGED, GONE, jsonl, page, shown_cases
from headrace_governance.audit.removals.sample import Sample, draw_sample, find_sample
from headrace_governance.audit.removals.strata import Stratum, draw
from headrace_governance.audit.removals.verdict import decide, judge_sample
from headrace_lake.engine import run_pipeline
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

# -- the interval ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "n"), [(0, 10), (1, 10), (9, 10), (372, 400), (399, 400), (400, 400), (3, 7)])
def test_clopper_pearson_leaves_two_and_a_half_percent_of_the_binomial_on_each_side(right: int, n: int) -> None:
    low, high = clopper_pearson(right, n)

    def at_least(p: float, k: int) -> float:
        exact = Fraction(p)
        return float(sum(math.comb(n, i) * exact**i * (1 - exact) ** (n - i) for i in range(k, n + 1)))

    assert low == 0 if right == 0 else at_least(low, right) == pytest.approx(0.025, abs=1e-9)
    assert high == 1 if right == n else 1 - at_least(high, right + 1) == pytest.approx(0.025, abs=1e-9)


def test_published_intervals_come_out() -> None:
    # The rule of three's exact form, and a textbook value (Fleiss, Statistical Methods for Rates and Proportions).
    assert clopper_pearson(0, 100)[1] == pytest.approx(1 - 0.025 ** (1 / 100), abs=1e-12)
    assert clopper_pearson(20, 100) == pytest.approx((0.1267, 0.2918), abs=5e-5)


@given(st.floats(0.001, 0.999), st.floats(0.5, 400), st.floats(0.5, 400))
def test_the_beta_quantile_is_the_inverse_of_its_distribution(p: float, a: float, b: float) -> None:
    assert incomplete_beta(beta_quantile(p, a, b), a, b) == pytest.approx(p, abs=1e-7)


def test_what_is_judged_completely_has_no_interval_and_what_is_not_judged_widens_it_to_both_sides() -> None:
    whole = stratified([Tally(10, 10, 9), Tally(5, 5, 5)])
    assert whole.value == whole.low == whole.high == pytest.approx(14 / 15)
    half = stratified([Tally(10, 10, 10), Tally(10, 0, 0)])
    assert (half.value, half.low, half.high) == (1.0, 0.5, 1.0)
    assert stratified([]).value == 1.0
    nothing = stratified([Tally(10, 0, 0)])
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_of_a_simple_sample_the_interval_is_clopper_and_pearsons_and_of_a_proportional_one_hardly_wider() -> None:
    simple = stratified([Tally(10**9, 400, 380)])
    assert (simple.low, simple.high) == pytest.approx(clopper_pearson(380, 400), abs=1e-6)
    parts = stratified([Tally(10**8, 40, 38)] * 10)
    assert (parts.low, parts.high) == pytest.approx((simple.low, simple.high), abs=1e-6)


@pytest.mark.parametrize(("population", "judged"), [(9, 4), (9, 7), (20, 16), (42, 40), (60, 30), (120, 114), (450, 400)])
def test_neither_end_errs_too_often_however_much_of_a_population_is_judged(population: int, judged: int) -> None:
    intervals = [stratified([Tally(population, judged, right)]) for right in range(judged + 1)]
    for right in range(population + 1):
        chances = {
            found: math.comb(right, found) * math.comb(population - right, judged - found) / math.comb(population, judged)
            for found in range(max(0, judged - (population - right)), min(judged, right) + 1)
        }
        truth = right / population
        assert sum(c for found, c in chances.items() if intervals[found].low > truth + 1e-12) <= 0.025
        assert sum(c for found, c in chances.items() if intervals[found].high < truth - 1e-12) <= 0.025


def removals(sizes: dict[tuple[str, str], int]) -> pa.Table:
    """Removals of a filter: (language, source) → how many."""
    rows = []
    for (language, source), n in sizes.items():
        base = {"verdict": "fineweb", "reason": "list_ratio", "language": language, "source": source, "slice": "1"}
        rows += [dict.fromkeys(SCHEMA.names) | base | {"uid": f"{source}-{language}-{i:06}"} for i in range(n)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


PLACES = {("en", "a"): 2000, ("en", "b"): 600, ("de", "a"): 250, ("de", "c"): 90, ("fr", "c"): 40, ("zh", "d"): 12, ("hi", "e"): 3}
TRUTHS = {
    "good everywhere": [0.97, 0.97, 0.97, 0.97, 0.97, 1.0, 1.0],
    "a large bad stratum": [0.99, 0.55, 0.98, 0.98, 0.9, 0.5, 0.0],
    "bad in the small ones": [0.98, 0.95, 0.6, 0.3, 0.2, 0.0, 0.0],
    "nearly perfect": [0.999, 1.0, 1.0, 0.99, 1.0, 1.0, 1.0],
    "at the bar": [0.9] * 7,
}


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("target", [60, 400])
def test_the_interval_covers_the_truth_in_at_least_95_of_100_samples(name: str, target: int) -> None:
    drawn = draw(removals(PLACES), target=target, floor=5, seed=1)
    sizes = np.array([s.population for s in drawn])
    cases = np.array([len(s.rows) for s in drawn])
    # The share of right removals of each place carries over to the stratum that it is in, however places were joined.
    shares = np.interp(np.linspace(0, 1, len(drawn)), np.linspace(0, 1, 7), sorted(TRUTHS[name], reverse=True))
    right = np.rint(np.sort(sizes)[::-1] * shares).astype(int)[np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")]
    truth = right.sum() / sizes.sum()
    rng = np.random.default_rng(7)
    found = rng.hypergeometric(right, sizes - right, cases, size=(2000, len(sizes)))
    seen: dict[bytes, tuple[float, float]] = {}
    covered, widths = 0, []
    for row in found:
        if row.tobytes() not in seen:
            e = stratified([Tally(int(n), int(k), int(x)) for n, k, x in zip(sizes, cases, row, strict=True)])
            seen[row.tobytes()] = (e.low, e.high)
        low, high = seen[row.tobytes()]
        covered += low <= truth <= high
        widths.append(high - low)
    assert covered / 2000 >= 0.95
    if target == 400:
        assert np.mean(widths) < 0.085, "an interval that says nothing covers too"


def test_the_draw_itself_estimates_the_truth_over_seeds() -> None:
    table = removals({k: v // 4 for k, v in PLACES.items() if v >= 12})
    wrong = {i for i, uid in enumerate(table["uid"].to_pylist()) if int(uid[-6:]) % 9 == 0}
    truth = 1 - len(wrong) / table.num_rows
    estimates, covered = [], 0
    for seed in range(300):
        drawn = draw(table, target=100, floor=5, seed=seed)
        e = stratified([Tally(s.population, len(s.rows), sum(r not in wrong for r in s.rows)) for s in drawn])
        estimates.append(e.value)
        covered += e.low <= truth <= e.high
    assert np.mean(estimates) == pytest.approx(truth, abs=0.005) and covered / 300 >= 0.95


# -- the draw ----------------------------------------------------------------------------------------------------------


def chosen(table: pa.Table, drawn: list[Stratum]) -> dict[str, list[str]]:
    return {s.name: [table["uid"][i].as_py() for i in s.rows] for s in drawn}


def test_a_draw_depends_on_the_seed_and_the_documents_and_on_no_order() -> None:
    table = removals(PLACES)
    drawn = chosen(table, draw(table, target=400, floor=5, seed=1))
    mixed = table.take(pa.array(np.random.default_rng(3).permutation(table.num_rows)))
    assert chosen(mixed, draw(mixed, target=400, floor=5, seed=1)) == drawn
    assert chosen(table, draw(table, target=400, floor=5, seed=2)) != drawn


def test_a_stratum_has_its_share_and_the_floor_and_small_ones_are_joined_under_their_language_and_reason() -> None:
    drawn = {s.name: s for s in draw(removals(PLACES), target=400, floor=5, seed=1)}
    assert sum(s.population for s in drawn.values()) == sum(PLACES.values())
    assert sum(len(s.rows) for s in drawn.values()) >= 400
    assert len(drawn["fineweb, list_ratio, en, a"].rows) == math.ceil(400 * 2000 / 2995)
    assert len(drawn["fineweb, list_ratio, fr, c"].rows) >= 5
    # 12 Chinese and 3 Hindi documents would be given two cases and one: together they are one stratum of their reason.
    assert drawn["fineweb, list_ratio, *, *"].population == 15 and len(drawn["fineweb, list_ratio, *, *"].rows) == 5
    for s in drawn.values():
        assert len(s.rows) >= max(min(5, s.population), s.population * 400 / 2995 - 1e-9) and len(set(s.rows)) == len(s.rows)


def test_a_thousand_sources_do_not_need_a_case_each() -> None:
    drawn = draw(removals({("en", f"s{i:04}"): 7 for i in range(1000)}), target=400, floor=5, seed=1)
    assert len(drawn) == 1 and len(drawn[0].rows) == 400
    few = draw(removals({("en", "a"): 30, ("de", "b"): 2}), target=400, floor=5, seed=1)
    assert sum(len(s.rows) for s in few) == 32, "where less was removed than the target, all of it is drawn"


# -- the lake ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """A removal audit's lake of the test's own."""
    return audited_lake(settings)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Lake:
    """A removal audit's lake that no test writes documents or judgements to."""
    return audited_lake(Settings.model_validate({"base": str(checkout), "lake": {"root": str(tmp_path_factory.mktemp("audit") / "lake")}}))


def sample_of(lake: Lake, **kw: Any) -> Sample:
    return draw_sample(lake, slices_named(lake, ["mill", "bakery/2026-11-01"]), **kw)[0]


def label_all(sample: Sample, label: str = "right", judge: str = "Ada") -> list[Judgement]:
    return [Judgement(sample=sample.fingerprint, case=c.case, judge=judge, label=label) for c in sample.cases]  # type: ignore[arg-type]


def test_a_sample_holds_references_and_no_text_and_is_adopted_until_something_changes(standing: Lake) -> None:
    lake = standing
    sample, action = draw_sample(lake, slices_named(lake, ["mill", "bakery"]))
    assert action == "computed" and find_sample(lake, sample.fingerprint[:10]) == sample
    assert draw_sample(lake, slices_named(lake, ["bakery", "mill"])) == (sample, "adopted")
    counts = Counter(c.verdict for c in sample.cases)
    assert counts["exact_duplicate"] == 8 and counts["near_duplicate"] >= 20 and counts["gopher_quality"] >= 15
    assert counts == {v: sum(s.population for s in sample.strata if s.verdict == v) for v in counts}
    near = [c for c in sample.cases if c.verdict == "near_duplicate"]
    assert all(c.keeper and c.similarity and c.copies and "copies similarity" in c.stratum for c in near if "*" not in c.stratum)
    assert all(c.measured and '"value"' in c.measured for c in sample.cases if c.verdict == "gopher_quality")
    stored = lake.storage.read_bytes(lake.find_artifact("audit-sample").path)  # type: ignore[union-attr]
    assert b"pwned" not in stored and b"miller" not in stored

    other, action = draw_sample(lake, slices_named(lake, ["mill", "bakery"]), target=10)
    assert action == "computed" and len(other.cases) < len(sample.cases)
    with pytest.raises(ConfigError, match="no verdict 'gopher'.*gopher_quality"):
        sample_of(lake, verdicts=["gopher"])
    with pytest.raises(InputError, match="source brewery has no documents.*bakery"):
        slices_named(lake, ["brewery"])
    with pytest.raises(InputError, match="no single audit sample 'ffffffff'"):
        find_sample(lake, "ffffffff")


def test_judges_see_both_texts_cut_and_are_told_when_one_has_changed_or_gone(lake: Lake) -> None:
    sample = sample_of(lake, verdicts=["exact_duplicate", "gopher_quality"])
    shown = shown_cases(lake, sample.cases, 300)
    pairs = [s for s in shown if s["kept"] is not None]
    assert len(pairs) == 8 and all(p["removed"] == p["kept"] and "first 300 of" in p["removed_note"] for p in pairs)
    assert all(json.loads(line)["sample"] == sample.fingerprint for line in jsonl(sample, shown).splitlines())
    write_documents(lake, Slice("mill", "2026-11-01"), texts(9, originals=40))
    notes = Counter(s["removed_note"].split(";")[0] for s in shown_cases(lake, sample.cases, 300) if s["document"].startswith("mill"))
    assert set(notes) == {CHANGED, GONE}


def test_the_page_holds_hostile_texts_as_data_only(standing: Lake) -> None:
    sample = sample_of(standing)
    text = page(sample, shown_cases(standing, sample.cases, 6000))
    head, _, rest = text.partition('<script type="application/json" id="data">')
    block, _, tail = rest.partition("</script>")
    assert "pwned" in block and "pwned" not in head + tail and not set("<>&") & set(block)
    assert text.count("<script") == 2 and "default-src 'none'" in head and "unsafe" not in head
    assert json.loads(block)["cases"] and "://" not in head + tail


# -- judgements --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "jsonl:2: not JSON"),
        ("[" * 5000, "jsonl:2: not JSON"),
        ('{"sample": "S", "case": "C", "judge": "Ada", "label": "maybe"}', "jsonl:2: field 'label'"),
        ('{"sample": "S", "case": "C", "judge": " ", "label": "right"}', "jsonl:2: field 'judge'"),
        ('{"sample": "S", "case": "C", "judge": "Ada", "label": "right", "vote": 1}', "jsonl:2: field 'vote'"),
        ('{"sample": "elsewhere", "case": "C", "judge": "Ada", "label": "right"}', "jsonl:2: of sample elsewhere"),
        ('{"sample": "S", "case": "unknown", "judge": "Ada", "label": "right"}', "jsonl:2: case unknown is not in the sample"),
        ('{"sample": "S", "case": "C", "judge": "gpt", "label": "right", "kind": "model"}', "jsonl:2: a model's judgements"),
        ('{"sample": "S", "case": "C", "judge": "Bob", "label": "wrong"}', "jsonl:2: Bob calls case .* wrong, and right in line 1"),
        ('{"note": "' + "x" * 20_000 + '"}', "jsonl:2: longer than 16,384 characters"),
    ],
)
def test_a_wrong_line_is_named(standing: Lake, tmp_path: Path, line: str, message: str) -> None:
    sample = sample_of(standing, verdicts=["exact_duplicate"])
    good = json.dumps({"sample": sample.fingerprint, "case": sample.cases[0].case, "judge": "Bob", "label": "right"})
    file = tmp_path / "judgements.jsonl"
    mended = line.replace('"S"', f'"{sample.fingerprint}"').replace('"C"', f'"{sample.cases[0].case}"')
    file.write_text(f"{good}\n{mended}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_judgements(file, sample)


def test_people_override_the_model_a_majority_counts_and_a_tie_is_unsure() -> None:
    def said(case: str, judge: str, label: Any, kind: Any = "person") -> Judgement:
        return Judgement(sample="s", case=case, judge=judge, label=label, kind=kind)

    judgements = [
        *(said("1", j, "right") for j in ("Ada", "Bob")), said("1", "Eve", "wrong"), said("1", "m", "wrong", "model"),
        said("2", "Ada", "right"), said("2", "Bob", "wrong"), said("3", "m", "wrong", "model"),
    ]  # fmt: skip
    assert combined(judgements) == {"1": ("right", "person"), "2": ("unsure", "person"), "3": ("wrong", "model")}
    pairs = {(a.one, a.other): (a.cases, a.agreed) for a in agreements(judgements)}
    assert pairs["Ada", "Bob"] == (2, 0.5) and pairs["Eve", "m"] == (1, 1.0)


def test_kappa_is_cohens() -> None:
    # Cohen's own worked form: 45 and 15 against 25 and 15, agreement 0.6, chance 0.54.
    pairs = [("a", "a")] * 45 + [("a", "b")] * 15 + [("b", "a")] * 25 + [("b", "b")] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.1304, abs=5e-5)
    assert cohens_kappa([("a", "a")] * 3) == 1.0 and cohens_kappa([("a", "b"), ("b", "a")]) == -1.0


# -- the verdict -------------------------------------------------------------------------------------------------------


def test_the_verdict_passes_fails_or_waits_and_is_recorded(lake: Lake) -> None:
    sample, policy = sample_of(lake), load_audit_policy(lake.settings)
    waiting, _, _ = decide(lake, sample, policy)
    assert waiting.decision == "not enough judgements"
    record(lake, sample, label_all(sample))
    passed, artifact, action = decide(lake, sample, policy)
    assert (passed.decision, action, artifact.payload["passed"]) == ("pass", "computed", 1)
    assert passed.overall.precision.low == 1.0, "every removal was judged"
    assert decide(lake, sample, policy)[1:] == (artifact, "adopted")
    near = [c.case for c in sample.cases if c.verdict == "near_duplicate"]
    changed = [j.model_copy(update={"label": "wrong"}) for j in label_all(sample) if j.case in near[: len(near) // 4]]
    with pytest.raises(InputError, match="Ada has called case .* right before, now wrong"):
        record(lake, sample, changed)
    record(lake, sample, changed, revise=True)
    failed, _, _ = decide(lake, sample, policy)
    decisions = {v.name: v.decision for v in failed.verdicts if v.removals}
    assert failed.decision == "fail" and decisions.pop("near_duplicate") == "fail" and set(decisions.values()) == {"pass"}


def test_the_lower_end_decides_and_people_must_have_looked() -> None:
    table = removals({("en", "a"): 10_000})
    drawn = draw(table, target=400, floor=5, seed=1)[0]
    names = [f"{i}" for i in drawn.rows]
    case = {"stratum": drawn.name, "verdict": "fineweb", "reason": "list_ratio", "language": "en", "source": "a", "slice": "1"}
    sample = Sample.model_validate(
        {
            "fingerprint": "f", "slices": ["a/1"], "verdicts": ["fineweb"], "judged": [],
            "strata": [{"name": drawn.name, "verdict": "fineweb", "population": 10_000, "drawn": 400}],
            "cases": [case | {"case": n, "uid": n} for n in names],
        }
    )  # fmt: skip

    def decision(right: int, unsure: int = 0, kind: Any = "person", judged: int = 400) -> tuple[str, float]:
        labels = ["right"] * right + ["unsure"] * unsure + ["wrong"] * (judged - right - unsure)
        verdict = judge_sample(sample, {n: (label, kind) for n, label in zip(names, labels, strict=False)}, AuditPolicy())  # type: ignore[misc]
        return verdict.decision, verdict.overall.precision.low

    assert decision(372)[0] == "pass" and decision(371)[0] == "fail", "of 400, 372 right have their lower end just above 0.90"
    assert decision(372)[1] >= 0.90 > decision(371)[1]
    assert decision(371, unsure=29) == decision(371), "a removal that nobody can call right is not shown to be right"
    assert decision(400, kind="model")[0] == "not enough judgements"
    assert decision(300, judged=300)[0] == "not enough judgements"
    assert decision(200, judged=300)[0] == "fail", "too bad to be saved by the rest"


def test_judgements_hold_for_the_same_removals_in_a_later_sample_and_a_gate_sees_a_stale_verdict(lake: Lake) -> None:
    small = sample_of(lake, verdicts=["exact_duplicate"])
    record(lake, small, label_all(small))
    sample = sample_of(lake)
    assert {j.case for j in recorded_judgements(lake, sample)} == {c.case for c in small.cases}
    record(lake, sample, label_all(sample))
    with pytest.raises(InputError, match=r"no verdict of the removal audit covers the 1 slices \(the nearest covers 0\)"):
        audit_on(lake, [Slice("mill", "2026-11-01")])
    artifact = decide(lake, sample, load_audit_policy(lake.settings))[1]
    assert audit_on(lake, [Slice("mill", "2026-11-01")]) == artifact
    with pytest.raises(InputError, match="covers the 2 slices .the nearest covers 1."):
        audit_on(lake, [Slice("mill", "2026-11-01"), Slice("mill", "2026-11-02")])
    write_documents(lake, Slice("mill", "2026-11-01"), texts(5, originals=30, short=3))
    run_pipeline(lake, pipeline(lake.settings), Slice("mill", "2026-11-01"))
    with pytest.raises(InputError, match="slice mill/2026-11-01: verdict .* was computed again"):
        audit_on(lake, [Slice("mill", "2026-11-01")])


def test_the_command_line_from_sample_to_verdict(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump(lake.settings.model_dump(mode="json")), encoding="utf-8")

    def call(*words: str) -> tuple[int, str, dict[str, Any]]:
        command = [sys.executable, "-m", "headrace_cli", "--json-result", "audit", *words, "--settings", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        result = [line.removeprefix("HEADRACE_RESULT ") for line in done.stdout.splitlines() if line.startswith("HEADRACE_RESULT ")]
        return done.returncode, done.stdout + done.stderr, json.loads(result[-1]) if result else {}

    cases = tmp_path / "cases.jsonl"
    code, said, result = call("sample", "mill", "--verdicts", "exact_duplicate,near_duplicate", "--out", str(cases))
    assert code == 0 and result["cases"]["exact_duplicate"] == 8, said
    assert call("verdict")[0] == 3
    lines = [json.loads(line) for line in cases.read_text(encoding="utf-8").splitlines()]
    for judge in ("Ada", "Bob"):
        judged = [{"sample": c["sample"], "case": c["case"], "judge": judge, "label": "right"} for c in lines]
        (tmp_path / "judged.jsonl").write_text("".join(json.dumps(j) + "\n" for j in judged), encoding="utf-8")
        code, said, _ = call("judge", "--file", str(tmp_path / "judged.jsonl"))
        assert code == 0, said
    assert "Cohen's kappa" in said and "1.00" in said
    code, said, result = call("verdict")
    assert (code, result["decision"], result["verdicts"]["near_duplicate"]["precision"]["value"]) == (0, "pass", 1.0), said
    assert call("page", "--out", str(tmp_path / "page.html"), "--unjudged")[2]["cases"] == 0
    assert call("judge", "--file", str(tmp_path / "nowhere.jsonl"))[0] == 2
    assert (asked := call("model"))[0] == 2 and "names no model" in asked[1]
