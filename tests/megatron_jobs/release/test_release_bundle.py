"""Releases: built only on a Go, the same bytes every time, and every way to spoil one is found.

The checkpoint is a real Qwen3 of 10 million parameters with random weights and the real vocabulary.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from headrace_jobs import mix_cli
from headrace_jobs.evaluation import cli as eval_cli
from headrace_jobs.evaluation.run import EvaluationParams, evaluate
from headrace_jobs.gates import cli as gate_cli
from headrace_jobs.gates.decide import sign
from headrace_jobs.gates.judge import evaluate_gate
from headrace_jobs.gates.policy import load_policy
from headrace_jobs.mix.compile import Mix, compile_mix
from headrace_jobs.mix.recipe import Recipe
from headrace_jobs.release import cli as release_cli
from headrace_jobs.release.bundle import build_release
from headrace_jobs.release.digests import DIGESTS_FILE, digest_folder, write_json
from headrace_jobs.release.verify import verify_folder, verify_release
from headrace_lake.errors import GateError, HeadraceError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.lineage import up
from headrace_lake.receipts import Artifact
from headrace_lake.settings import Settings
from headrace_lake.strict import parse
from headrace_lake.terminal.console import want_result
from headrace_tokenizers.text.vocabulary import VocabularySpec

PADDED = 152_576
RULES = [{"metric": "evaluation.overall.bits_per_byte", "op": "<", "threshold": 100, "why": "test"}]
RELEASE = {"name": "release", "evidence": ["evaluation"], "rules": RULES, "expiry_hours": 72}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="session")
def checkpoint_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder, as the exporter writes it."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(11)
    config = Qwen3Config(
        vocab_size=PADDED,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


class HuggingFaceScorer:
    """The checkpoint itself, scored one window at a time."""

    def __init__(self, folder: Path) -> None:
        from headrace_jobs.release.sample import load_model

        self.model, _ = load_model(folder) if (folder / "tokenizer.json").exists() else (self._bare(folder), None)

    @staticmethod
    def _bare(folder: Path) -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)

    def nll(self, tokens_BS: Any, positions_BS: Any, segments_BS: Any) -> Any:
        import torch

        with torch.no_grad():
            logits_BSV = self.model(input_ids=torch.tensor(tokens_BS)).logits.log_softmax(-1)
        out_BS = np.zeros(tokens_BS.shape, dtype=np.float32)
        picked = torch.gather(logits_BSV[:, :-1], 2, torch.tensor(tokens_BS)[:, 1:, None])[..., 0]
        out_BS[:, :-1] = -picked.numpy()
        return out_BS


def world(
    checkout: Path, folder: Path, checkpoint_files: Path, spec: VocabularySpec, write_slice: Callable[..., Any], **recipe: str
) -> tuple[Lake, Mix]:
    """A lake with two declared sources, a mix, and a checkpoint that was evaluated."""
    sources = folder / "sources"
    sources.mkdir()
    for name in ("alpha", "beta"):
        source = {
            "id": name,
            "title": f"Book {name}",
            "licence": {"id": "CC0-1.0", "class": "public", "basis": f"says {name}", "evidence": {"url": f"https://example.org/{name}"}},
            "fetch": {"kind": "warc", "paths": ["x.warc"]},
        }
        (sources / f"{name}.yaml").write_text(yaml.safe_dump(source), encoding="utf-8")
    policies = shutil.copytree(checkout / "governance/policies", folder / "policies")
    (policies / "gates" / "release.yaml").write_text(yaml.safe_dump(RELEASE), encoding="utf-8")
    places = {"base": str(checkout), "lake": {"root": str(folder / "lake")}, "sources": str(sources), "policies": str(policies)}
    lake = Lake.open(Settings.model_validate(places))
    write_slice(lake, spec, folder, "alpha", [("en", "public")] * 60 + [("zh", "public")] * 40 + [("en", "restricted")] * 10)
    write_slice(lake, spec, folder, "beta", [("en", "share-alike")] * 30 + [("fr", "share-alike")] * 30)
    data = {
        "name": "tiny",
        "licences": ["public", "share-alike"],
        "held_out": {"documents": 4, "score": 3},
        "phases": [{"name": "A", "tokens": 5000, "weights": {"rest": 1.0}}],
        **recipe,
    }
    mix = compile_mix(lake, parse(data, Recipe, where="test"))[0]
    run = Artifact(kind="run", name="tiny", fingerprint=digest_of(["run", mix.fingerprint]), parents=(mix.fingerprint,))
    made = Artifact(kind="checkpoint", name="tiny-10", fingerprint=digest_of("c"), path=str(checkpoint_files), parents=(run.fingerprint,))
    lake.record_artifact(run)
    lake.record_artifact(made)
    evaluate(lake, mix, made, HuggingFaceScorer(checkpoint_files), EvaluationParams(window=64, resamples=1000))
    return lake, mix


def say_go(lake: Lake, gate: str = "release", signer: str = "bob", **when: datetime) -> Artifact:
    evidence, _ = evaluate_gate(lake, load_policy(lake.settings, gate), "tiny", triggered_by="ann")
    return sign(lake, evidence.fingerprint, decision="go", signer=signer, **when)[0]


def exporter(checkpoint: Path, out: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(checkpoint / name, out / name)


@pytest.fixture(scope="module")
def built(
    checkout: Path,
    spec: VocabularySpec,
    checkpoint_files: Path,
    tmp_path_factory: pytest.TempPathFactory,
    slice_writer: Callable[..., Any],
) -> tuple[Lake, Mix]:
    """A lake with a release in it, built once; tests do not change it."""
    lake, mix = world(checkout, tmp_path_factory.mktemp("built"), checkpoint_files, spec, slice_writer)
    say_go(lake)
    assert build_release(lake, "tiny", exporter=exporter)[1] == "computed"
    return lake, mix


@pytest.fixture
def bundle(built: tuple[Lake, Mix], tmp_path: Path) -> Path:
    """A copy of the built bundle that a test may spoil."""
    lake, _ = built
    return Path(shutil.copytree(lake.storage.local_path(lake.artifacts("release")[0].path), tmp_path / "bundle"))


def test_nothing_is_built_without_a_go_or_with_a_source_that_lost_its_yaml(
    checkout: Path, spec: VocabularySpec, checkpoint_files: Path, tmp_path: Path, slice_writer: Callable[..., Any]
) -> None:
    lake, _ = world(checkout, tmp_path, checkpoint_files, spec, slice_writer)
    with pytest.raises(GateError, match="gate release: no decision on checkpoint"):
        build_release(lake, "tiny", exporter=exporter)
    _gates_that_do_not_open(lake)
    say_go(lake)
    (tmp_path / "sources" / "beta.yaml").unlink()
    with pytest.raises(InputError, match="source 'beta' of the mix has no YAML"):
        build_release(lake, "tiny", exporter=exporter)
    assert not lake.storage.list("releases")


def _gates_that_do_not_open(lake: Lake) -> None:
    """Every way to a bundle around the recipe's gate."""
    gates = Path(lake.settings.policies) / "gates"

    def refused(says: str, gate: str | None = None) -> None:
        with pytest.raises(GateError, match=says):
            build_release(lake, "tiny", gate=gate, exporter=exporter)

    easy = RELEASE | {"name": "easy", "automatic": True, "reason": "test"}
    (gates / "easy.yaml").write_text(yaml.safe_dump(easy), encoding="utf-8")
    say_go(lake, "easy", "policy:easy")  # another policy's Go, signed by nobody
    refused("gate release: no decision on checkpoint .*what gates easy decided does not count here")
    refused("gate easy cannot stand in for 'release', the recipe's own gate: it is automatic", "easy")
    refused("gate audit opens train, not a release", "audit")
    board = RELEASE | {"name": "board", "rules": [{**RULES[0], "threshold": 1000}]}
    (gates / "board.yaml").write_text(yaml.safe_dump(board), encoding="utf-8")
    say_go(lake, "board", "carl")
    refused("gate board cannot stand in .*lacks the rule evaluation.overall.bits_per_byte < 100", "board")
    say_go(lake, now=datetime.now(UTC) - timedelta(hours=73))
    refused("gate release: the decision of .* expired at")
    stricter = yaml.safe_dump(RELEASE | {"approvers": ["dora"]})
    say_go(lake)
    (gates / "release.yaml").write_text(stricter, encoding="utf-8")
    refused(r"its policy was changed \(approvers\) after its rules were judged")
    (gates / "release.yaml").write_text(yaml.safe_dump(RELEASE), encoding="utf-8")
    old = lake.find_artifact("checkpoint")
    assert old is not None
    newer = old.model_copy(update={"name": "tiny-20", "fingerprint": digest_of("newer"), "created_at": datetime.now(UTC)})
    lake.record_artifact(newer)
    evaluation = lake.find_artifact("evaluation")
    assert evaluation is not None
    parents = tuple(newer.fingerprint if p == old.fingerprint else p for p in evaluation.parents)
    again = {"fingerprint": digest_of("of the newer"), "parents": parents, "created_at": datetime.now(UTC)}
    lake.record_artifact(evaluation.model_copy(update=again))
    refused("no decision on checkpoint .*its [0-9]+ decisions are about other inputs")  # another checkpoint's Go


