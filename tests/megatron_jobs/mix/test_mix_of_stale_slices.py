"""Slices in every order on the command line: the same tables and the same mix, or a refusal that names what is out of date."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from headrace_cli.main import app, build
from headrace_jobs.mix.compile import compile_mix, newest_mix
from headrace_jobs.mix.recipe import Recipe
from headrace_lake.engine import StaleError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Counts, Receipt, here, new_run_id
from headrace_lake.settings import Settings, load_settings
from headrace_lake.slices import Slice
from headrace_lake.terminal.console import RESULT_PREFIX, want_result

DAY = "2026-11-01"
NAMES = [f"{source}/{DAY}" for source in ("a", "b", "c")]
TABLES = ("verdict_exact_duplicate", "verdict_near_duplicate", "admitted", "passports", "token_shards", "exclusions")
PIPELINE = """
name: small
stages:
  - use: headrace_governance.text.language.stage:Language
  - use: headrace_governance.duplicates.exact:TextDigests
  - use: headrace_governance.duplicates.exact:ExactDuplicate
  - use: headrace_governance.duplicates.near.signatures:Minhash
  - use: headrace_governance.duplicates.near.verdict:NearDuplicate
  - use: headrace_governance.text.select:Select
    params: {verdicts: [exact_duplicate, near_duplicate]}
  - use: headrace_tokenizers.text.tokenise:Tokenise
    params_from: SPEC
"""
RECIPE = {
    "name": "small",
    "version": 1,
    "tokenizer": "tokenizers/configs/qwen_text.yaml",
    "slices": ["*/*"],
    "licences": ["public"],
    "caps": {"epochs": 4},
    "held_out": {"documents": 1},
    "seed": 1,
    "phases": [{"name": "A", "tokens": 500, "weights": {"rest": 1.0}}],
}


def prose(seed: str, words: int = 120) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choice("abdegilmnoprstu") for _ in range(rng.randint(3, 9))) for _ in range(words)) + "."


def texts(source: str) -> list[str]:
    """What only this source has, what all have, and what all have nearly the same."""
    near = [prose(f"near-{n}") + f" The end of {source}." for n in range(3)]
    return [prose(f"{source}-{n}") for n in range(4)] + [prose(f"all-{n}") for n in range(3)] + near


def write(lake: Lake, name: str, bodies: Sequence[str]) -> None:
    """Commit documents as if `extract` had made them."""
    slice_ = Slice.parse(name)
    rows = [
        {"uid": digest_of([name, n]), "url": f"https://example.org/{name}/{n}", "text": t, "characters": len(t), "bytes": len(t.encode())}
        | {"replaced_characters": 0, "licence": "CC0-1.0", "licence_class": "public", "content_digest": digest_of(t)}
        for n, t in enumerate(bodies)
    ]
    shard = lake.write_shard("documents", slice_, 0, pa.Table.from_pylist(rows))
    about: dict[str, Any] = {"run_id": new_run_id(), "stage": "extract", "version": "1", "fingerprint": shard.digest, "code": ""}
    about |= {"source": slice_.source, "slice": DAY, "params": {}, "params_digest": "", "inputs": (), "outputs": (shard,)}
    times = dict.fromkeys(("started_at", "finished_at"), datetime.now(UTC))
    lake.commit(StageCommit(Receipt(**about, tables=("documents",), counts=Counts(read=len(rows), kept=len(rows)), **times, **here())))


@pytest.fixture(scope="module", autouse=True)
def _commands_are_made_once() -> Iterator[None]:
    """Typer's runner makes all commands of the application anew for each that it invokes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(typer.main.get_command))
        yield
    want_result(False)


