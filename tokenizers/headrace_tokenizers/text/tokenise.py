"""Stage `tokenise`: admitted documents → one Megatron token shard a part, with a passport for every document.

Each document is encoded whole, with its personal data masked and without the lines that a verdict cuts, and ends with the
end-of-document token. The passport keeps the document's uid, its tokens in the `.bin`, its bytes in the stored text, and the length of
the encoded text. Memory: one batch of text; ids go to the file as they are made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headrace_governance.text.pii.mask import mask_column
from headrace_lake.errors import StageError
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, Stage
from headrace_lake.tables import TABLES
from headrace_tokenizers.store import ShardWriter
from headrace_tokenizers.text.vocabulary import Vocabulary, VocabularySpec, vocabulary


class TokeniseParams(VocabularySpec):
    """The vocabulary, and what is masked and cut.

    Attributes:
        masks: kind of personal data (see `verdict_pii`) → what stands for it in the shards. Kinds that are not named stay as
            they are; without any, the verdict is not read.
        cut: verdicts (tables without `verdict_`) with columns `starts` and `ends`, whose spans are left out of the shards.
    """

    masks: dict[str, str] = Field(default_factory=dict)
    cut: tuple[str, ...] = ()

    def vocabulary_spec(self) -> VocabularySpec:
        """The vocabulary alone."""
        return VocabularySpec.model_validate(self.model_dump(exclude={"masks", "cut"}))


class Tokenise(Stage):
    """Documents that every verdict keeps → `passports`, `token_shards` and two files a part."""

    name = "tokenise"
    output = "passports"
    also: ClassVar[tuple[str, ...]] = ("token_shards",)
    Params = TokeniseParams
    resources = Resources(cpus=1, memory_bytes=1 << 30)

    params: TokeniseParams

    def inputs(self) -> Inputs:
        sidecars: dict[str, tuple[str, ...]] = {"documents": ("text",)}
        if self.params.masks:
            sidecars["verdict_pii"] = ("kinds", "starts", "ends")
        for verdict in self.params.cut:
            sidecars.setdefault(f"verdict_{verdict}", ("starts", "ends"))
        return Inputs("admitted", ("uid", "language", "licence", "licence_class"), sidecars)

    def setup(self) -> None:
        self._vocabulary: Vocabulary = vocabulary(self.params.vocabulary_spec())

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="headrace-tokenise-")
        base = Path(self._folder.name)
        self._bin, self._idx = base / "shard.bin", base / "shard.idx"
        self._writer = ShardWriter(self._bin, self._idx)

    def process(self, batch: pa.Table) -> pa.Table:
        texts = batch["documents.text"]
        if texts.null_count:
            missing = batch["uid"].filter(pc.is_null(texts))[0].as_py()
            raise StageError(f"admitted document {missing} has no text", "run 'extract' for the slice again")
        # Encode everything before the first write: a failing batch is bisected and must leave nothing behind.
        encoded = self._masked(batch)
        ids, starts = self._vocabulary.encode_column(encoded, eod=True)
        ordinal, token_start = self._writer.append_all(ids, starts)
        return pa.table(
            {
                "uid": batch["uid"],
                "ordinal": np.arange(ordinal, ordinal + len(texts)),
                "token_start": token_start + starts[:-1],
                "token_count": np.diff(starts),
                "byte_start": np.zeros(len(texts), np.int64),
                "byte_end": pc.binary_length(texts).cast(pa.int64()),
                "encoded_bytes": pc.binary_length(encoded).cast(pa.int64()),
                "language": batch["language"],
                "licence": batch["licence"],
                "licence_class": batch["licence_class"],
                DROP_REASON: pa.nulls(len(texts), pa.string()),
                DROP_DETAIL: pa.nulls(len(texts), pa.string()),
            }
        )

    def _masked(self, batch: pa.Table) -> pa.ChunkedArray:
        """The texts as they are encoded."""

        def spans(verdict: str, names: tuple[str, ...], what: str) -> tuple[pa.ChunkedArray, ...]:
            columns = tuple(batch[f"verdict_{verdict}.{name}"] for name in names)
            if columns[0].null_count:
                missing = batch["uid"].filter(pc.is_null(columns[0]))[0].as_py()
                raise StageError(
                    f"admitted document {missing} was never looked at for {what}", f"put '{verdict}' before 'select' in the pipeline"
                )
            return columns

        pii = spans("pii", ("kinds", "starts", "ends"), "personal data") if self.params.masks else None
        cuts = [spans(verdict, ("starts", "ends"), f"what '{verdict}' cuts") for verdict in self.params.cut]
        return mask_column(batch["documents.text"], pii, self.params.masks, cuts)

    def finish(self, part: PartWriter) -> dict[str, pa.Table]:
        self._writer.close()
        try:
            return {"token_shards": self._shard(part)}
        finally:
            self._folder.cleanup()

    def _shard(self, part: PartWriter) -> pa.Table:
        rows = []
        if self._writer.documents:
            rows.append(
                {
                    "source": part.source,
                    "slice": part.slice,
                    "part": part.part,
                    "tokenizer_digest": self._vocabulary.digest,
                    "bin_path": part.put_file(str(self._bin), kind="tokens", suffix=".bin"),
                    "idx_path": part.put_file(str(self._idx), kind="tokens", suffix=".idx"),
                    "documents": self._writer.documents,
                    "tokens": self._writer.tokens,
                }
            )
        return pa.Table.from_pylist(rows, schema=TABLES["token_shards"].schema)
