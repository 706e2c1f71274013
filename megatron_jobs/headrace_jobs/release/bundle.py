"""Build a release: one folder with everything that is needed to use, check and account for a checkpoint.

    model/            weights (safetensors), config and tokenizer in Hugging Face's form
    mix.json          what it was trained on          gate.json        who let it out, on what evidence
    evaluation.*      what it can do                  licences.json, licence_policy.json, ATTRIBUTION.md, sbom.json, README.md
    sample.json       a greedy sample, repeated by `verify`
    digests.json      SHA-256 of all of these, and their root

The same inputs in the same environment give the same bytes. The folder lies in the lake at
`releases/<name>-<fingerprint>`; `digests.json` is written last, once, so a killed build leaves no bundle.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace_governance.sources.source import load_sources
from headrace_jobs.evaluation.run import checkpoint_folder, load_evaluation
from headrace_jobs.gates.decide import require_go
from headrace_jobs.gates.judge import own_gate
from headrace_jobs.gates.policy import gate_of_release
from headrace_jobs.mix.compile import load_mix, newest_mix
from headrace_jobs.mix.licences import policy_of
from headrace_jobs.release.choose import newest_evaluation
from headrace_jobs.release.digests import DIGESTS_FILE, digest_folder, write_json
from headrace_jobs.release.documents import attribution, bill_of_materials, licences, model_card
from headrace_jobs.release.licences import POLICY_FILE
from headrace_jobs.release.sample import sample
from headrace_lake.errors import StorageError
from headrace_lake.fingerprint import code_digest, digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_tokenizers.text.huggingface import write_hf_tokenizer
from headrace_tokenizers.text.vocabulary import load_vocabulary

MODEL = "model"
Exporter = Callable[[Path, Path], Any]
"""Writes a checkpoint folder as a Hugging Face folder (config.json and safetensors)."""


def build_release(lake: Lake, recipe: str, *, gate: str | None = None, exporter: Exporter | None = None) -> tuple[Artifact, str]:
    """Build the release of a recipe's newest evaluated checkpoint; returns it and `computed` or `adopted`.

    Args:
        gate: the gate whose decision counts instead of that of the recipe's own gate; it may only be stricter.
        exporter: by default the exporter of Megatron checkpoints.

    Raises:
        GateError: no valid Go or waiver on this checkpoint and its newest evaluation.
        InputError: something it is made of is missing.
    """
    mix_artifact = newest_mix(lake, recipe)
    checkpoint, evaluation = newest_evaluation(lake, mix_artifact)
    about = {"checkpoint": checkpoint.fingerprint, "mix": mix_artifact.fingerprint}
    needed = gate_of_release(lake.settings, own_gate(mix_artifact), gate)
    if "evaluation" in needed.evidence:
        about["evaluation"] = evaluation.fingerprint
    decision = require_go(lake, needed.name, about, opens="release")
    inputs = {
        "checkpoint": checkpoint.fingerprint,
        "mix": mix_artifact.fingerprint,
        "gate": decision.fingerprint,
        "evaluation": evaluation.fingerprint,
    }
    policy = policy_of(lake)
    fingerprint = digest_of({"kind": "release", "inputs": inputs, "params": policy.record(), "code": code_digest(__name__)})
    found = lake.find_artifact("release", fingerprint=fingerprint)
    if found is not None and lake.storage.exists(f"{found.path}/{DIGESTS_FILE}"):
        return found, "adopted"
    mix = load_mix(lake, mix_artifact)
    name = f"{recipe}-{fingerprint[:12]}"
    with tempfile.TemporaryDirectory(prefix="headrace-release-") as temporary:
        folder = Path(temporary) / name
        model = folder / MODEL
        model.mkdir(parents=True)
        (exporter or _megatron_exporter)(checkpoint_folder(lake, checkpoint), model)
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        vocabulary = load_vocabulary(lake.settings.resolve(mix.recipe.tokenizer))
        write_hf_tokenizer(vocabulary, model, context=int(config.get("max_position_embeddings", 4096)))
        result = load_evaluation(lake, evaluation)
        rights = licences(mix.record, load_sources(lake.settings.resolve(lake.settings.sources)), policy)
        write_json(folder / POLICY_FILE, {"licences": policy.licences})
        write_json(folder / "mix.json", mix.record)
        write_json(folder / "evaluation.json", result)
        for suffix in ("html", "png"):
            (folder / f"evaluation.{suffix}").write_bytes(lake.storage.read_bytes(evaluation.payload["files"][suffix]))
        write_json(folder / "gate.json", {"fingerprint": decision.fingerprint, **decision.payload})
        write_json(folder / "licences.json", rights)
        (folder / "ATTRIBUTION.md").write_text(attribution(rights), encoding="utf-8")
        (folder / "README.md").write_text(model_card(name, config, mix.record, result, decision.payload), encoding="utf-8")
        write_json(folder / "sample.json", sample(model, eod=mix.eod))
        write_json(folder / "sbom.json", bill_of_materials(digest_folder(folder).root))
        digests = digest_folder(folder)
        write_json(folder / DIGESTS_FILE, digests.model_dump(mode="json"))
        path = f"releases/{name}"
        _publish(lake, folder, path, sorted(digests.files))
    artifact = Artifact(
        kind="release",
        name=recipe,
        fingerprint=fingerprint,
        digest=digests.root,
        path=path,
        parents=(checkpoint.fingerprint, decision.fingerprint, mix_artifact.fingerprint, evaluation.fingerprint),
        payload={
            "bundle": name,
            "root": digests.root,
            "files": len(digests.files),
            "bytes": sum(f.bytes for f in digests.files.values()),
            "gate": {k: decision.payload[k] for k in ("gate", "decision", "signer", "automatic", "note")},
            "summary": f"{name}: {len(digests.files)} files, root {digests.root[:16]}",
        },
    )
    lake.record_artifact(artifact)
    return artifact, "computed"


def _megatron_exporter(checkpoint: Path, out: Path) -> Any:
    from headrace_jobs.export.hugging_face import export

    return export(checkpoint, out)


def _publish(lake: Lake, folder: Path, path: str, files: list[str]) -> None:
    """Copy a finished folder into the lake; the list of digests goes last and is never replaced."""
    for name in files:
        lake.storage.put_file(folder / name, f"{path}/{name}")
    data = (folder / DIGESTS_FILE).read_bytes()
    if (
        not lake.storage.put_bytes(f"{path}/{DIGESTS_FILE}", data, exclusive=True)
        and lake.storage.read_bytes(f"{path}/{DIGESTS_FILE}") != data
    ):
        raise StorageError(f"{path} holds another release already", "releases are immutable: move it away, or change the inputs")
