"""Bits per byte of a released model: ours beside the Language Model Evaluation Harness, document by document.

    python benchmarks/training/bench_bits_per_byte.py [--settings var/poc/headrace.yaml --recipe tiny]

Ours scores the shards' token ids with Megatron's checkpoint; the peer (lm_eval 0.4.13, `loglikelihood_rolling` of its `HFLM` and its
`bits_per_byte`) is given the release's `model/` folder and the documents as text, which it encodes and counts by itself. Both in fp32,
windows of the evaluation's length. Printed by language and over all: documents, bytes that the passports state and that the peer
counts, both numbers, their relative difference, and the largest one of a single document. The lake is only read.

A lake of before definition 2 has no encoded lengths: its texts are decoded from the ids, and both sides count those bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np

from headrace_jobs.evaluation.bits_per_byte import bits_per_byte
from headrace_jobs.evaluation.run import checkpoint_folder
from headrace_jobs.evaluation.scoring import document_nats
from headrace_jobs.mix.compile import Mix, load_mix
from headrace_jobs.mix.loader import shard_reader
from headrace_jobs.trainer.inference import load_for_inference
from headrace_jobs.trainer.parallel import stop
from headrace_lake.lake import Lake
from headrace_lake.settings import load_settings
from headrace_lake.slices import Slice
from headrace_tokenizers.text.encoded_text import encoded_texts
from headrace_tokenizers.text.vocabulary import load_vocabulary

ALL = "all"


def chosen(mix: Mix, documents: int) -> list[dict[str, Any]]:
    """Held-out documents, of every language as many; where they are too few, documents of the training beside them."""
    held = mix.held_out.to_pylist()
    languages = [mix.buckets[number].language for number in mix.documents["bucket"].to_pylist()]
    trained = [row | {"language": language} for row, language in zip(mix.documents.to_pylist(), languages, strict=True)]
    pools: dict[str, list[dict[str, Any]]] = {}
    for row in [*held, *trained]:
        pools.setdefault(row["language"], []).append(row)
    rows: list[dict[str, Any]] = []
    for number in range(max(map(len, pools.values()))):
        rows += [pool[number] for pool in pools.values() if number < len(pool)]
        if len(rows) >= documents:
            break
    own = sum(row in held for row in rows)
    print(f"{len(rows)} documents: {own} held out, {len(rows) - own} of the training")
    return rows


def texts_of(lake: Lake, mix: Mix, rows: list[dict[str, Any]], ids: list[Any]) -> list[str]:
    """The encoded text of each row."""
    if "encoded_bytes" not in mix.held_out.column_names:
        vocabulary = load_vocabulary(lake.settings.resolve(mix.recipe.tokenizer))
        print("an older lake: texts are decoded from token ids, so their bytes are those after NFC")
        return [vocabulary.decode(document.tolist(), special=False) for document in ids]
    found: dict[tuple[int, str], str] = {}
    for number in sorted({row["shard"] for row in rows}):
        ref = mix.shards[number]
        uids = [row["uid"].hex() for row in rows if row["shard"] == number]
        found |= {(number, uid): text for uid, text in encoded_texts(lake, Slice(ref.source, ref.slice), uids).items()}
    return [found[row["shard"], row["uid"].hex()] for row in rows]


def of_the_peer(folder: Path, texts: list[str], *, window: int, batch: int) -> list[tuple[float, int]]:
    """(log-likelihood, bytes) of each text, as the peer's metric takes them."""
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import PerplexityTask
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=batch, max_length=window)
    requests = [Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0) for text in texts]
    with redirect_stderr(io.StringIO()):  # its progress bars
        found = model.loglikelihood_rolling(requests, disable_tqdm=True)
    return [(value, PerplexityTask.count_bytes(text)) for value, text in zip(found, texts, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, default=Path("var/poc/headrace.yaml"))
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--documents", type=int, default=110, help="so many at least, of all languages alike, where the mix has them")
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    if not given.settings.exists():
        print(f"{given.settings} is not there: run 'make poc' first, or give --settings of a lake with a release")
        return 0
    from lm_eval.api.metrics import bits_per_byte as peers_bits_per_byte

    lake = Lake.open(load_settings(given.settings))
    release = lake.find_artifact("release", name=given.recipe)
    if release is None:
        print(f"no release of recipe '{given.recipe}' in the lake of {given.settings}")
        return 2
    parents = {
        kind: next(a for a in lake.artifacts(kind) if a.fingerprint in release.parents) for kind in ("mix", "checkpoint", "evaluation")
    }
    mix = load_mix(lake, parents["mix"])
    window = int(parents["evaluation"].payload["params"]["window"])
    rows = chosen(mix, given.documents)
    opened: dict[int, Any] = {}
    ids = [shard_reader(lake, mix, row["shard"], opened).tokens(row["ordinal"])[:-1] for row in rows]
    texts = texts_of(lake, mix, rows, ids)

    start = time.perf_counter()
    scorer = load_for_inference(checkpoint_folder(lake, parents["checkpoint"]))
    ours = document_nats(scorer, ids, eod=mix.eod, window=window, stride=window, batch=given.batch)
    stop()
    middle = time.perf_counter()
    items = of_the_peer(lake.storage.local_path(f"{release.path}/model"), texts, window=window, batch=given.batch)
    end = time.perf_counter()

    stated = [row.get("encoded_bytes", item[1]) for row, item in zip(rows, items, strict=True)]
    theirs = np.array([-item[0] for item in items])
    apart = np.abs(ours - theirs) / np.maximum(theirs, 1e-12)
    print(f"release {release.payload['bundle']}, windows of {window} tokens; ours {middle - start:.0f} s, lm_eval {end - middle:.0f} s")
    print(f"{'language':8} {'documents':>9} {'bytes':>9} {'peer counts':>11} {'ours':>9} {'lm_eval':>9} {'apart':>9} {'one document':>12}")
    worst = 0.0
    for language in [*sorted({row["language"] for row in rows}), ALL]:
        mine = [i for i, row in enumerate(rows) if language in (ALL, row["language"])]
        size = sum(stated[i] for i in mine)
        mean, peer = bits_per_byte(float(ours[mine].sum()), size), peers_bits_per_byte([items[i] for i in mine])
        worst = max(worst, abs(mean / peer - 1), float(apart[mine].max()))
        counted = sum(items[i][1] for i in mine)
        line = f"{language:8} {len(mine):9} {size:9,} {counted:11,} {mean:9.5f} {peer:9.5f} {abs(mean / peer - 1):9.1e}"
        print(f"{line} {apart[mine].max():12.1e}")
    print(json.dumps({"documents": len(rows), "languages": len({row["language"] for row in rows}), "largest_relative_difference": worst}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
