"""A lake with token shards of the test's own: real Megatron files, passports and receipts, made from a seed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Counts, Receipt, here, new_run_id
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_tokenizers.store import ShardWriter
from headrace_tokenizers.text.vocabulary import VocabularySpec, load_spec

sys.path.append(str(Path(__file__).parent))  # for `training_site`
SPEC = "tokenizers/configs/qwen_text.yaml"
LICENCES = {"public": "CC0-1.0", "attribution": "CC-BY-4.0", "share-alike": "CC-BY-SA-4.0", "restricted": "NONE"}
"""A licence of each class."""
SMALL_ROWS = 8192
TEXT_IDS = 500
"""Test documents use the first ids only, so that a unigram model has something to learn."""


TWO_SOURCES = {
    "alpha": [("en", "public")] * 120 + [("zh", "public")] * 80 + [("en", "restricted")] * 10,
    "beta": [("en", "share-alike")] * 60 + [("fr", "share-alike")] * 60,
}
"""Source → (language, licence class) of its documents."""


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models this small: a second thread spends its time in waiting for the first."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.open(settings)


@pytest.fixture(scope="session")
def spec(checkout: Path) -> VocabularySpec:
    return load_spec(checkout / SPEC)


@pytest.fixture(scope="session")
def small_spec_file(tmp_path_factory: pytest.TempPathFactory, spec: VocabularySpec) -> Path:
    """A vocabulary of 8,192 rows in place of 152,576, for trainings in which their number plays no role; there is no text in it."""
    special = {name: 8000 + i for i, name in enumerate(spec.special)}
    small = spec.model_copy(update={"id": "small", "ranks": 8000, "special": special, "padded_to": SMALL_ROWS})
    path = tmp_path_factory.mktemp("vocabulary") / "small.yaml"
    path.write_text(yaml.safe_dump(small.model_dump(mode="json")), encoding="utf-8")
    return path


def write_slice(
    lake: Lake,
    spec: VocabularySpec,
    folder: Path,
    source: str,
    documents: Sequence[tuple[str, ...]],
    *,
    interval: str = "2026-11-01",
    mean_tokens: int = 60,
    tokenizer_digest: str = "",
) -> Receipt:
    """Commit token shards (two parts) as if stage `tokenise` had made them; `documents` are (language, licence class[, licence])."""
    slice_ = Slice(source, interval)
    rng = np.random.default_rng(int(digest_of([source, interval])[:8], 16))
    outputs, total = [], 0
    for part in range(2):
        base = folder / f"{source}-{interval}-{part}"
        writer = ShardWriter(base.with_suffix(".bin"), base.with_suffix(".idx"))
        rows: list[dict[str, Any]] = []
        for number, (language, licence_class, *licence) in list(enumerate(documents))[part::2]:
            length = int(rng.geometric(1 / mean_tokens))
            ids = [*(rng.zipf(1.5, length) % TEXT_IDS).tolist(), spec.special[spec.eod]]
            ordinal, start, count = writer.append(ids)
            rows.append(
                {
                    "uid": digest_of([source, interval, number]),
                    "ordinal": ordinal,
                    "token_start": start,
                    "token_count": count,
                    "byte_start": 0,
                    "byte_end": 5 * count,
                    "encoded_bytes": 4 * count,
                    "language": language,
                    "licence": licence[0] if licence else LICENCES.get(licence_class, licence_class),
                    "licence_class": licence_class,
                }
            )
        writer.close()
        total += len(rows)
        paths = {f"{s}_path": lake.put_object(base.with_suffix(f".{s}"), kind="tokens", suffix=f".{s}") for s in ("bin", "idx")}
        shard = {
            "source": source,
            "slice": interval,
            "part": part,
            "tokenizer_digest": tokenizer_digest or spec.digest(),
            "documents": writer.documents,
            "tokens": writer.tokens,
            **paths,
        }
        outputs.append(lake.write_shard("passports", slice_, part, pa.Table.from_pylist(rows)))
        outputs.append(lake.write_shard("token_shards", slice_, part, pa.Table.from_pylist([shard])))
    now = datetime.now(UTC)
    receipt = Receipt(
        run_id=new_run_id(),
        stage="tokenise",
        version="1",
        source=source,
        slice=interval,
        fingerprint=digest_of([o.digest for o in outputs]),
        code="",
        params={},
        params_digest="",
        inputs=(),
        outputs=tuple(outputs),
        tables=("passports", "token_shards"),
        counts=Counts(read=total, kept=total),
        started_at=now,
        finished_at=now,
        **here(),
    )
    lake.commit(StageCommit(receipt))
    return receipt


@pytest.fixture(scope="session")
def slice_writer() -> Callable[..., Receipt]:
    """`write_slice`, for fixtures that live longer than a test."""
    return write_slice


@pytest.fixture(scope="session")
def two_sources_writer(checkout: Path) -> Callable[[Path, Path], Lake]:
    """Call it with a folder and a vocabulary's file: a lake in the folder with `two_sources`, for fixtures that live longer than a test."""

    def go(folder: Path, spec_file: Path) -> Lake:
        places = {"base": str(checkout), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")}
        lake = Lake.open(Settings.model_validate(places))
        for source, documents in TWO_SOURCES.items():
            write_slice(lake, load_spec(spec_file), folder, source, documents)
        return lake

    return go


@pytest.fixture
def with_tokens(lake: Lake, spec: VocabularySpec, tmp_path: Path) -> Callable[..., Receipt]:
    """Call it with a source and (language, licence class) of each document."""
    return lambda source, documents, **kw: write_slice(lake, spec, tmp_path, source, documents, **kw)


@pytest.fixture
def two_sources(with_tokens: Callable[..., Receipt]) -> list[Receipt]:
    """Two sources, three languages, and one licence class that no recipe here allows."""
    return [with_tokens(source, documents) for source, documents in TWO_SOURCES.items()]
