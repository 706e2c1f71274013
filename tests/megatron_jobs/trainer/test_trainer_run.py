"""`headrace train` on a lake: computed, adopted, resumed after kills, two tensor-parallel processes, hostile checkpoints."""

from __future__ import annotations

import json
import math
import os
import pickletools
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from patience import PATIENCE_S
from training_site import Site

from headrace_jobs.evaluation.run import newest_checkpoint
from headrace_jobs.trainer import checkpoint, inference
from headrace_jobs.trainer.metrics import read_metrics
from headrace_jobs.trainer.parallel import stop
from headrace_jobs.trainer.run import Outcome
from headrace_jobs.trainer.safe_loading import check_index
from headrace_lake.errors import InputError
from headrace_lake.receipts import Receipt

OTHER_RUN = {"parallel": {"tensor": 2}, "seed": 2}
"""Two processes. With the same seed it would be the same run; of a run that starts from a checkpoint the seed decides nothing else."""


def _site(folder: Path, checkout: Path, spec_file: Path, slice_writer: Callable[..., Receipt]) -> Site:
    made = Site(folder, checkout, spec_file)
    for source, language in (("alpha", "en"), ("beta", "fr")):
        slice_writer(made.lake, made.spec, made.folder, source, [(language, "public")] * 60)
    return made


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, checkout: Path, small_spec_file: Path, slice_writer: Callable[..., Receipt]
) -> Iterator[Site]:
    yield _site(tmp_path_factory.mktemp("site"), checkout, small_spec_file, slice_writer)
    stop()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, checkout: Path, slice_writer: Callable[..., Receipt]) -> Site:
    """The same with the shipped vocabulary."""
    return _site(tmp_path_factory.mktemp("shipped"), checkout, checkout / "tokenizers/configs/qwen_text.yaml", slice_writer)


@pytest.fixture(scope="module")
def start(shipped: Site) -> str:
    """A checkpoint of the shipped vocabulary's 8th step, from which two processes go on as one does."""
    made = shipped.train("start", max_steps=8, checkpoint_every=8).checkpoint
    assert checkpoint.load_weights(Path(made.path))["embedding.word_embeddings.weight"].shape == (152576, 32)
    stop()
    return made.path


@pytest.fixture(scope="module")
def trained(site: Site) -> Outcome:
    """A finished run: 10 steps, checkpoints of the 4th (swept again), the 8th and the last."""
    return site.train("whole", max_steps=10, checkpoint_every=4)


@pytest.fixture
def copy(trained: Outcome, tmp_path: Path) -> Path:
    """The finished run's checkpoint, for a test to damage."""
    return Path(shutil.copytree(trained.checkpoint.path, tmp_path / "step-00000010"))


def recertified(folder: Path) -> Path:
    """A forger who changes a file also writes a fitting certificate."""
    checkpoint.certify(folder, run="f" * 32, step=10)
    return folder


def test_a_run_leaves_artifacts_metrics_and_a_page(site: Site, trained: Outcome) -> None:
    assert trained.action == "computed"
    mix = site.lake.find_artifact("mix", name="small")
    assert mix is not None and trained.run.parents == (mix.fingerprint,) and trained.checkpoint.parents == (trained.run.fingerprint,)
    assert newest_checkpoint(site.lake, mix.fingerprint).fingerprint == trained.checkpoint.fingerprint
    records = read_metrics(Path(trained.run.path) / "metrics.jsonl")
    assert [r.step for r in records] == list(range(1, 11))
    assert all(r.tokens > 0 and r.seconds > 0 and r.grad_norm is not None and r.phase == "A" for r in records)
    assert records[0].loss == pytest.approx(math.log(site.spec.padded_to), abs=0.3) and trained.run.payload["last_loss"] < records[0].loss
    page = (Path(trained.run.path) / "run.html").read_text(encoding="utf-8")
    assert "nats below" in page and "data:image/png" in page
    [segment] = trained.run.payload["segments"]
    assert segment["layers"]["chosen"] == segment["softmax"]["chosen"] == "fp32" and segment["softmax"]["measured"]["fp32"] > 0
    assert checkpoint.read_state(Path(trained.checkpoint.path)).segments[0].model_dump(mode="json") == segment
    assert "from step 1: precision: layers fp32, softmax fp32; 1 thread(s)" in page
    kept = sorted(p.name for p in Path(trained.checkpoint.path).parent.iterdir())
    assert kept == ["step-00000008", "step-00000010"]


