"""The whole line, bytes of HTML to token shards: the shipped text pipeline beside the same steps of datatrove.

    python benchmarks/text/bench_line.py --pages 1500 [--mix pool] [--rounds 3]

Data: pages of the sample packages in twelve languages, as HTML: as many of each, or by the pool's shares. Ours imports them from a folder
and runs a pipeline through the engine into an empty lake, where every table, receipt and exclusion is written: once the whole
`governance/pipelines/text.yaml`, once of its steps those that datatrove's line has too (`same_steps.yaml`). datatrove's are called one
after the other on documents in memory: trafilatura, language identification with the same model and thresholds, its Gopher, C4 and FineWeb
filters with the shipped thresholds, MinHash with its defaults, its PII formatter, and Hugging Face's tokenizer to `.ds` files. What ours
does beyond: an archive of the pages and their licences; every document is judged by every rule, not by those up to the first that drops
it; and in the whole line everything else of text.yaml, for instance statistics of lines, paragraphs, passages, toxicity, quality, PII of
nine kinds with check digits, expectations. All in this process and its children; times are of the processor, children included, and by
the clock. Both lines have run over a few pages of every language before, so that hardly anything of what either loads, compiles or starts
is in them: datatrove reads its tokenizer's file again and forks its extractor's process, ours opens a lake.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import corpus as corpus_module
import psutil
from bench_filters import POOL, peers

from headrace_governance.acquire.importers.run import import_slice
from headrace_governance.sources.source import Source
from headrace_governance.text.language.stage import Language, LanguageParams
from headrace_lake.engine import load_pipeline, run_pipeline
from headrace_lake.garbage import collect_rarely
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import load_yaml

CHECKOUT = Path(__file__).parents[2]
FILTERS = CHECKOUT / "governance" / "pipelines" / "filters"
PEER = f"datatrove {version('datatrove')}"
OURS = {
    "headrace, the same steps": Path(__file__).with_name("same_steps.yaml"),
    "headrace, the whole line": CHECKOUT / "governance" / "pipelines" / "text.yaml",
}


def pages(count: int, mix: str) -> list[tuple[str, Path]]:
    """(language, file) of pages drawn by a fixed seed: as many of each language as there are, or by the pool's shares."""
    corpus_module.corpus(1)  # unpacks the site
    site = corpus_module.FOLDER / "site" / "www"
    by_language: dict[str, list[Path]] = {}
    for folder in sorted(site.iterdir()):
        for file in sorted(folder.rglob("*.html")):
            if file.name != "pages.html" and 2_000 < file.stat().st_size < 1_000_000:
                by_language.setdefault(corpus_module.language_of(file, site), []).append(file)
    rng = random.Random(1)
    for files in by_language.values():
        rng.shuffle(files)
    if mix == "pool":
        shares = POOL | {
            language: (1 - sum(POOL.values())) / (len(by_language) - len(POOL)) for language in by_language if language not in POOL
        }
        return [(language, file) for language, files in sorted(by_language.items()) for file in files[: round(count * shares[language])]]
    chosen = [(language, files[i]) for i in range(count) for language, files in sorted(by_language.items()) if i < len(files)]
    return chosen[:count]


def processor_seconds() -> float:
    """Of this process, its children that ended and those that live on, as the one that parses pages does between two parts."""
    seconds = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(child.cpu_times()[:4])
    return seconds


def timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the processor and by the clock, and the result."""
    before, started = processor_seconds(), time.perf_counter()
    result = run()
    return processor_seconds() - before, time.perf_counter() - started, result


def ours(files: list[tuple[str, Path]], folder: Path, pipeline: Path) -> tuple[int, int]:
    """Admitted documents and tokens."""
    root = folder / pipeline.stem
    settings = Settings.model_validate({"base": str(CHECKOUT), "lake": {"root": str(root / "lake")}, "runs": str(root / "runs")})
    lake, slice_ = Lake.open(settings), Slice("bench", "2026-11-01")
    source = Source.model_validate(
        {"id": "bench", "title": "pages", "modality": "text", "languages": sorted({language for language, _ in files})}
        | {"licence": {"id": "CC0-1.0", "class": "public", "basis": "a benchmark's copy", "evidence": {"text": "a benchmark's copy"}}}
        | {"fetch": {"kind": "folder", "path": str(folder / "pages"), "glob": "*.html"}, "declared_tokens": 1}
    )
    import_slice(lake, source, slice_)
    run_pipeline(lake, load_pipeline(settings, pipeline), slice_)
    return lake.read("admitted", columns=["uid"]).num_rows, sum(lake.read("token_shards", columns=["tokens"])["tokens"].to_pylist())


def theirs(files: list[tuple[str, Path]], folder: Path, tokenizer: Path) -> tuple[int, int]:
    """Documents and tokens of datatrove's steps."""
    import trafilatura  # noqa: F401 (loaded before datatrove forks the process that calls it)
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.tokens import DocumentTokenizer

    language = Language(load_yaml(FILTERS / "language.yaml", LanguageParams))
    language.setup()
    language.begin(None, {})  # type: ignore[arg-type]
    thresholds = language.params
    filters: dict[str, dict[str, Any]] = {}

    def documents() -> Iterator[Any]:
        for i, (_, file) in enumerate(files):
            yield Document(text=file.read_text(encoding="utf-8", errors="replace"), id=str(i))

    def kept() -> Iterator[Any]:
        for document in Trafilatura().run(documents()):
            found, score = language.detect(document.text)
            if score < thresholds.thresholds.get(found, thresholds.default_threshold):
                continue
            chosen = filters.setdefault(found, peers(found)) if found not in filters else filters[found]
            if all(f is None or _passes(f.filter(document)) for f in chosen.values()):
                yield document

    config = MinhashConfig()
    rest = list(kept())
    MinhashDedupSignature(f"{folder}/signatures", config).run(iter(rest), 0, 1)
    for bucket in range(config.num_buckets):
        MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config).run(None, bucket, config.num_buckets)
    MinhashDedupCluster(f"{folder}/buckets", f"{folder}/clusters", config=config).run(None, 0, 1)
    last = list(PIIFormatter().run(MinhashDedupFilter(f"{folder}/clusters").run(iter(rest), 0, 1)))
    writer = DocumentTokenizer(f"{folder}/tokens", str(tokenizer), eos_token=None, shuffle_documents=False)
    writer.run(iter(last), 0, 1)
    return len(last), sum(f.stat().st_size for f in Path(folder, "tokens").rglob("*.ds")) // 4


