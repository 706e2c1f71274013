"""Training on one CPU process through Megatron: it learns, resumes to the last bit, and stops on a loss that is not a number."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from headrace_jobs.mix.compile import Mix, compile_mix
from headrace_jobs.mix.recipe import Recipe
from headrace_jobs.model.config import ModelConfig
from headrace_jobs.model.precision import Measured
from headrace_jobs.trainer import checkpoint
from headrace_jobs.trainer.config import TrainConfig
from headrace_jobs.trainer.inference import MegatronScorer
from headrace_jobs.trainer.loop import train
from headrace_jobs.trainer.observer import Observer, StepRecord
from headrace_jobs.trainer.parallel import process_groups, stop
from headrace_jobs.trainer.plan import RunPlan
from headrace_jobs.trainer.segment import changes
from headrace_jobs.trainer.state import build_state
from headrace_jobs.trainer.vocabulary import used_ids
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake

MODEL = ModelConfig(
    name="small", hidden_size=32, layers=2, heads=4, kv_heads=2, head_size=8, ffn_size=64, max_positions=64, tied=True, precision="fp32"
)
"""With the shipped vocabulary's rows; most tests need no more than those of a small one."""
RECIPE = {"name": "small", "licences": ["public", "share-alike"], "phases": [{"name": "A", "tokens": 6000, "weights": {"rest": 1.0}}]}
CONFIG = TrainConfig.model_validate(
    {
        "sequence_length": 64,
        "micro_batch": 2,
        "global_batch": 4,
        "max_steps": 10,
        "checkpoint_every": 1000,
        "threads": 1,
        "share_unused_ids": True,  # a softmax over the 500 ids of the test's documents and one for the rest
        "optimizer": {"lr": 0.01},
    }
)
FULL_SOFTMAX = CONFIG.model_copy(update={"share_unused_ids": False, "max_steps": 2})
MOVED = CONFIG.model_copy(update={"max_steps": 6})


class Steps(Observer):
    """Remembers what was trained."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []

    def stepped(self, record: StepRecord) -> None:
        self.records.append(record)


class World(NamedTuple):
    """A lake, its mix, and a model with the mix's vocabulary."""

    lake: Lake
    mix: Mix
    model: ModelConfig


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, checkout: Path, small_spec_file: Path, two_sources_writer: Callable[[Path, Path], Lake]
) -> Callable[[bool], World]:
    """The world of the shipped vocabulary (True) or of a small one; no test writes to it."""

    @cache
    def go(shipped: bool) -> World:
        spec_file = checkout / Recipe.model_validate(RECIPE).tokenizer if shipped else small_spec_file
        lake = two_sources_writer(tmp_path_factory.mktemp("world"), spec_file)
        mix = compile_mix(lake, Recipe.model_validate(RECIPE | {"tokenizer": str(spec_file)}))[0]
        return World(lake, mix, MODEL.model_copy(update={"vocabulary": mix.vocabulary}))

    return go


@pytest.fixture
def small(world: Callable[[bool], World]) -> World:
    return world(False)


@pytest.fixture(autouse=True)
def _no_groups_stay() -> Iterator[None]:
    yield
    stop()


@pytest.fixture
def run(world: Callable[[bool], World], tmp_path: Path) -> Callable[..., list[StepRecord]]:
    """Train in a folder; returns the steps that this call made."""

    def go(folder: str, *, config: TrainConfig = CONFIG, shipped: bool = False, **options: Any) -> list[StepRecord]:
        seen, (lake, mix, model) = Steps(), world(shipped)
        plan = RunPlan("f" * 32, tmp_path / folder, config, model, **options)
        train(plan, mix, lake, seen)
        return seen.records

    return go


def test_ten_steps_equal_five_and_a_resumed_five_to_the_last_bit(run: Callable[..., list[StepRecord]]) -> None:
    whole = run("whole")
    parts = [*run("parts", stop_after=5), *run("parts")]
    assert [r.step for r in parts] == list(range(1, 11))
    assert [(r.loss, r.grad_norm, r.lr, r.total_tokens) for r in parts] == [(r.loss, r.grad_norm, r.lr, r.total_tokens) for r in whole]
    assert whole[-1].loss < whole[0].loss - 1


