"""The `train:` block of a recipe is checked before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace_jobs.mix.recipe import load_recipe
from headrace_jobs.model.build import check_layout
from headrace_jobs.model.config import ModelConfig, load_model_config
from headrace_jobs.model.layout import ParallelConfig
from headrace_jobs.trainer.config import TrainConfig, train_config
from headrace_jobs.trainer.parallel import process_groups
from headrace_lake.errors import ConfigError
from headrace_lake.settings import Settings

MODEL = ModelConfig(name="m", hidden_size=32, layers=3, heads=4, kv_heads=2, head_size=8, ffn_size=64, vocabulary=384)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"sequence_lenght": 128}, "did you mean 'sequence_length'"),
        ({"optimizer": {"lr": 0}}, "optimizer.lr"),
        ({"optimizer": {"lr": 0.1, "min_lr": 0.2}}, "min_lr 0.2 is above lr 0.1"),
        ({"global_batch": 6, "micro_batch": 4}, "global_batch 6 is not a multiple of micro_batch 4"),
        ({"schedule": {"warmup": 0.6, "decay": 0.6}}, "more than all tokens"),
        ({"sequence_length": 130, "parallel": {"context": 2}}, "does not divide by 2 x context 2"),
    ],
)
def test_a_wrong_field_is_named_with_its_recipe(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match="recipe r, train") as caught:
        train_config(block, recipe="r")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("parallel", "message"),
    [
        ({"tensor": 2}, "a multiple of 128 x TP 2.*use 512"),
        ({"tensor": 3}, "heads do not divide by TP 3"),
        ({"pipeline": 2}, "3 layers"),
    ],
)
def test_a_model_that_does_not_divide_is_refused(parallel: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_layout(MODEL, ParallelConfig.model_validate(parallel))


def test_a_layout_larger_than_the_world_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a multiple of 4"), process_groups(ParallelConfig(tensor=2, pipeline=2), seed=1):
        pass


def test_how_often_is_saved_or_logged_does_not_make_another_run() -> None:
    base = TrainConfig()
    assert base.identity() == TrainConfig(checkpoint_every=7, keep=9, log_every=3, threads=1).identity()
    assert base.identity() != TrainConfig(seed=2).identity()


def test_models_and_recipes_of_the_house_are_sound(checkout: Path) -> None:
    settings = Settings.model_validate({"base": str(checkout)})
    recipe = load_recipe(settings, "tiny")
    config = train_config(recipe.train, recipe=recipe.name)
    for name, billions in (("tiny", 0.00986), ("1b", 1.4), ("7b", 7.4), ("14b", 14.8), ("30b", 30.8)):
        model = load_model_config(settings, name)
        assert model.num_parameters() / 1e9 == pytest.approx(billions, rel=0.05), name
    assert config.sequence_length <= load_model_config(settings, config.model).max_positions