def test_a_finished_run_is_adopted_and_the_command_says_so(site: Site, trained: Outcome) -> None:
    words = [sys.executable, "-c", "from headrace_cli.main import main; main()"]
    recipe = site.recipe("whole", max_steps=10, checkpoint_every=4)
    done = subprocess.run(
        [*words, "--json-result", "train", recipe, "--settings", str(site.settings)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("HEADRACE_RESULT "))
    result = json.loads(line.removeprefix("HEADRACE_RESULT "))
    assert result["action"] == "adopted" and result["steps"] == 10 and result["vocabulary"] == site.spec.padded_to
    assert result["last_loss"] == trained.run.payload["last_loss"] and result["checkpoint"] == trained.checkpoint.path


KILLED_SAVES = """
import os, signal, sys
from headrace_lake.garbage import collect_rarely
collect_rarely()
from headrace_jobs.trainer import checkpoint, inference, run
from headrace_jobs.portable import shim
shim.quiet_imports()
shim.install()  # imports Megatron
shim.remove()
from headrace_cli.main import main
def killed(moment, *words):
    real = getattr(checkpoint, moment)
    calls = []
    def dies(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(checkpoint, moment, dies)
    sys.argv[1:] = words
    main()
def ended(*words):
    pid = os.fork()
    if not pid:
        try:
            killed(*words)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
settings, *recipes = sys.argv[1:]
print("ended:", *(ended(moment, "train", recipe, "--settings", settings) for moment, recipe in zip(recipes[::2], recipes[1::2])))
"""
"""Each command in a process of its own, forked from one that has the imports done."""
SEEDS = {"certify": 11, "_sync": 12}
"""Moment of the kill → seed of the run, which makes it one of its own."""


@pytest.fixture(scope="module")
def killed(site: Site, trained: Outcome) -> dict[str, int]:
    """Moment → exit code of a run that was killed at it in its second save."""
    words = [word for moment, seed in SEEDS.items() for word in (moment, site.recipe(moment, max_steps=5, seed=seed))]
    command = [sys.executable, "-c", KILLED_SAVES, str(site.settings), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    codes = next(line for line in done.stdout.splitlines() if line.startswith("ended: ")).split()[1:]
    assert len(codes) == len(SEEDS), done.stderr
    return dict(zip(SEEDS, map(int, codes), strict=True))


@pytest.mark.parametrize("moment", SEEDS)
def test_a_kill_during_a_save_leaves_the_previous_checkpoint_and_the_run_goes_on(site: Site, killed: dict[str, int], moment: str) -> None:
    assert killed[moment] == -signal.SIGKILL
    seed = SEEDS[moment]
    [folder] = [p for p in (site.folder / "runs" / "train").iterdir() if f"seed={seed}" in str(_seed_of(p))]
    left = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert left == [".partial-step-00000004", "step-00000002"]
    outcome = site.train(moment, max_steps=5, seed=seed)
    assert outcome.action == "resumed"
    records = read_metrics(folder / "metrics.jsonl")
    assert [r.step for r in records] == [1, 2, 3, 4, 5]
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["step-00000004", "step-00000005"]


def test_two_tensor_parallel_processes_share_unused_rows_and_choose_one_precision(shipped: Site, start: str) -> None:
    (shipped.folder / "auto.yaml").write_text(yaml.safe_dump(shipped.model | {"softmax_precision": "auto"}), encoding="utf-8")
    more = {
        "model": str(shipped.folder / "auto.yaml"),
        "share_unused_ids": True,
        "start_from": start,
        "max_steps": 11,
        "checkpoint_every": 100,
    }
    alone, paired = (shipped.train(name, **more, **layout) for name, layout in (("shared1", {}), ("shared2", OTHER_RUN)))
    one, two = (read_metrics(Path(o.run.path) / "metrics.jsonl") for o in (alone, paired))
    assert [r.step for r in two] == [r.step for r in one] == [9, 10, 11]
    rel = 1e-5 if alone.run.payload["segments"][-1]["softmax"]["chosen"] == "fp32" else 1e-3
    assert [r.loss for r in two] == pytest.approx([r.loss for r in one], rel=rel)
    assert [r.grad_norm for r in two] == pytest.approx([r.grad_norm for r in one], rel=10 * rel)
    last = paired.run.payload["segments"][-1]
    assert (last["processes"], last["after_step"], last["softmax"]["asked"]) == (2, 8, "auto")


def _seed_of(run: Path) -> str:
    states = sorted((run / "checkpoints").glob("step-*/state.json"))
    return f"seed={json.loads(states[0].read_text(encoding='utf-8'))['train']['seed']}" if states else ""


def test_two_tensor_parallel_processes_equal_one_from_the_same_weights(shipped: Site, start: str) -> None:
    more = {"start_from": start, "max_steps": 11, "checkpoint_every": 100, "share_unused_ids": False}
    one = shipped.train("one", **more)
    two = shipped.train("two", **more, **OTHER_RUN)
    alone, paired = (read_metrics(Path(o.run.path) / "metrics.jsonl") for o in (one, two))
    assert [r.step for r in paired] == [r.step for r in alone] == list(range(9, 12))
    assert paired[0].loss == pytest.approx(alone[0].loss, rel=1e-5)
    assert paired[0].grad_norm == pytest.approx(alone[0].grad_norm, rel=1e-5)
    assert paired[-1].loss == pytest.approx(alone[-1].loss, rel=1e-4)
    before, after = (checkpoint.load_weights(Path(o.checkpoint.path)) for o in (one, two))
    assert before.keys() == after.keys() and all(before[k].shape == after[k].shape for k in before)


def test_a_checkpoint_scores_as_it_was_trained_and_keeps_documents_apart(site: Site, trained: Outcome) -> None:
    scorer = inference.load_for_inference(Path(trained.checkpoint.path))
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 400, (2, 24))
    positions = np.tile(np.arange(24), (2, 1))
    segments = np.repeat(np.array([[0] * 10 + [1] * 14]), 2, 0).astype(np.int32)
    both = scorer.nll(tokens, positions, segments)
    assert both.shape == (2, 24) and both.dtype == np.float32 and np.isfinite(both).all()
    second = scorer.nll(tokens[:, 10:], positions[:, :14], np.zeros((2, 14), dtype=np.int32))
    np.testing.assert_allclose(both[:, 10:23], second[:, :13], rtol=1e-4, atol=1e-4)
    weights = checkpoint.load_weights(Path(trained.checkpoint.path))
    assert weights["embedding.word_embeddings.weight"].shape == (site.spec.padded_to, 32)
    assert weights["decoder.layers.self_attention.linear_qkv.weight"].shape == (2, 64, 32)
    assert not [k for k in weights if k.startswith("optimizer")]


class Evil:
    """Asks whoever unpickles it to run a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_command_hidden_in_the_common_file_is_refused_and_not_run(copy: Path, tmp_path: Path) -> None:
    torch.save({"args": Evil(tmp_path / "ran")}, copy / "common.pt")
    with pytest.raises(InputError, match="was changed"):
        inference.load_for_inference(copy)
    with pytest.raises(InputError, match="more than tensors"):
        inference.load_for_inference(recertified(copy))
    assert not (tmp_path / "ran").exists()


def test_a_command_hidden_in_the_index_is_refused_and_not_run(copy: Path, tmp_path: Path) -> None:
    index = copy / ".metadata"
    check_index(index)
    index.write_bytes(b"cposix\nsystem\n(V" + f"touch {tmp_path}/ran".encode() + b"\ntR.")
    assert next(op.name for op, _, _ in pickletools.genops(index.read_bytes())) == "GLOBAL"
    with pytest.raises(InputError, match=r"asks for posix\.system"):
        inference.load_for_inference(recertified(copy))
    # The same through the stack, with the name computed where it cannot be read.
    index.write_bytes(b"\x80\x04\x8c\x05posix\x8c\x06system0\x8c\x06system\x93)R.")
    with pytest.raises(InputError, match="asks for"):
        inference.load_for_inference(recertified(copy))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", ["cut", "gone", "added"])
def test_damage_is_named_and_the_older_checkpoint_is_taken(copy: Path, damage: str) -> None:
    recertified(copy)
    older = Path(shutil.copytree(copy, copy.parent / "step-00000008"))
    shard = next(copy.glob("*.distcp"))
    if damage == "cut":
        os.truncate(shard, 100)
    elif damage == "gone":
        shard.unlink()
    else:
        (copy / "extra.pt").write_bytes(b"x")
    with pytest.raises(InputError, match="distcp|extra.pt"):
        checkpoint.certificate(copy)
    with pytest.warns(UserWarning, match="distcp|extra.pt"):
        assert checkpoint.newest_valid(copy.parent, run="f" * 32) == older