def test_so_do_steps_of_the_full_softmax(run: Callable[..., list[StepRecord]]) -> None:
    whole = run("whole", config=FULL_SOFTMAX)
    parts = [*run("parts", config=FULL_SOFTMAX, stop_after=1), *run("parts", config=FULL_SOFTMAX)]
    assert [(r.step, r.loss, r.grad_norm) for r in parts] == [(r.step, r.loss, r.grad_norm) for r in whole]


def test_a_finished_run_leaves_neither_its_model_nor_threads_of_its_process_groups(run: Callable[..., list[StepRecord]]) -> None:
    from megatron.core.distributed import DistributedDataParallel

    short = CONFIG.model_copy(update={"max_steps": 1})
    threads = []
    for folder in ("first", "second", "third"):
        run(folder, config=short)
        gc.collect()
        threads.append(len(list(Path("/proc/self/task").iterdir())))
    assert not [o for o in gc.get_objects() if isinstance(o, DistributedDataParallel)]
    assert threads[1] == threads[2], "gloo starts three threads for each group"


def test_the_loss_of_a_step_does_not_depend_on_how_rows_fall_into_micro_batches(run: Callable[..., list[StepRecord]]) -> None:
    whole = run("one", config=CONFIG.model_copy(update={"max_steps": 2, "micro_batch": 4}))
    parts = run("four", config=CONFIG.model_copy(update={"max_steps": 2, "micro_batch": 1}))
    assert [r.loss for r in parts] == pytest.approx([r.loss for r in whole], rel=1e-5)
    assert [r.grad_norm for r in parts] == pytest.approx([r.grad_norm for r in whole], rel=1e-4)
    assert [r.tokens for r in parts] == [r.tokens for r in whole]


def test_unused_ids_share_a_row_and_every_step_is_that_of_the_full_softmax(
    world: Callable[[bool], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., list[StepRecord]]
) -> None:
    shared = run("shared", shipped=True)
    folder = checkpoint.step_folder(tmp_path / "shared" / "checkpoints", 10)
    table = checkpoint.load_weights(folder)["embedding.word_embeddings.weight"]
    stop()
    used = used_ids(world(True).mix, world(True).lake, vocabulary=len(table))
    assert len(table) == 152_576
    alike = (table == table[-1]).all(1).numpy()
    assert 100 < used.sum() < 600 and not (alike & used).any() and alike.sum() > len(table) - used.sum() - 128
    # The same run with every row computed by itself.
    monkeypatch.setattr("headrace_jobs.trainer.vocabulary.equal_rows", lambda weight, unused: None)
    full = run("full", shipped=True)
    assert [r.loss for r in shared] == pytest.approx([r.loss for r in full], rel=1e-5)
    assert shared[0].grad_norm == pytest.approx(full[0].grad_norm, rel=1e-5)
    assert [r.grad_norm for r in shared] == pytest.approx([r.grad_norm for r in full], rel=1e-3), "rounding grows from step to step"
    assert shared[-1].loss < shared[0].loss - 1


def test_the_scorer_computes_equal_rows_once_and_scores_as_with_all(run: Callable[..., list[StepRecord]], tmp_path: Path) -> None:
    run("scored", config=CONFIG.model_copy(update={"max_steps": 3}), shipped=True)
    scorer = MegatronScorer(checkpoint.step_folder(tmp_path / "scored" / "checkpoints", 3))
    assert scorer.model.rows is not None and scorer.model.rows.count > 150_000
    tokens = np.random.default_rng(1).integers(0, 151_000, (2, 40))  # nearly all of them unused in training
    where = np.broadcast_to(np.arange(40), tokens.shape), np.zeros_like(tokens, dtype=np.int32)
    once = scorer.nll(tokens, *where)
    scorer.model.rows = None
    np.testing.assert_allclose(once, scorer.nll(tokens, *where), rtol=1e-5)
    assert once[:, :-1].min() > 0


