"""Text to `.bin/.idx`: our encoder beside tiktoken and Hugging Face's tokenizers, all with Qwen's vocabulary.

    python benchmarks/text/bench_tokenise.py --megabytes 200 --rounds 3

Ours: `Vocabulary.encode_column` and `ShardWriter`, one thread. tiktoken: `encode_ordinary` after the same NFC. Hugging
Face: `tokenizers.Tokenizer.encode_batch_fast` on the tokenizer.json that we write for releases, one thread. All three
write the same kind of files. Before any time is taken, the ids of every document, hostile ones among them, are compared.
Times are of the processor; peak memory is of the process when ours alone has run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import pyarrow as pa
from corpus import corpus

from headrace_tokenizers.store import ShardWriter
from headrace_tokenizers.text.huggingface import write_hf_tokenizer
from headrace_tokenizers.text.vocabulary import PRE_TOKENS, Vocabulary, load_vocabulary, read_ranks

SPEC = Path(__file__).parents[2] / "tokenizers" / "configs" / "qwen_text.yaml"
BATCH = 256
HOSTILE = [
    "\x00" * 1000,
    "a" * 10_000_000,
    "中" * 100_000,
    " " * 1_000_000,
    "<|endoftext|><|im_start|>" * 1000,
    "".join(chr(0x300 + i % 100) for i in range(10_000)),
    "\ufffd\ufeff\u202e" * 1000,
    "\U0010ffff\ue000\u2028\x85" * 1000,
    "ǅ'ſ I'LL we'Ve ½Ⅷ௰ \r\n\t \n" * 1000,
]


def batches(texts: pa.ChunkedArray) -> Iterable[pa.ChunkedArray]:
    return (texts.slice(start, BATCH) for start in range(0, len(texts), BATCH))


def run_ours(qwen: Vocabulary, texts: pa.ChunkedArray, folder: Path) -> None:
    writer = ShardWriter(folder / "ours.bin", folder / "ours.idx")
    for batch in batches(texts):
        writer.append_all(*qwen.encode_column(batch, eod=True))
    writer.close()


def run_tiktoken(engine: Any, eod: int, texts: pa.ChunkedArray, folder: Path) -> None:
    writer = ShardWriter(folder / "tiktoken.bin", folder / "tiktoken.idx")
    for batch in batches(texts):
        for text in batch.to_pylist():
            writer.append([*engine.encode_ordinary(unicodedata.normalize("NFC", text)), eod])
    writer.close()


def run_tokenizers(engine: Any, eod: int, texts: pa.ChunkedArray, folder: Path) -> None:
    writer = ShardWriter(folder / "tokenizers.bin", folder / "tokenizers.idx")
    for batch in batches(texts):
        for found in engine.encode_batch_fast(batch.to_pylist(), add_special_tokens=False):
            writer.append([*found.ids, eod])
    writer.close()


def main() -> None:
    """Compare, then measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--peer-megabytes", type=float, default=40, help="the peers are timed on the corpus' beginning")
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    import tiktoken
    import tokenizers

    texts = corpus(words.megabytes)["text"]
    few = corpus(words.peer_megabytes)["text"]
    size, few_size = (sum(len(t.encode("utf-8")) for t in column.to_pylist()) / 1e6 for column in (texts, few))
    print(f"{len(texts):,} documents, {size:.1f} MB, 12 languages; peers: the first {few_size:.1f} MB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.process_time()
        qwen = load_vocabulary(SPEC)
        qwen.encode("compiled")
        print(f"ours is ready after {time.process_time() - started:.1f} s")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run_ours(qwen, few, folder)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"peak memory {after / 1024:.0f} MiB, {(after - before) / 1024:.0f} of it while encoding {few_size:.0f} MB")
        bpe = tiktoken.Encoding("peer", pat_str=PRE_TOKENS, mergeable_ranks=read_ranks(qwen.spec), special_tokens={})
        write_hf_tokenizer(qwen, folder)
        # Qwen's own file adds its control tokens; here text is data, so they are left out on both sides.
        described = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")) | {"added_tokens": []}
        hf = tokenizers.Tokenizer.from_str(json.dumps(described))

        checked = different = 0
        for column in (*batches(texts), pa.chunked_array([pa.array(HOSTILE, pa.large_string())])):
            for text, ids in zip(column.to_pylist(), qwen.encode_batch(column.to_pylist()), strict=True):
                checked += 1
                if ids != hf.encode(text, add_special_tokens=False).ids:
                    different += 1
                    print(f"differs from tokenizer.json: {text[:60]!r}")
        print(f"ids equal to tokenizer.json on {checked - different:,} of {checked:,} documents, {len(HOSTILE)} hostile ones among them")

        runs: dict[str, tuple[float, Callable[[], None]]] = {
            "headrace": (size, lambda: run_ours(qwen, texts, folder)),
            f"tiktoken {version('tiktoken')}": (few_size, lambda: run_tiktoken(bpe, qwen.eod, few, folder)),
            f"tokenizers {version('tokenizers')}": (few_size, lambda: run_tokenizers(hf, qwen.eod, few, folder)),
        }
        speeds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(words.rounds):
            for name, (megabytes, run) in runs.items():
                started = time.process_time()
                run()
                speeds[name].append(megabytes / (time.process_time() - started))
        ours = statistics.median(speeds["headrace"])
        for name, found in speeds.items():
            middle = statistics.median(found)
            print(f"{name}: {middle:.1f} MB/s a core ({min(found):.1f} to {max(found):.1f}), ours is {ours / middle:.1f} times as fast")
        same = (folder / "tiktoken.bin").read_bytes() == (folder / "tokenizers.bin").read_bytes()
        print(f"the peers' files are {'the same' if same else 'different'}")
        if different or not same:
            sys.exit(1)


if __name__ == "__main__":
    main()