def test_a_recipe_whose_own_gate_is_automatic_is_released_without_a_human_and_says_so(
    checkout: Path, spec: VocabularySpec, checkpoint_files: Path, tmp_path: Path, slice_writer: Callable[..., Any]
) -> None:
    lake, mix = world(checkout, tmp_path, checkpoint_files, spec, slice_writer, release_gate="easy")
    easy = RELEASE | {"name": "easy", "automatic": True, "reason": "made for looking at"}
    (Path(lake.settings.policies) / "gates" / "easy.yaml").write_text(yaml.safe_dump(easy), encoding="utf-8")
    assert mix.recipe.release_gate == "easy"
    say_go(lake, "easy", "policy:easy")
    with pytest.raises(GateError, match="gate release: no decision on checkpoint"):
        build_release(lake, "tiny", gate="release", exporter=exporter)  # a stricter one may be asked for
    release, _ = build_release(lake, "tiny", exporter=exporter)
    note = "signed automatically by the recorded policy, no human was asked: made for looking at"
    assert release.payload["gate"]["automatic"] is True and release.payload["gate"]["note"] == note
    assert note in (lake.storage.local_path(release.path) / "README.md").read_text(encoding="utf-8")


def test_a_release_verifies_is_adopted_and_builds_the_same_bytes_again(built: tuple[Lake, Mix]) -> None:
    lake, _ = built
    release = lake.artifacts("release")[-1]
    path, checks = verify_release(lake, "tiny")
    assert path == release.path and [c.name for c in checks] == ["digests", "no pickle, no code", "papers", "weights", "sample"]
    assert build_release(lake, "tiny", exporter=exporter)[1] == "adopted"
    kinds = {n.kind for n in up(lake, release.fingerprint)}
    assert {"release", "gate", "evaluation", "checkpoint", "run", "mix", "stage tokenise"} <= kinds
    lake.storage.delete(f"{release.path}/{DIGESTS_FILE}")  # as if a build had been killed before its last file
    again, action = build_release(lake, "tiny", exporter=exporter)
    assert action == "computed" and again.digest == release.digest