def test_a_gradient_that_is_no_number_stops_the_run_before_it_is_saved(small: World, tmp_path: Path) -> None:
    plan = RunPlan(
        "f" * 32, tmp_path / "broken", CONFIG.model_copy(update={"checkpoint_every": 1}), small.model.model_copy(update={"z_loss": 1e38})
    )
    with pytest.raises(InputError, match=r"step 1: loss .*gradient norm (nan|inf).*the run left no checkpoint.*lower 'train.optimizer.lr'"):
        train(plan, small.mix, small.lake, Observer())
    assert not list(plan.checkpoints.glob("step-*"))


def test_a_vocabulary_smaller_than_the_tokens_is_refused(small: World, tmp_path: Path) -> None:
    plan = RunPlan("f" * 32, tmp_path / "small", CONFIG, MODEL.model_copy(update={"vocabulary": 512}))
    with pytest.raises(ConfigError, match="vocabulary 512 is below the mix's"):
        train(plan, small.mix, small.lake, Observer())


def _precisions(monkeypatch: pytest.MonkeyPatch, layers: tuple[float, float], softmax: tuple[float, float]) -> None:
    """Have the processor multiply at these speeds (fp32, bf16): another machine, as far as the trainer can tell."""
    speeds = [Measured(shape="planted", fp32=fp32, bf16=bf16) for fp32, bf16 in (layers, softmax)]
    monkeypatch.setattr("headrace_jobs.trainer.segment.measure", lambda model: speeds)


@pytest.mark.parametrize("layers_first", [(10.0, 90.0), (90.0, 10.0)], ids=["bf16 to fp32", "fp32 to bf16"])
def test_a_run_goes_on_on_a_processor_that_chooses_another_precision_and_records_where(
    small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers_first: tuple[float, float]
) -> None:
    lake, mix, model = small
    auto = model.model_copy(update={"precision": "auto", "softmax_precision": "auto"})
    plan = RunPlan("f" * 32, tmp_path / "moved", MOVED, auto, stop_after=3)
    one, two = Steps(), Steps()
    _precisions(monkeypatch, layers_first, (10.0, 90.0))
    train(plan, mix, lake, one)
    _precisions(monkeypatch, layers_first[::-1], (90.0, 10.0))
    if layers_first == (10.0, 90.0):
        with process_groups(MOVED.parallel, seed=1, threads=1):
            fp32 = build_state(MOVED, model, total_tokens=1000)
            checkpoint.load(fp32, checkpoint.step_folder(plan.checkpoints, 3))
            weight = fp32.bare.embedding.word_embeddings.weight.detach()
            assert not torch.equal(weight, weight.bfloat16().float()), "the optimizer's fp32 weights go on, not their rounding"
    state = train(replace(plan, stop_after=None), mix, lake, two)
    assert [r.step for r in (*one.records, *two.records)] == list(range(1, 7))
    assert [(s.after_step, s.layers.chosen, s.softmax.chosen) for s in state.segments] == [
        (0, "bf16" if layers_first == (10.0, 90.0) else "fp32", "bf16"),
        (3, "fp32" if layers_first == (10.0, 90.0) else "bf16", "fp32"),
    ]
    assert len(list(changes(state.segments))) == 2
    about = checkpoint.read_state(checkpoint.step_folder(plan.checkpoints, 6))
    assert about.segments == state.segments and about.model.precision == state.segments[-1].layers.chosen
    # The same steps in fp32 alone: the change of precision costs rounding, not progress.
    _precisions(monkeypatch, (90.0, 10.0), (90.0, 10.0))
    plain = Steps()
    train(RunPlan("f" * 32, tmp_path / "stayed", MOVED, auto), mix, lake, plain)
    assert [r.loss for r in (*one.records, *two.records)] == pytest.approx([r.loss for r in plain.records], rel=0.01)