class Line:
    """A lake of its own with the documents of three slices, and the command line over it."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        (folder / "pipelines").mkdir(parents=True)
        self.pipeline = folder / "pipelines" / "small.yaml"
        self.pipeline.write_text(PIPELINE.replace("SPEC", str(checkout / "tokenizers/configs/qwen_text.yaml")), encoding="utf-8")
        self.recipe = folder / "small.yaml"
        self.recipe.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
        self.file = folder / "headrace.yaml"
        places = {"base": str(checkout), "lake": {"root": str(folder / "lake")}, "pipelines": str(folder / "pipelines")}
        self.file.write_text(yaml.safe_dump(places), encoding="utf-8")
        for name in NAMES:
            write(self.lake, name, texts(name[0]))

    @property
    def settings(self) -> Settings:
        return load_settings(self.file)

    @property
    def lake(self) -> Lake:
        return Lake.open(self.settings)

    def command(self, *words: str) -> Result:
        build()
        return CliRunner().invoke(app, ["--json-result", *words, "--settings", str(self.file)])

    def run(self, *names: str) -> None:
        result = self.command("slice", "run", "small", *names)
        assert result.exit_code == 0, result.output

    def stale(self) -> dict[str, list[str]]:
        """Slice → its stages that `slice stale` lists."""
        result = self.command("slice", "stale", "small")
        told = json.loads(next(line for line in result.output.splitlines() if line.startswith(RESULT_PREFIX))[len(RESULT_PREFIX) :])
        found: dict[str, list[str]] = {}
        for row in told["stale"]:
            found.setdefault(row["slice"], []).append(row["stage"])
        assert list(found) == told["slices"] and result.exit_code == bool(found)
        return found

    def tables(self) -> dict[str, list[tuple[str, ...]]]:
        lake = self.lake
        return {t: [tuple(row.values()) for row in lake.contents(t)[1].to_pylist()] for t in TABLES}

    def mix(self) -> tuple[str, str]:
        """Fingerprint and content of the mix that the command makes."""
        result = self.command("mix", "compile", str(self.recipe))
        assert result.exit_code == 0, result.exception
        made = newest_mix(self.lake, "small")
        return made.fingerprint, digest_of(sorted(json.loads(self.lake.storage.read_bytes(made.path))["objects"].values()))


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> tuple[dict[str, list[tuple[str, ...]]], tuple[str, str]]:
    """Tables and mix of the three slices in one command, in their order."""
    line = Line(tmp_path_factory.mktemp("at-once"), checkout)
    line.run(*NAMES)
    return line.tables(), line.mix()


ORDERS = list(itertools.permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS[1:], ids=lambda order: "".join("abc"[i] for i in order))
def test_three_slices_in_one_command_make_the_same_tables_and_the_same_mix_in_every_order(
    order: tuple[int, ...], at_once: Any, tmp_path: Path, checkout: Path
) -> None:
    line = Line(tmp_path, checkout)
    line.run(*(NAMES[i] for i in order))
    assert line.stale() == {}
    assert line.tables() == at_once[0] and line.mix() == at_once[1]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join("abc"[i] for i in order))
def test_three_commands_and_what_stale_then_lists_make_the_same_tables_and_the_same_mix_in_every_order(
    order: tuple[int, ...], at_once: Any, tmp_path: Path, checkout: Path
) -> None:
    line = Line(tmp_path, checkout)
    for i in order:
        line.run(NAMES[i])
    out_of_date = [n for place, n in enumerate(order) if any(later < n for later in order[place + 1 :])]  # one of a smaller rank came later
    stale = line.stale()
    assert list(stale) == sorted(NAMES[i] for i in out_of_date)
    for stages in stale.values():
        assert stages == ["exact_duplicate", "near_duplicate", "select", "tokenise"]
    if stale:
        assert line.tables() != at_once[0], "the texts are such that the order matters"
        refused = line.command("mix", "compile", str(line.recipe))
        assert isinstance(refused.exception, StaleError) and refused.exception.exit_code == 1
        assert [f"{name} (exact_duplicate: looks at " in str(refused.exception) for name in NAMES] == [name in stale for name in NAMES]
        mend = str(refused.exception).partition("run 'headrace ")[2].partition("'")[0].split()
        assert mend == ["slice", "run", "small", *stale]
        assert line.command(*mend).exit_code == 0
    assert line.stale() == {}
    assert line.tables() == at_once[0] and line.mix() == at_once[1]


def test_each_kind_of_cause_is_named_and_what_comes_out_unchanged_is_looked_at_once(tmp_path: Path, checkout: Path) -> None:
    line = Line(tmp_path, checkout)
    line.run(*NAMES)
    assert line.stale() == {}
    # Another slice of a smaller rank that shares nothing: the verdicts may have changed, have not, and that is then known.
    write(line.lake, f"0/{DAY}", [prose("of nobody")])
    line.run(f"0/{DAY}")
    shown = line.command("slice", "stale", "small", NAMES[0])
    assert shown.exit_code == 1 and f"looks at text_digests: +0/{DAY}" in " ".join(shown.output.split())
    assert list(line.stale()) == NAMES
    before = line.tables()
    again = line.command("slice", "run", "small", "--stale")
    assert again.exit_code == 0 and '"computed": 0' in again.output and line.stale() == {} and line.tables() == before
    # Its documents change: who looked at them is named with it, and itself from its first stage on.
    write(line.lake, NAMES[0], texts("a")[:-1])
    stale = line.stale()
    assert stale[NAMES[0]][0] == "language" and NAMES[1] not in stale, "others look at what is made of documents, which is still the same"
    line.run(NAMES[0])
    assert list(line.stale()) == NAMES[1:]
    line.run(*NAMES)
    # A parameter, and a stage that was not there.
    line.pipeline.write_text(line.pipeline.read_text().replace("verdicts: [exact_duplicate, ", "verdicts: ["), encoding="utf-8")
    assert _first(line) == dict.fromkeys([f"0/{DAY}", *NAMES], "select: changed: parameters (verdicts)")
    with pytest.raises(StaleError, match=r"recipe small: 4 slices are out of date: 0/2026-11-01 \(select: changed: parameters"):
        compile_mix(line.lake, Recipe.model_validate(RECIPE))
    allowed = line.command("mix", "compile", str(line.recipe), "--allow-stale")
    assert allowed.exit_code == 0 and f"out of date when it was compiled, and allowed: {NAMES[0]} (select" in allowed.output
    assert "4 slices out of date, allowed" in newest_mix(line.lake, "small").payload["summary"]
    trained, action = compile_mix(line.lake, Recipe.model_validate(RECIPE), known=True)
    assert action == "adopted" and list(trained.record["stale"]) == [f"0/{DAY}", *NAMES]


def _first(line: Line) -> dict[str, str]:
    from headrace_lake.engine import first_causes, load_pipeline, stale_stages

    lake = line.lake
    slices = lake.slices("documents")
    by_name = first_causes(stale_stages(lake, slices, load_pipeline(lake.settings, "small")))
    assert first_causes(stale_stages(lake, slices)) == by_name, "receipts name their pipeline"
    return {str(s): cause for s, cause in by_name.items()}


def test_receipts_of_an_older_version_are_out_of_date_until_it_has_been_looked_again(tmp_path: Path, checkout: Path) -> None:
    line = Line(tmp_path, checkout)
    line.run(*NAMES)
    lake = line.lake
    for name in NAMES:
        for r in lake.current_receipts(Slice.parse(name)).values():
            lake.commit(StageCommit(r.model_copy(update={"run_id": new_run_id(), "finished_at": datetime.now(UTC), "looked_at": None})))
    stale = line.stale()
    assert stale[NAMES[0]] == ["exact_duplicate", "near_duplicate", "select", "tokenise"]
    again = line.command("slice", "run", "small", "--stale")
    assert again.exit_code == 0 and '"computed": 0' in again.output and line.stale() == {}