def test_the_papers_say_what_the_receipts_say(bundle: Path, built: tuple[Lake, Mix]) -> None:
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert (
        "signed by bob" in card and "bits per byte" in card and f"{built[1].record['held_out_documents']} documents were held out" in card
    )
    attribution = (bundle / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "Book alpha" in attribution and "https://example.org/beta" in attribution
    assert "restricted" not in (bundle / "licences.json").read_text(encoding="utf-8")
    sbom = json.loads((bundle / "sbom.json").read_text(encoding="utf-8"))
    assert sbom["bomFormat"] == "CycloneDX" and {"pyarrow", "torch"} <= {c["name"] for c in sbom["components"]}
    sample = json.loads((bundle / "sample.json").read_text(encoding="utf-8"))
    assert all(len(s["continuation"]) == 16 for s in sample["samples"])


def relock(folder: Path) -> None:
    """What somebody does who spoils a bundle and knows how digests work."""
    write_json(folder / DIGESTS_FILE, digest_folder(folder).model_dump(mode="json"))


def _edit(folder: Path) -> None:
    (folder / "mix.json").write_text("{}", encoding="utf-8")


def _add(folder: Path) -> None:
    (folder / "extra.txt").write_text("x", encoding="utf-8")


def _remove(folder: Path) -> None:
    (folder / "licences.json").unlink()


def _flip(folder: Path) -> None:
    file = folder / "model/model.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 0x40
    file.write_bytes(data)


def _link(folder: Path) -> None:
    (folder / "model/link").symlink_to("config.json")


def _no_list(folder: Path) -> None:
    (folder / DIGESTS_FILE).unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_edit, "mix.json was changed"),
        (_add, "extra.txt is not in"),
        (_remove, "licences.json is missing"),
        (_flip, "model.safetensors was changed"),
        (_link, "model/link is a link"),
        (_no_list, "not a bundle"),
    ],
)
def test_every_change_to_a_bundle_is_found(bundle: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(bundle)
    with pytest.raises(InputError, match=says):
        verify_folder(bundle)


def _pickle(folder: Path) -> None:
    (folder / "model/notes.txt").write_bytes(b"\x80\x04\x95")


def _archive(folder: Path) -> None:
    (folder / "model/pytorch_model.bin").write_bytes(b"anything")


def _code(folder: Path) -> None:
    (folder / "model/modeling.py").write_text("import os", encoding="utf-8")


def _not_finite(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model/model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})


