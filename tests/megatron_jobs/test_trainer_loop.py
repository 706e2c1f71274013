"""Training on one CPU process through Megatron: it learns, resumes to the last bit, and stops on a loss that is no number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace_jobs.mix.compile import Mix, compile_mix
from headrace_jobs.mix.recipe import Recipe
from headrace_jobs.model.config import ModelConfig
from headrace_jobs.trainer.config import TrainConfig
from headrace_jobs.trainer.loop import Observer, RunPlan, StepRecord, train
from headrace_jobs.trainer.parallel import stop
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake

MODEL = ModelConfig(
    name="small", hidden_size=32, layers=2, heads=4, kv_heads=2, head_size=8, ffn_size=64, max_positions=64, tied=True, precision="fp32"
)
RECIPE = Recipe.model_validate(
    {"name": "small", "licences": ["public", "share-alike"], "phases": [{"name": "A", "tokens": 6000, "weights": {"rest": 1.0}}]}
)
CONFIG = TrainConfig.model_validate(
    {
        "sequence_length": 64,
        "micro_batch": 2,
        "global_batch": 4,
        "max_steps": 10,
        "checkpoint_every": 1000,
        "threads": 1,
        "optimizer": {"lr": 0.01},
    }
)


class Steps(Observer):
    """Remembers what was trained."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []

    def stepped(self, record: StepRecord) -> None:
        self.records.append(record)


@pytest.fixture
def mix(lake: Lake, two_sources: Any) -> Mix:
    return compile_mix(lake, RECIPE)[0]


@pytest.fixture(autouse=True)
def _no_groups_stay() -> Iterator[None]:
    yield
    stop()


@pytest.fixture
def run(lake: Lake, mix: Mix, tmp_path: Path) -> Callable[..., list[StepRecord]]:
    """Train in a folder; returns the steps that this call made."""

    def go(folder: str, *, config: TrainConfig = CONFIG, **options: Any) -> list[StepRecord]:
        seen = Steps()
        plan = RunPlan("f" * 32, tmp_path / folder, config, MODEL, **options)
        train(plan, mix, lake, seen)
        return seen.records

    return go


def test_ten_steps_equal_five_and_a_resumed_five_to_the_last_bit(run: Callable[..., list[StepRecord]]) -> None:
    whole = run("whole")
    parts = [*run("parts", stop_after=5), *run("parts")]
    assert [r.step for r in parts] == list(range(1, 11))
    assert [(r.loss, r.grad_norm, r.lr, r.total_tokens) for r in parts] == [(r.loss, r.grad_norm, r.lr, r.total_tokens) for r in whole]
    assert whole[-1].loss < whole[0].loss - 1


def test_the_loss_of_a_step_does_not_depend_on_how_rows_fall_into_micro_batches(run: Callable[..., list[StepRecord]]) -> None:
    whole = run("one", config=CONFIG.model_copy(update={"max_steps": 2, "micro_batch": 4}))
    parts = run("four", config=CONFIG.model_copy(update={"max_steps": 2, "micro_batch": 1}))
    assert [r.loss for r in parts] == pytest.approx([r.loss for r in whole], rel=1e-5)
    assert [r.grad_norm for r in parts] == pytest.approx([r.grad_norm for r in whole], rel=1e-4)
    assert [r.tokens for r in parts] == [r.tokens for r in whole]


def test_a_gradient_that_is_no_number_stops_the_run_before_it_is_saved(lake: Lake, mix: Mix, tmp_path: Path) -> None:
    plan = RunPlan(
        "f" * 32, tmp_path / "broken", CONFIG.model_copy(update={"checkpoint_every": 1}), MODEL.model_copy(update={"z_loss": 1e38})
    )
    with pytest.raises(InputError, match=r"step 1: loss .*gradient norm (nan|inf).*the run left no checkpoint.*lower 'train.optimizer.lr'"):
        train(plan, mix, lake, Observer())
    assert not list(plan.checkpoints.glob("step-*"))


def test_a_vocabulary_smaller_than_the_tokens_is_refused(lake: Lake, mix: Mix, tmp_path: Path) -> None:
    plan = RunPlan("f" * 32, tmp_path / "small", CONFIG, MODEL.model_copy(update={"vocabulary": 512}))
    with pytest.raises(ConfigError, match="vocabulary 512 is below the mix's"):
        train(plan, mix, lake, Observer())
