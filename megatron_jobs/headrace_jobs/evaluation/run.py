"""Evaluate a checkpoint on the held-out documents of its mix, and leave the result as an artifact."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from headrace_jobs.evaluation.bits_per_byte import DEFINITION, LEVEL, RESAMPLES, bits_per_byte, bootstrap
from headrace_jobs.evaluation.report import write_report
from headrace_jobs.evaluation.scoring import Ids, Scorer, document_nats
from headrace_jobs.evaluation.unigram import GLOBAL, training_counts, unigram_nats
from headrace_jobs.mix.compile import Mix, load_mix, newest_mix
from headrace_jobs.mix.loader import shard_reader
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import code_digest, digest_bytes, digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.strict import StrictModel
from headrace_tokenizers.store import ShardReader

ALL = "all"


class EvaluationParams(StrictModel):
    """How to evaluate.

    Attributes:
        window: input tokens that the model sees at once; the sequence length that it was trained at is the honest choice.
        stride: tokens that a window scores, after a document's first; by default the window, as the Language Model Evaluation
            Harness does. Less gives every token more context, and other numbers than that tool's.
        resamples, seed: of the bootstrap.
    """

    window: int = Field(default=256, ge=2)
    stride: int | None = Field(default=None, ge=1)
    batch: int = Field(default=8, ge=1)
    resamples: int = Field(default=RESAMPLES, ge=1000)
    seed: int = 1


def newest_checkpoint(lake: Lake, mix_fingerprint: str) -> Artifact:
    """The newest checkpoint of any run on a mix (checkpoint.parents names its run, run.parents its mix).

    Raises:
        InputError: there is none.
    """
    runs = {r.fingerprint for r in lake.artifacts("run") if mix_fingerprint in r.parents}
    found = [c for c in lake.artifacts("checkpoint") if mix_fingerprint in c.parents or runs & set(c.parents)]
    if not found:
        raise InputError(f"no checkpoint was trained on mix {mix_fingerprint[:12]}", "run 'headrace train RECIPE'")
    return found[-1]


def checkpoint_folder(lake: Lake, checkpoint: Artifact) -> Path:
    """Where a checkpoint's files lie."""
    path = Path(checkpoint.path)
    folder = path if path.is_absolute() else lake.storage.local_path(checkpoint.path)
    if not folder.exists():
        raise InputError(f"checkpoint {checkpoint.name}: {checkpoint.path} is gone", "train again, or restore the folder")
    return folder


def evaluate_recipe(lake: Lake, recipe: str, params: EvaluationParams) -> tuple[Artifact, str]:
    """Evaluate the newest checkpoint of a recipe's newest mix; returns the artifact and `computed` or `adopted`."""
    mix_artifact = newest_mix(lake, recipe)
    checkpoint = newest_checkpoint(lake, mix_artifact.fingerprint)
    fingerprint = evaluation_fingerprint(checkpoint, mix_artifact.fingerprint, params)
    found = _stored(lake, fingerprint)
    if found is not None:
        return found, "adopted"
    from headrace_jobs.trainer.inference import load_for_inference

    scorer: Scorer = load_for_inference(checkpoint_folder(lake, checkpoint))
    return evaluate(lake, load_mix(lake, mix_artifact), checkpoint, scorer, params)


def evaluation_fingerprint(checkpoint: Artifact, mix: str, params: EvaluationParams) -> str:
    """Identity of an evaluation."""
    inputs = {"checkpoint": [checkpoint.fingerprint, checkpoint.digest], "mix": mix}
    return digest_of({"kind": "evaluation", "inputs": inputs, "params": params.model_dump(), "code": code_digest(__name__)})


def evaluate(lake: Lake, mix: Mix, checkpoint: Artifact, scorer: Scorer, params: EvaluationParams) -> tuple[Artifact, str]:
    """Score the held-out documents and record the evaluation.

    Raises:
        InputError: the mix holds no document out.
    """
    fingerprint = evaluation_fingerprint(checkpoint, mix.fingerprint, params)
    found = _stored(lake, fingerprint)
    if found is not None:
        return found, "adopted"
    languages, documents, sizes = held_out_documents(lake, mix)
    stride = params.stride or params.window
    nats = document_nats(scorer, documents, eod=mix.eod, window=params.window, stride=stride, batch=params.batch)
    counts = training_counts(mix, lake)
    rows = [_row(name, languages, documents, sizes, nats, counts, mix, params) for name in [*sorted(set(languages)), ALL]]
    total = rows.pop()
    payload: dict[str, Any] = {
        "definition": DEFINITION,
        "level": LEVEL,
        "params": params.model_dump(),
        "checkpoint": {"name": checkpoint.name, "fingerprint": checkpoint.fingerprint},
        "mix": {"name": mix.recipe.name, "fingerprint": mix.fingerprint},
        "baseline": "the better of two add-one unigram models fitted on the training tokens: all of them, and the language's own",
        "languages": rows,
        "overall": total,
        "summary": f"{total['bits_per_byte']:.4f} bits per byte over {len(rows)} languages ({DEFINITION})",
    }
    each = [
        {"uid": bytes(row["uid"]).hex(), "language": row["language"], "tokens": len(ids), "bytes": row["encoded_bytes"], "nats": float(n)}
        for row, ids, n in zip(scored_rows(mix), documents, nats, strict=True)
    ]
    with tempfile.TemporaryDirectory(prefix="headrace-evaluation-") as folder:
        files = {file.suffix: file for file in write_report(payload, each, Path(folder))}
        data = files[".json"].read_bytes()
        payload["files"] = {suffix[1:]: lake.put_object(file, kind="evaluation", suffix=suffix) for suffix, file in sorted(files.items())}
    artifact = Artifact(
        kind="evaluation",
        name=mix.recipe.name,
        fingerprint=fingerprint,
        digest=digest_bytes(data),
        path=payload["files"]["json"],
        parents=(checkpoint.fingerprint, mix.fingerprint),
        payload=payload,
    )
    lake.record_artifact(artifact)
    return artifact, "computed"