def _other_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model/model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"] = -tensors["model.norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})


def _refused(folder: Path) -> None:
    file = folder / "gate.json"
    write_json(file, json.loads(file.read_text(encoding="utf-8")) | {"decision": "No-Go"})


def _change(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    value = json.loads((folder / name).read_text(encoding="utf-8"))
    change(value)
    write_json(folder / name, value)


def _nc_row(rows: list[dict[str, Any]]) -> None:
    """A row as somebody plants it: non-commercial texts that are called attribution's."""
    rows.insert(1, {**rows[0], "licence": "CC-BY-NC-4.0", "licence_class": "public", "duties": [], "documents": 7})


def _planted(folder: Path) -> None:
    _change(folder, "licences.json", _nc_row)


def _planted_twice(folder: Path) -> None:
    _planted(folder)
    _change(folder, "mix.json", lambda mix: _nc_row(mix["licences"]))


def _planted_in_the_mix(folder: Path) -> None:
    _change(folder, "mix.json", lambda mix: _nc_row(mix["licences"]))


def _relabelled(folder: Path) -> None:
    for name, rows in (("licences.json", lambda v: v), ("mix.json", lambda v: v["licences"])):
        _change(folder, name, lambda v, rows=rows: rows(v)[0].update(licence="cc-by-nc-sa-2.0-fr"))  # type: ignore[misc]


def _words(folder: Path) -> None:
    _change(folder, "licences.json", lambda rows: rows[0].update(licence="https://publisher.example/terms"))


def _fewer(folder: Path) -> None:
    _change(folder, "licences.json", lambda rows: rows.pop())


def _more_of_a_free_one(folder: Path) -> None:
    for name, rows in (("licences.json", lambda v: v), ("mix.json", lambda v: v["licences"])):
        _change(folder, name, lambda v, rows=rows: rows(v)[0].update(documents=rows(v)[0]["documents"] + 1))  # type: ignore[misc]


def _policy(folder: Path) -> None:
    write_json(folder / "licence_policy.json", {"licences": {"CC-BY-NC-4.0": "public"}})
    _planted_twice(folder)


def _other_words(folder: Path) -> None:
    file = folder / "ATTRIBUTION.md"
    file.write_text(file.read_text(encoding="utf-8").replace("CC0-1.0", "CC-BY-NC-4.0"), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            _planted,
            r"licences.json: source alpha: 7 documents under CC-BY-NC-4.0, which is 'non-commercial' .*the recipe allows public, share-",
        ),
        (_planted_twice, "licences.json: source alpha: 7 documents under CC-BY-NC-4.0, which is 'non-commercial'"),
        (_planted_in_the_mix, "mix.json: source alpha: 7 documents under CC-BY-NC-4.0, which is 'non-commercial'"),
        (_relabelled, r"source alpha: \d+ documents under cc-by-nc-sa-2.0-fr, which is 'non-commercial'"),
        (_words, "under https://publisher.example/terms, which is 'unknown'"),
        (_fewer, "mix.json: source beta: .* are not in licences.json"),
        (_more_of_a_free_one, r"licences.json: source alpha has \d+ documents, the mix draws from \d+"),
        (_policy, "licence_policy.json: .*CC-BY-NC-4.0 is 'non-commercial' by its terms"),
        (_other_words, "ATTRIBUTION.md is not what licences.json says"),
        (_pickle, "may hold a pickle"),
        (_archive, "may hold a pickle"),
        (_code, "is code"),
        (_not_finite, "is not finite"),
        (_other_weights, "greedy sample of .* differs"),
        (_refused, "the decision is No-Go"),
    ],
)
def test_a_spoilt_bundle_with_mended_digests_is_refused_too(bundle: Path, spoil: Callable[[Path], None], says: str) -> None:
    root = digest_folder(bundle).root
    spoil(bundle)
    relock(bundle)
    with pytest.raises(InputError, match="root digest"):
        verify_folder(bundle, expected_root=root)
    with pytest.raises(InputError, match=says):
        verify_folder(bundle)