def _passes(result: Any) -> bool:
    return bool(result[0] if isinstance(result, tuple) else result)


def measured(line: str, files: list[tuple[str, Path]], folder: Path) -> tuple[float, float, tuple[int, int]]:
    """What `timed` says of one line, after it has run over a few pages of every language."""
    tokenizer = _tokenizer(folder)
    few = [page for language in sorted({language for language, _ in files}) for page in [f for f in files if f[0] == language][:4]]
    for part, chosen in (("warm", few), ("pages", files)):
        (folder / part / "pages").mkdir(parents=True)
        for i, (_, file) in enumerate(chosen):
            shutil.copy(file, folder / part / "pages" / f"{i:06}.html")

    def run(chosen: list[tuple[str, Path]], part: str) -> tuple[int, int]:
        if line in OURS:
            return ours(chosen, folder / part, OURS[line])
        return theirs(chosen, folder / part, tokenizer)

    with contextlib.redirect_stderr(io.StringIO()):
        run(few, "warm")
        return timed(lambda: run(files, "pages"))


def main() -> None:
    """Run the lines, each in a process of its own, so that none finds what another has loaded; print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=1500)
    parser.add_argument("--mix", choices=("equal", "pool"), default="equal")
    parser.add_argument("--rounds", type=int, default=1, help="all lines in turn, so often; a shared machine is half as fast at times")
    parser.add_argument("--only", choices=(PEER, *OURS), help="one line, its figures as JSON")
    words = parser.parse_args()
    collect_rarely()  # for all: the command line does so too
    files = pages(words.pages, words.mix)
    if words.only:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measured(words.only, files, Path(folder))))
        return
    size = sum(f.stat().st_size for _, f in files) / 1e6
    print(f"{len(files):,} pages in {len({language for language, _ in files})} languages, {size:.1f} MB of HTML", flush=True)
    seconds: dict[str, list[tuple[float, float]]] = {line: [] for line in (PEER, *OURS)}
    for _ in range(words.rounds):
        for line, runs in seconds.items():
            command = [sys.executable, __file__, "--pages", str(words.pages), "--mix", words.mix, "--only", line]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
            cpu, clock, (documents, tokens) = json.loads(answer)
            runs.append((cpu, clock))
            print(f"{line}: {documents:,} documents, {tokens:,} tokens; {cpu:.1f} s of the processor, {clock:.1f} s by the clock, "
                  f"{len(files) / cpu:.1f} pages/s, {size / cpu:.2f} MB of HTML/s a core", flush=True)  # fmt: skip
    for line in OURS:
        cpu, clock = (statistics.median(r[i] for r in seconds[PEER]) / statistics.median(r[i] for r in seconds[line]) for i in (0, 1))
        each = ", ".join(f"{theirs[0] / ours[0]:.1f}" for theirs, ours in zip(seconds[PEER], seconds[line], strict=True))
        print(f"{line}: {cpu:.1f} times as fast as {PEER} by the processor, {clock:.1f} by the clock (medians; rounds: {each})")


def _tokenizer(folder: Path) -> Path:
    from bench_tokenise import SPEC

    from headrace_tokenizers.text.huggingface import write_hf_tokenizer
    from headrace_tokenizers.text.vocabulary import load_vocabulary

    write_hf_tokenizer(load_vocabulary(SPEC), folder)
    return folder / "tokenizer.json"


if __name__ == "__main__":
    main()