def held_out_documents(lake: Lake, mix: Mix) -> tuple[list[str], list[Ids], np.ndarray[Any, np.dtype[np.int64]]]:
    """Language, text tokens and bytes of the documents that are scored: at most `held_out.score` a language.

    Returns:
        ISO 639-1 codes; the ids of each text, without the closing end-of-document token; int64 [documents], UTF-8 bytes of each
        encoded text.

    Raises:
        InputError: no document is held out, or the mix was compiled when its bytes were those of another text.
    """
    if mix.held_out.num_rows == 0:
        raise InputError(f"mix {mix.recipe.name} holds no document out", "raise 'held_out.fraction' in the recipe and compile again")
    opened: dict[int, ShardReader] = {}
    languages: list[str] = []
    documents: list[Ids] = []
    sizes: list[int] = []
    for row in scored_rows(mix):
        languages.append(row["language"])
        documents.append(shard_reader(lake, mix, row["shard"], opened).tokens(row["ordinal"])[:-1])
        sizes.append(row["encoded_bytes"])
    return languages, documents, np.array(sizes, dtype=np.int64)


def scored_rows(mix: Mix) -> list[dict[str, Any]]:
    """The held-out documents that are scored: `language`, `shard`, `ordinal`, `uid` (16 bytes), `encoded_bytes`, in their order.

    Raises:
        InputError: the mix was compiled when its bytes were those of another text.
    """
    columns = ["language", "shard", "ordinal", "uid", "encoded_bytes"]
    if "encoded_bytes" not in mix.held_out.column_names:
        raise InputError(
            f"mix {mix.recipe.name} ({mix.fingerprint[:12]}) does not say how long its encoded texts are: an older Headrace compiled it",
            "tokenise its slices again ('headrace slice run text SOURCE/INTERVAL'), then train the recipe again",
        )
    taken: dict[str, int] = {}
    rows = []
    for row in mix.held_out.select(columns).to_pylist():
        taken[row["language"]] = taken.get(row["language"], 0) + 1
        if taken[row["language"]] <= mix.recipe.held_out.score:
            rows.append(row)
    return rows


def _row(
    name: str,
    languages: list[str],
    documents: list[Ids],
    sizes: np.ndarray[Any, np.dtype[np.int64]],
    nats: np.ndarray[Any, np.dtype[np.float64]],
    counts: dict[str, np.ndarray[Any, np.dtype[np.int64]]],
    mix: Mix,
    params: EvaluationParams,
) -> dict[str, Any]:
    mine = [i for i, language in enumerate(languages) if name in (ALL, language)]
    estimate = bootstrap(nats[mine], sizes[mine], seed=params.seed, resamples=params.resamples)
    baselines: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for label, key in (("unigram_global", GLOBAL), ("unigram_language", name)):
        if key in counts:
            baselines[label] = unigram_nats(counts[key], [documents[i] for i in mine])
    values = {label: bits_per_byte(float(base.sum()), estimate.bytes) for label, base in baselines.items()}
    best = min(values, key=lambda label: values[label])
    # Paired: both models scored the same documents, so how much documents differ from each other drops out.
    advantage = bootstrap(baselines[best] - nats[mine], sizes[mine], seed=params.seed, resamples=params.resamples)
    pool = [b for b in mix.buckets if name in (ALL, b.language)]
    return {
        "language": name,
        "bits_per_byte": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "unigram": values[best],
        **values,
        "better": estimate.value < values[best],
        "advantage": {"value": advantage.value, "low": advantage.low, "high": advantage.high},
        "documents": estimate.documents,
        "bytes": estimate.bytes,
        "tokens": int(sum(len(documents[i]) for i in mine)),
        "training_bytes": sum(b.bytes for b in pool),
        "training_tokens": int(counts.get(GLOBAL if name == ALL else name, np.zeros(1)).sum()),
    }


def _stored(lake: Lake, fingerprint: str) -> Artifact | None:
    found = lake.find_artifact("evaluation", fingerprint=fingerprint)
    return found if found is not None and lake.storage.exists(found.path) else None


def load_evaluation(lake: Lake, artifact: Artifact) -> dict[str, Any]:
    """The stored result."""
    return dict(json.loads(lake.storage.read_bytes(artifact.path)))
