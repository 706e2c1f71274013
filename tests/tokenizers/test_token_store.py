"""The token store is Megatron's, byte by byte, and its passports find every token's document."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_lake.errors import InputError, StageError
from headrace_lake.strict import load_yaml
from headrace_lake.tables import TABLES
from headrace_tokenizers.store import Passports, ShardReader, ShardWriter
from headrace_tokenizers.text.tokenise import Tokenise, TokeniseParams
from headrace_tokenizers.text.vocabulary import load_spec

SPEC = Path(__file__).parents[2] / "tokenizers" / "configs" / "qwen_text.yaml"
DOCUMENTS = st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=30), min_size=1, max_size=20)


def write(folder: Path, documents: list[list[int]]) -> tuple[Path, Path]:
    files = folder / "shard.bin", folder / "shard.idx"
    writer = ShardWriter(*files)
    for ids in documents:
        writer.append(ids)
    writer.close()
    return files


@given(DOCUMENTS)
def test_what_is_written_is_read_back_and_every_token_knows_its_document(documents: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reader = ShardReader(*write(Path(folder), documents))
        assert [reader.tokens(i).tolist() for i in range(len(reader))] == documents
        assert reader.all_tokens.tolist() == [t for d in documents for t in d]
        owners = [i for i, d in enumerate(documents) for _ in d]
        assert [reader.ordinal_at(t) for t in range(len(owners))] == owners


def test_megatron_reads_our_files_and_writes_the_same_bytes(tmp_path: Path) -> None:
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder

    random = np.random.default_rng(0)
    documents = [random.integers(0, 151_646, int(n)).tolist() for n in random.integers(1, 200, 50)]
    ours = write(tmp_path, documents)
    theirs = IndexedDataset(str(ours[0].with_suffix("")), mmap=True)
    assert len(theirs) == 50 and theirs.document_indices.tolist() == list(range(51))
    assert all(np.array_equal(theirs[i], documents[i]) for i in range(50))
    builder = IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.int32)
    for ids in documents:
        builder.add_document(torch.tensor(ids), [len(ids)])
    builder.finalize(str(tmp_path / "theirs.idx"))
    assert (tmp_path / "theirs.idx").read_bytes() == ours[1].read_bytes() and (tmp_path / "theirs.bin").read_bytes() == ours[0].read_bytes()
    assert [ShardReader(tmp_path / "theirs.bin", tmp_path / "theirs.idx").tokens(i).tolist() for i in range(50)] == documents


def test_a_half_written_or_foreign_shard_is_named(tmp_path: Path) -> None:
    b, i = write(tmp_path, [[1, 2], [3]])
    for file, data, message in (
        (b, b.read_bytes()[:-1], "not a whole number"), (b, b.read_bytes()[:-4], "do not match"), (i, i.read_bytes()[:-1], "half-written"),
        (i, i.read_bytes()[:10], "shorter than its header"), (i, b"X" * 60, "not a Megatron"),
    ):  # fmt: skip
        good = file.read_bytes()
        file.write_bytes(data)
        with pytest.raises(InputError, match=message):
            ShardReader(b, i)
        file.write_bytes(good)
    with pytest.raises(InputError, match="No such file"):
        ShardReader(tmp_path / "none.bin", i)
    with pytest.raises(InputError, match="document 2 of a shard with 2"):
        ShardReader(b, i).tokens(2)


@pytest.mark.parametrize("ids", [[], [-1], [2**31]])
def test_ids_that_int32_or_the_format_cannot_hold_are_refused(tmp_path: Path, ids: list[int]) -> None:
    writer = ShardWriter(tmp_path / "a.bin", tmp_path / "a.idx")
    with pytest.raises(InputError):
        writer.append(ids)
    assert (writer.documents, writer.tokens) == (0, 0)
    writer.close()


class Part:
    """A part writer on a local folder."""

    source, slice, part = "src", "2026-11-01", 3

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_file(self, local_path: str, *, kind: str, suffix: str) -> str:
        shutil.copy(local_path, self.root / f"{kind}{suffix}")
        return f"{kind}{suffix}"

    def local_path(self, relative: str) -> str:
        return str(self.root / relative)


def admitted(*texts: str | None) -> pa.Table:
    columns: dict[str, Any] = {"uid": [f"u{i}" for i in range(len(texts))], "documents.text": pa.array(texts, pa.large_string())}
    return pa.table({**columns, **{k: pa.array(["x"] * len(texts), pa.string()) for k in ("language", "licence", "licence_class")}})


def test_tokenise_writes_one_shard_a_part_and_a_passport_a_document(tmp_path: Path) -> None:
    stage, part = Tokenise(load_yaml(SPEC, TokeniseParams)), Part(tmp_path)
    stage.setup()
    stage.begin(part, {})
    texts = ["Hello world", "水渠<|endoftext|>", "", "e\u0301"]
    out = pa.concat_tables([stage.process(admitted(*texts[:2])), stage.process(admitted(*texts[2:]))])
    [shard] = stage.finish(part)["token_shards"].to_pylist()
    assert (shard["part"], shard["documents"], shard["tokens"]) == (3, 4, sum(out["token_count"].to_pylist()))
    assert shard["tokenizer_digest"] == load_spec(SPEC).digest()
    reader, passports = ShardReader(tmp_path / shard["bin_path"], tmp_path / shard["idx_path"]), Passports(out)
    vocabulary = stage._vocabulary
    for row, text in zip(out.to_pylist(), texts, strict=True):
        ids = reader.tokens(row["ordinal"]).tolist()
        assert ids == vocabulary.encode(text, eod=True) and ids.count(vocabulary.eod) == 1
        assert (row["byte_start"], row["byte_end"]) == (0, len(text.encode()))
        assert row["encoded_bytes"] == len(text.encode()), "also where NFC makes another text of it"
        for t in range(row["token_start"], row["token_start"] + row["token_count"]):
            assert passports.at(t)["ordinal"] == row["ordinal"] == reader.ordinal_at(t)
    with pytest.raises(InputError, match="no passport covers token"):
        passports.uid_at(shard["tokens"])
    assert set(TABLES["passports"].schema.names) - {"source", "slice", "part"} <= set(out.column_names)


def test_a_batch_that_fails_leaves_nothing_in_the_shard(tmp_path: Path) -> None:
    stage, part = Tokenise(load_yaml(SPEC, TokeniseParams)), Part(tmp_path)
    stage.setup()
    stage.begin(part, {})
    with pytest.raises(StageError, match="u1 has no text"):
        stage.process(admitted("good", None))
    stage.process(admitted("good"))
    assert stage.finish(part)["token_shards"]["documents"].to_pylist() == [1]


def test_masked_kinds_are_written_as_their_mask_and_others_stay(tmp_path: Path) -> None:
    params = load_yaml(SPEC, TokeniseParams).model_copy(update={"masks": {"email": "[EMAIL]"}})
    stage, part = Tokenise(params), Part(tmp_path)
    assert stage.inputs().sidecars["verdict_pii"] == ("kinds", "starts", "ends")
    stage.setup()
    stage.begin(part, {})
    text = "é jane@mill.org, 10.1.1.1"
    spans = {"kinds": [["email", "ip"], []], "starts": [[3, 18], []], "ends": [[16, 26], []]}
    batch = admitted(text, "none")
    for name, values in spans.items():
        batch = batch.append_column(f"verdict_pii.{name}", pa.array(values, pa.list_(pa.string() if name == "kinds" else pa.int64())))
    out = stage.process(batch)
    [shard] = stage.finish(part)["token_shards"].to_pylist()
    ids = ShardReader(tmp_path / shard["bin_path"], tmp_path / shard["idx_path"]).tokens(0).tolist()
    assert stage._vocabulary.decode(ids, special=False) == "é [EMAIL], 10.1.1.1"
    assert out["byte_end"][0].as_py() == len(text.encode())
    assert out["encoded_bytes"].to_pylist() == [len("é [EMAIL], 10.1.1.1".encode()), 4]
    unseen = batch.drop_columns(["verdict_pii.kinds"]).append_column("verdict_pii.kinds", pa.array([None, []], pa.list_(pa.string())))
    with pytest.raises(StageError, match="u0 was never looked at for personal data"):
        stage.process(unseen)


def test_spans_that_a_verdict_cuts_are_not_in_the_shard(tmp_path: Path) -> None:
    params = load_yaml(SPEC, TokeniseParams).model_copy(update={"cut": ("refinedweb",)})
    stage, part = Tokenise(params), Part(tmp_path)
    assert stage.inputs().sidecars["verdict_refinedweb"] == ("starts", "ends") and "verdict_pii" not in stage.inputs().sidecars
    stage.setup()
    stage.begin(part, {})
    texts = ["The mill.\n3 likes\nThe wheel. Read more...", "none"]
    batch = admitted(*texts)
    for name, values in {"starts": [[10, 28], []], "ends": [[17, 41], []]}.items():
        batch = batch.append_column(f"verdict_refinedweb.{name}", pa.array(values, pa.list_(pa.int64())))
    out = stage.process(batch)
    [shard] = stage.finish(part)["token_shards"].to_pylist()
    reader = ShardReader(tmp_path / shard["bin_path"], tmp_path / shard["idx_path"])
    shown = [stage._vocabulary.decode(reader.tokens(i).tolist(), special=False) for i in range(2)]
    assert shown == ["The mill.\nThe wheel.", "none"]
    assert out["byte_end"].to_pylist() == [len(t) for t in texts]
    assert out["encoded_bytes"].to_pylist() == [len(t) for t in shown]
    unseen = batch.drop_columns(["verdict_refinedweb.starts"])
    unseen = unseen.append_column("verdict_refinedweb.starts", pa.array([None, []], pa.list_(pa.int64())))
    with pytest.raises(StageError, match="u0 was never looked at for what 'refinedweb' cuts"):
        stage.process(unseen)


def test_an_empty_part_has_no_shard_and_no_files(tmp_path: Path) -> None:
    stage, part = Tokenise(load_yaml(SPEC, TokeniseParams)), Part(tmp_path)
    stage.setup()
    stage.begin(part, {})
    tables = stage.finish(part)
    assert tables["token_shards"].num_rows == 0 and tables["token_shards"].schema.equals(TABLES["token_shards"].schema)
    assert not list(tmp_path.iterdir())
