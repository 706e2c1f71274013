"""A lake with recipes that differ in their `train:` block, for tests of training; a step takes some hundredths of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from headrace_jobs.trainer.run import Outcome, train_recipe
from headrace_lake.lake import Lake
from headrace_lake.settings import load_settings
from headrace_tokenizers.text.vocabulary import load_spec

MODEL = {
    "name": "small",
    "hidden_size": 32,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_size": 8,
    "ffn_size": 64,
    "max_positions": 64,
    "tied": True,
    "precision": "fp32",
}
TRAIN = {
    "sequence_length": 64,
    "micro_batch": 4,
    "global_batch": 4,
    "checkpoint_every": 2,
    "threads": 1,
    "share_unused_ids": True,
    "log_every": 2,
    "optimizer": {"lr": 0.001, "embedding_lr": 0.001},
    "schedule": {"kind": "cosine"},
}


class Site:
    """A lake, its settings file, and recipes that differ in their `train:` block.

    Attributes:
        spec: vocabulary of its recipes.
        model: what its model file holds.
    """

    def __init__(self, folder: Path, checkout: Path, spec_file: Path) -> None:
        self.folder, self.spec_file = folder, spec_file
        self.spec = load_spec(spec_file)
        self.model = MODEL | {"vocabulary": self.spec.padded_to}
        self.settings = folder / "headrace.yaml"
        self.settings.write_text(
            yaml.safe_dump({"base": str(checkout), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")}), encoding="utf-8"
        )
        (folder / "model.yaml").write_text(yaml.safe_dump(self.model), encoding="utf-8")
        self.lake = Lake.open(load_settings(self.settings))

    def recipe(self, file: str, **train: Any) -> str:
        body = {
            "name": "small",
            "tokenizer": str(self.spec_file),
            "licences": ["public", "share-alike"],
            "phases": [{"name": "A", "tokens": 5000, "weights": {"rest": 1.0}}],
            "train": {"model": str(self.folder / "model.yaml"), **TRAIN, **train},
        }
        path = self.folder / f"{file}.yaml"
        path.write_text(yaml.safe_dump(body), encoding="utf-8")
        return str(path)

    def train(self, file: str, **train: Any) -> Outcome:
        return train_recipe(self.lake, self.recipe(file, **train), settings=self.settings)
