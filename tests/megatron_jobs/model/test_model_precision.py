"""Precision follows what the processor does: measured speeds decide, and a slow one that was asked for is warned about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from patience import PATIENCE_S

from headrace_jobs.model.build import build_model
from headrace_jobs.model.config import ModelConfig, load_model_config
from headrace_jobs.model.layout import ParallelConfig
from headrace_jobs.model.precision import WORTHWHILE, Measured, choices, decide, measure, resolved
from headrace_lake.errors import ConfigError
from headrace_lake.settings import Settings

AVX2_ONLY = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
"""oneDNN, ATen and MKL do as on a processor of 2021 that has AVX2 and no bf16."""
MODEL = ModelConfig(
    name="m",
    hidden_size=96,
    layers=2,
    heads=4,
    kv_heads=2,
    head_size=24,
    ffn_size=256,
    vocabulary=1024,
    precision="auto",
    softmax_precision="auto",
)


@pytest.mark.parametrize(
    ("fp32", "bf16", "chosen", "why"),
    [
        (6.0, 0.5, "fp32", "fp32 is 12 times as fast (bf16 0.5 GFLOP/s, fp32 6.0 GFLOP/s at x)"),
        (90.0, 280.0, "bf16", "bf16 is 3.1 times as fast (bf16 280 GFLOP/s, fp32 90 GFLOP/s at x)"),
        (90.0, 90.0 * WORTHWHILE, "bf16", "1.5 times"),
        (90.0, 90.0 * WORTHWHILE - 1, "fp32", "bf16 is 1.5 times"),
        (90.0, 90.0, "fp32", "bf16 is 1.0 times"),
        (90.0, 0.0, "fp32", "no bf16 here"),
    ],
)
def test_auto_takes_bf16_only_where_it_is_worth_it(fp32: float, bf16: float, chosen: str, why: str) -> None:
    choice = decide("softmax", "auto", Measured(shape="x", fp32=fp32, bf16=bf16))
    assert choice.chosen == chosen and why in choice.why and not choice.warning


@pytest.mark.parametrize(
    ("asked", "fp32", "bf16", "warning"),
    [
        ("bf16", 96.0, 7.2, "asks for bf16 for its softmax, which takes 13 times as long as fp32 on this processor (bf16 7.2 GFLOP/s"),
        ("bf16", 96.0, 70.0, "takes 1.4 times as long"),
        ("bf16", 96.0, 0.0, "which it does not have on this processor"),
        ("bf16", 96.0, 90.0, ""),
        ("bf16", 90.0, 280.0, ""),
        ("fp32", 90.0, 280.0, ""),
    ],
)
def test_what_the_model_file_asks_for_is_kept_and_warned_about_with_figures(asked: str, fp32: float, bf16: float, warning: str) -> None:
    choice = decide("softmax", asked, Measured(shape="x", fp32=fp32, bf16=bf16))
    assert choice.chosen == asked and bool(choice.warning) == bool(warning) and warning in choice.warning


def test_layers_and_softmax_are_chosen_by_their_own_products() -> None:
    made = choices(MODEL, [Measured(shape="x", fp32=9, bf16=1), Measured(shape="y", fp32=1, bf16=9)])
    model = resolved(MODEL, made)
    assert (model.precision, model.softmax_precision) == ("fp32", "bf16") and MODEL.precision == "auto"


def _probe(checkout: Path, model: str, **env: str) -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "headrace_jobs.model.precision", model, "--base", str(checkout)]
    clean = {k: v for k, v in os.environ.items() if k not in AVX2_ONLY}
    done = subprocess.run(words, env=clean | env, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_processor_made_to_emulate_bf16_gets_fp32_and_the_shipped_model_says_auto(checkout: Path) -> None:
    layers, softmax = _probe(checkout, "tiny", **AVX2_ONLY)
    assert (softmax["asked"], softmax["chosen"]) == ("auto", "fp32")
    assert softmax["measured"]["bf16"] * 2 < softmax["measured"]["fp32"], softmax
    assert not softmax["warning"] and not layers["warning"] and layers["chosen"] == "fp32"


def test_a_model_that_asks_for_bf16_there_keeps_it_and_is_warned(checkout: Path, tmp_path: Path) -> None:
    file = tmp_path / "bf16.yaml"
    body = MODEL.model_dump(mode="json") | {"precision": "bf16", "softmax_precision": "bf16"}
    file.write_text(json.dumps(body), encoding="utf-8")
    for choice in _probe(checkout, str(file), **AVX2_ONLY):
        assert choice["chosen"] == "bf16" and "times as long as fp32 on this processor" in choice["warning"]


def test_this_processor_gets_what_its_own_measurement_says_and_threads_stay_as_they_were(checkout: Path) -> None:
    for choice in _probe(checkout, "tiny"):
        fast = choice["measured"]["bf16"] >= WORTHWHILE * choice["measured"]["fp32"]
        assert choice["asked"] != "auto" or choice["chosen"] == ("bf16" if fast else "fp32")
    before = torch.get_num_threads()
    measured = measure(MODEL)
    assert torch.get_num_threads() == before and all(m.fp32 > 0 and m.bf16 > 0 for m in measured)


@pytest.mark.parametrize(("has", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_on_a_gpu_the_answer_is_whether_it_has_bf16(monkeypatch: pytest.MonkeyPatch, has: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has and not including_emulation)
    assert {c.chosen for c in choices(MODEL, measure(MODEL))} == {chosen}


def test_models_for_gpus_stay_in_bf16_whatever_the_processor(checkout: Path) -> None:
    settings = Settings.model_validate({"base": str(checkout)})
    for name in ("1b", "7b", "14b", "30b"):
        model = load_model_config(settings, name)
        assert (model.precision, model.softmax_precision) == ("bf16", "fp32"), name


def test_no_model_is_built_before_its_precision_is_chosen() -> None:
    with pytest.raises(ConfigError, match="precision was not chosen"):
        build_model(MODEL, ParallelConfig(), sequence_length=64)


def test_an_unknown_model_is_one_line_and_exit_code_2(checkout: Path) -> None:
    words = [sys.executable, "-m", "headrace_jobs.model.precision", "nosuch", "--base", str(checkout)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 2 and done.stderr.startswith("headrace: no model 'nosuch'") and done.stderr.count("\n") == 1
