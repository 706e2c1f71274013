"""One run over changes of code, settings and layout: its identity stays, its segments say what changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout_copy import Copy
from training_site import Site

from headrace_jobs.trainer.metrics import read_metrics
from headrace_jobs.trainer.parallel import stop
from headrace_lake.receipts import Receipt


def _site(folder: Path, checkout: Path, spec_file: Path, slice_writer: Callable[..., Receipt]) -> Site:
    folder.mkdir()
    made = Site(folder, checkout, spec_file)
    for source, language in (("alpha", "en"), ("beta", "fr")):
        slice_writer(made.lake, made.spec, made.folder, source, [(language, "public")] * 60)
    return made


def test_a_run_goes_on_after_edits_and_at_another_layout_and_says_where(
    tmp_path: Path, checkout: Path, small_spec_file: Path, slice_writer: Callable[..., Receipt]
) -> None:
    undisturbed = _site(tmp_path / "undisturbed", checkout, small_spec_file, slice_writer).train("whole", max_steps=10)
    stop()
    site = _site(tmp_path / "site", checkout, small_spec_file, slice_writer)
    copy = Copy.of(checkout, tmp_path / "checkout", site.settings)
    first = copy.answer("train", site.recipe("first", max_steps=5))
    again = copy.answer("train", site.recipe("first", max_steps=5))
    assert (first["action"], again["action"]) == ("computed", "adopted")

    copy.edit(
        "tokenizers/headrace_tokenizers/text/vocabulary.py",
        "from __future__ import annotations\n",
        "from __future__ import annotations\n\nNEW = 1\n",
    )
    copy.edit("lake/headrace_lake/settings.py", "    runs: ", "    colour: str = 'blue'\n    runs: ")
    second = copy.answer("train", site.recipe("second", max_steps=10, parallel={"tensor": 2}, micro_batch=2, keep=1))
    assert second["action"] == "resumed"

    runs = list(site.lake.artifacts("run"))
    assert len({a.fingerprint for a in runs}) == 1 and [a.payload["steps"] for a in runs] == [5, 10]
    assert all(Path(a.path).is_dir() for a in site.lake.artifacts("checkpoint")), "what was recorded at step 5 is still there"
    fewer = copy.headrace("train", site.recipe("fewer", max_steps=7))
    assert fewer.returncode == 2 and "has come to step 10 already, beyond 'max_steps' 7" in " ".join(fewer.stderr.split())
    before, after = runs[-1].payload["segments"]
    assert (before["after_step"], after["after_step"]) == (0, 5)
    assert before["code"] != after["code"] and (before["layout"]["tensor"], after["layout"]["tensor"]) == (1, 2)
    assert (sum(before["hosts"].values()), sum(after["hosts"].values())) == (1, 2)
    page = Path(runs[-1].path, "run.html").read_text(encoding="utf-8")
    assert "the code changes after step 5" in page and "the layout changes after step 5: tensor 1 to 2, micro_batch 4 to 2" in page

    whole, parts = (read_metrics(Path(path) / "metrics.jsonl") for path in (undisturbed.run.path, runs[-1].path))
    assert [r.step for r in parts] == list(range(1, 11))
    assert [r.loss for r in parts[:5]] == [r.loss for r in whole[:5]]
    assert [r.loss for r in parts[5:]] == pytest.approx([r.loss for r in whole[5:]], rel=1e-4)


def test_what_decides_the_weights_begins_another_run(
    tmp_path: Path, checkout: Path, small_spec_file: Path, slice_writer: Callable[..., Receipt]
) -> None:
    site = _site(tmp_path / "site", checkout, small_spec_file, slice_writer)
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 2},
        {"optimizer": {"lr": 0.002}},
        {"schedule": {"kind": "linear"}},
        {"sequence_length": 32},
    ]
    prints = [site.train(f"r{n}", max_steps=1, **change).run.fingerprint for n, change in enumerate(changes)]
    (site.folder / "model.yaml").write_text(yaml.safe_dump(site.model | {"ffn_size": 96}), encoding="utf-8")
    prints.append(site.train("other", max_steps=1).run.fingerprint)
    assert len(set(prints)) == len(prints)
    stop()
