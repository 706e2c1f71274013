"""A Megatron checkpoint in Hugging Face's form: the same losses from transformers' own model, and text out of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_jobs.export.hugging_face import convert, export, hugging_face_config
from headrace_jobs.mix.compile import compile_mix
from headrace_jobs.mix.recipe import Recipe
from headrace_jobs.model.config import ModelConfig, load_model_config
from headrace_jobs.release.sample import continuation, load_model
from headrace_jobs.trainer.checkpoint import newest_valid
from headrace_jobs.trainer.config import TrainConfig
from headrace_jobs.trainer.inference import load_for_inference
from headrace_jobs.trainer.loop import train
from headrace_jobs.trainer.observer import Observer
from headrace_jobs.trainer.parallel import stop
from headrace_jobs.trainer.plan import RunPlan
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import Settings
from headrace_tokenizers.text.huggingface import write_hf_tokenizer
from headrace_tokenizers.text.vocabulary import VocabularySpec, load_vocabulary

SIZES = {
    "hidden_size": 32,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_size": 8,
    "ffn_size": 48,
    "max_positions": 128,
    "precision": "fp32",
}
RECIPE = {"name": "export", "licences": ["public", "share-alike"], "phases": [{"name": "A", "tokens": 2000, "weights": {"rest": 1.0}}]}
TRAIN = {"sequence_length": 64, "micro_batch": 2, "global_batch": 2, "max_steps": 3, "threads": 1, "optimizer": {"lr": 0.02}}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _no_groups_stay() -> Iterator[None]:
    yield
    stop()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, checkout: Path, spec: VocabularySpec, slice_writer: Callable[..., Receipt]) -> Any:
    """Three steps of a model with the real vocabulary; its norms are far from one, so that a norm in the wrong place shows."""
    folder = tmp_path_factory.mktemp("trained")
    places = {"base": str(checkout), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")}
    lake = Lake.open(Settings.model_validate(places))
    slice_writer(lake, spec, folder, "alpha", [("en", "public")] * 120 + [("zh", "public")] * 80 + [("en", "restricted")] * 10)
    slice_writer(lake, spec, folder, "beta", [("en", "share-alike")] * 60 + [("fr", "share-alike")] * 60)

    @cache
    def go(*, tied: bool) -> Path:
        model = ModelConfig.model_validate({"name": "small", "tied": tied, **SIZES})
        mix = compile_mix(lake, Recipe.model_validate(RECIPE))[0]
        plan = RunPlan("e" * 32, folder / f"run-{tied}", TrainConfig.model_validate(TRAIN), model)
        train(plan, mix, lake, Observer())
        stop()
        found = newest_valid(plan.checkpoints, run=plan.fingerprint)
        assert found is not None
        return found

    return go


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_gives_the_losses_that_megatron_gives(trained: Any, tmp_path: Path, tied: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    checkpoint = trained(tied=tied)
    files = {p.name for p in export(checkpoint, tmp_path / "hf")}
    assert files == {"config.json", "generation_config.json", "model.safetensors"}
    tokens_BS = np.random.default_rng(3).integers(0, 151_643, (2, 48))
    positions_BS = np.tile(np.arange(48), (2, 1))
    ours_BS = load_for_inference(checkpoint).nll(tokens_BS, positions_BS, np.zeros((2, 48), dtype=np.int32))[:, :-1]
    stop()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", local_files_only=True, use_safetensors=True)
    with torch.no_grad():
        logits_BSV = theirs(input_ids=torch.from_numpy(tokens_BS)).logits.log_softmax(-1)
    theirs_BS = -torch.gather(logits_BSV[:, :-1], 2, torch.from_numpy(tokens_BS)[:, 1:, None])[..., 0].numpy()
    assert np.abs(ours_BS - theirs_BS).max() < 1e-4
    assert theirs_BS.std() > 0.1


def test_a_seed_repeats_its_text_and_zero_temperature_needs_none(
    trained: Any, tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_jobs.release.sample.load_model", cache(load_model))  # the same folder each time
    checkpoint = trained(tied=True)
    folder = tmp_path / "hf"
    export(checkpoint, folder)
    write_hf_tokenizer(load_vocabulary(checkout / "tokenizers/configs/qwen_text.yaml"), folder, context=128)

    def say(**options: Any) -> Any:
        return continuation(folder, "The system", **{"new_tokens": 12, "temperature": 1.0, "top_p": 0.95, "seed": 5, **options})

    assert say() == say()
    assert say().ids != say(seed=6).ids
    assert say(temperature=0.0) == say(temperature=0.0, seed=9)
    with pytest.raises(InputError, match="positions"):
        say(new_tokens=500)


def test_a_checkpoint_that_lacks_a_tensor_names_it() -> None:
    with pytest.raises(InputError, match=r"embedding\.word_embeddings\.weight"):
        convert({}, ModelConfig.model_validate({"name": "small", **SIZES}))


@pytest.mark.parametrize("name", ["tiny", "1b", "7b", "14b", "30b"])
def test_parameters_are_counted_as_transformers_counts_them(settings: Settings, checkout: Path, name: str) -> None:
    import torch
    from transformers import Qwen3ForCausalLM

    model = load_model_config(settings.model_copy(update={"base": checkout}), name)
    with torch.device("meta"):
        theirs = Qwen3ForCausalLM(hugging_face_config(model, eod=151_643))
    assert theirs.num_parameters() == model.num_parameters()
