"""The documents that a mix holds out, as decontamination reads them from the mix's record."""

from __future__ import annotations

import pytest

from headrace_governance.decontamination.sets import held_out_of_mix
from headrace_jobs.mix.compile import compile_mix
from headrace_jobs.mix.recipe import Recipe
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.strict import parse


def test_what_a_mix_holds_out_is_read_from_its_record(lake: Lake, two_sources: list[Receipt]) -> None:
    phases = [{"name": "A", "tokens": 6000, "weights": {"language=en": 0.5, "rest": 0.5}}]
    recipe = parse({"name": "test", "licences": ["public"], "held_out": {"fraction": 0.1}, "phases": phases}, Recipe, where="test.yaml")
    mix, _ = compile_mix(lake, recipe)
    found = held_out_of_mix(lake, "test")
    assert found and {uid for _, uid in found} == {u.hex() for u in mix.held_out["uid"].to_pylist()}
    passports = {(r["source"], r["slice"], r["uid"]) for r in lake.read("passports", columns=["source", "slice", "uid"]).to_pylist()}
    assert {(s.source, s.interval, uid) for s, uid in found} <= passports
    with pytest.raises(InputError, match="no mix 'other' in the lake. mixes: test"):
        held_out_of_mix(lake, "other")