def test_a_bundle_with_scores_of_an_older_definition_verifies_and_says_so(bundle: Path) -> None:
    def papers() -> str:
        return next(c.detail for c in verify_folder(bundle) if c.name == "papers")

    assert "comparable" not in papers()
    file = bundle / "evaluation.json"
    write_json(file, json.loads(file.read_text(encoding="utf-8")) | {"definition": "bits-per-byte/1"})
    relock(bundle)
    assert "its bits per byte are measured by bits-per-byte/1, not comparable with bits-per-byte/2" in papers()


def test_the_command_line_walks_from_mix_to_release(built: tuple[Lake, Mix], bundle: Path, checkout: Path, tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    policies = shutil.copytree(checkout / "governance/policies", tmp_path / "policies")
    places = built[0].settings.model_dump(mode="json") | {"policies": str(policies)}
    file.write_text(yaml.safe_dump(places), encoding="utf-8")

    commands = typer.Typer()
    for name, app in {"mix": mix_cli.app, "eval": eval_cli.app, "gate": gate_cli.app, "release": release_cli.app}.items():
        commands.add_typer(app, name=name)
    want_result(True)

    def call(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(commands, [*words, "--settings", str(file)])
        assert done.exit_code == 0, (done.output, done.exception)
        return dict(json.loads(done.output.rpartition("HEADRACE_RESULT ")[2]))

    assert call("mix", "show", "tiny")["plan"]
    assert len(call("mix", "ls")["mix"]) == 1
    assert call("eval", "show", "tiny")["overall"]["documents"]
    evidence = call("gate", "evaluate", "--recipe", "tiny", "--for-release")  # the recipe's own
    named = {"gate", "fingerprint", "policy", "passed", "triggered_by", "automatic", "self_approval", "approvers", "rules"}
    assert set(evidence) == named and evidence["gate"] == "release"
    assert not evidence["passed"]  # random weights beat no unigram
    laxer = CliRunner().invoke(commands, ["gate", "evaluate", "poc", "--recipe", "tiny", "--for-release", "--settings", str(file)])
    assert isinstance(laxer.exception, GateError) and "cannot stand in for 'release'" in str(laxer.exception)
    assert [row[0] for row in call("gate", "policies")["gates"]] == ["audit", "poc", "release"]
    words = ["gate", "sign", evidence["fingerprint"], "--signer", "bob", "--settings", str(file)]
    refused = CliRunner().invoke(commands, [*words, "--decision", "go"])
    assert isinstance(refused.exception, HeadraceError) and "waiver" in str(refused.exception)
    assert call(*words[:-2], "--decision", "waiver", "--reason=known")["decision"] == "waiver"
    assert len(call("gate", "show", evidence["fingerprint"][:10])["decisions"]) == 1
    assert call("release", "verify", "tiny")["passed"] and call("release", "ls")["release"]
    assert call("release", "verify", str(bundle))["checks"]["papers"]
    want_result(False)
