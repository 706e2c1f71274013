"""Stage `minhash`: documents → `minhash_signatures`, what near duplicates are found from.

The signature depends on the text and the parameters alone and is stored once; comparing slices never reads a text again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, Stage
from headrace_lake.strict import StrictModel


class MinhashParams(StrictModel):
    """Parameters of `minhash`.

    Attributes:
        width: units of a shingle; 5 as in FineWeb (Penedo et al. 2024).
        hashes: MinHash values of a signature; 112 as in FineWeb (14 bands of 8).
        seed: of the hash functions.
    """

    width: int = Field(default=5, ge=1, le=64)
    hashes: int = Field(default=112, ge=8, le=1024)
    seed: int = 1


class Minhash(Stage):
    """Documents → `minhash_signatures`."""

    name = "minhash"
    output = "minhash_signatures"
    Params = MinhashParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=1 << 30)
    batch_rows = 1024

    params: MinhashParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"))

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._signer = Signer(self.params)

    def process(self, batch: pa.Table) -> pa.Table:
        signed = self._signer.sign(batch["text"])
        return pa.table(
            {
                "uid": batch["uid"],
                **signed,
                DROP_REASON: pa.nulls(batch.num_rows, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )


class Signer:
    """Signs columns of texts."""

    def __init__(self, params: MinhashParams) -> None:
        from headrace_governance.duplicates.near import kernels
        from headrace_governance.duplicates.near.characters import fold_table

        self._kernels = kernels
        self._fold = fold_table()
        self._width = params.width
        numbers = splitmix(params.seed, 2 * params.hashes)
        self._a, self._b = numbers[: params.hashes] | np.uint64(1), numbers[params.hashes :]

    def sign(self, texts: pa.ChunkedArray | pa.Array) -> dict[str, pa.Array]:
        """Columns `shingles`, `signature`, `facts` and `fact_counts`; see the table's schema."""
        from headrace_governance.encoding.utf8 import buffers

        column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        column = column.cast(pa.large_string())
        n, hashes = len(column), len(self._a)
        raw, places = buffers(column)
        signatures = np.full((n, hashes), 0xFFFFFFFF, np.uint32)
        facts = np.full((n, 2, self._kernels.FACTS), 0xFFFFFFFF, np.uint32)
        counts, shingles = np.zeros((n, 2), np.int32), np.zeros(n, np.int64)
        self._kernels.sign_documents(raw, places, self._fold, self._width, self._a, self._b, signatures, facts, counts, shingles)
        return {
            "shingles": pa.array(shingles),
            "signature": as_binary(signatures, "<u4"),
            "facts": as_binary(facts, "<u4"),
            "fact_counts": as_binary(counts, "<i4"),
        }


def splitmix(seed: int, n: int) -> npt.NDArray[np.uint64]:
    """The first n numbers of splitmix64 (Steele et al. 2014): the same on every machine and version."""
    mask = (1 << 64) - 1
    out, state = [], seed & mask
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return np.array(out, np.uint64)


def as_binary(rows: npt.NDArray[Any], dtype: str) -> pa.Array:
    """One binary value a row: the row's numbers in little-endian order."""
    flat = np.ascontiguousarray(rows.astype(dtype, copy=False))
    width = flat[0].nbytes if len(flat) else 0
    offsets = np.arange(len(flat) + 1, dtype=np.int64) * width
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(flat), [None, pa.py_buffer(offsets), pa.py_buffer(flat)])


def from_binary(column: pa.ChunkedArray | pa.Array, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The rows that `as_binary` wrote, as one array [n, *shape]."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = array.cast(pa.large_binary())
    if not len(array):
        return np.zeros((0, *shape), dtype)
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return np.frombuffer(data, np.uint8)[places[0] : places[-1]].view(dtype).reshape(len(array), *shape)
