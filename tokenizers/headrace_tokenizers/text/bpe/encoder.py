"""The encoder of one byte-level BPE vocabulary: Arrow text in, flat int32 ids and offsets out."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.encoding.utf8 import buffers
from headrace_lake.errors import ConfigError
from headrace_tokenizers.text.bpe.characters import character_table

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

MEMORY_SLOTS = 1 << 20
MEMORY_TEXT_BYTES = 16 << 20
MEMORY_IDS = 8 << 20
"""The memory of pre-tokens: at most 32 MiB of slots, 16 MiB of text and 32 MiB of ids."""
CHUNK_BYTES = 4 << 20
"""Text encoded in one call; the ids of a call need at most four bytes for each of text."""


class Encoder:
    """Byte-level BPE with Qwen's pre-token pattern. Not for two threads at once: they would share the memory.

    Args:
        ranks: token bytes → rank, 0 .. n-1, all 256 single bytes among them.
        nfc: normalise to NFC first.

    Raises:
        ConfigError: the ranks are not byte-level vocabulary.
    """

    def __init__(self, ranks: dict[bytes, int], *, nfc: bool) -> None:
        from headrace_tokenizers.text.bpe import kernels, pre_token_kernels

        self._kernels = kernels
        self._needs_normalising = pre_token_kernels.needs_normalising
        self.nfc = nfc
        self._kinds = character_table()
        ordered = sorted(ranks, key=ranks.__getitem__)
        if [ranks[t] for t in ordered] != list(range(len(ordered))):
            raise ConfigError("the vocabulary's ranks are not 0, 1, 2, ...", "check the ranks file")
        if len(ordered) > kernels.MOST_TOKENS:
            raise ConfigError(f"the vocabulary has {len(ordered)} tokens, the encoder takes {kernels.MOST_TOKENS}", "use a smaller one")
        if any(bytes([b]) not in ranks for b in range(256)):
            raise ConfigError("the vocabulary lacks single bytes, so some text would have no ids", "check the ranks file")
        self._text: Bytes = np.frombuffer(b"".join(ordered), np.uint8)
        self._starts: Offsets = np.concatenate([[0], np.cumsum([len(t) for t in ordered])]).astype(np.int64)
        self._slots: Ids = np.full(_power_of_two(2 * len(ordered)), -1, np.int32)
        kernels.build_tokens(self._text, self._starts, self._slots)
        self._byte_tokens: Offsets = np.array([ranks[bytes([b])] for b in range(256)], np.int64)
        self._pairs, self._merged = self._merges()
        self._memory: Offsets = np.full((MEMORY_SLOTS, 4), kernels.EMPTY, np.int64)
        self._memory_text: Bytes = np.zeros(MEMORY_TEXT_BYTES, np.uint8)
        self._memory_ids: Ids = np.zeros(MEMORY_IDS, np.int32)
        self._state: Offsets = np.zeros(kernels.STATE_SLOTS, np.int64)

    def _merges(self) -> tuple[Ids, Ids]:
        slots = _power_of_two(8 * len(self._starts))
        while True:
            pairs, merged = np.zeros((slots, 2), np.int32), np.full(slots, -1, np.int32)
            if self._kernels.build_pairs(self._text, self._starts, self._slots, pairs, merged) >= 0:
                return pairs, merged
            slots *= 2

    def encode(self, texts: pa.Array | pa.ChunkedArray | Sequence[str], *, tail: int = -1) -> tuple[Ids, Offsets]:
        """Ids of documents.

        Args:
            texts: strings without nulls and without lone surrogates.
            tail: id appended to every document; -1 for none.

        Returns:
            int32 ids of all documents one after another, int64[n + 1] where each begins.
        """
        column = pa.array(texts, pa.large_string()) if not isinstance(texts, pa.Array | pa.ChunkedArray) else texts.cast(pa.large_string())
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if len(column) == 0:
            return np.zeros(0, np.int32), np.zeros(1, np.int64)
        data, offsets = buffers(column)
        if self.nfc:
            column = self._normalised(column, data, offsets)
            data, offsets = buffers(column)
        parts: list[Ids] = []
        lengths: list[Offsets] = []
        for first, last in _chunks(offsets):
            out = np.empty(int(offsets[last] - offsets[first]) + (last - first), np.int32)
            ends = np.zeros(last - first + 1, np.int64)
            self._kernels.encode_documents(
                data, offsets[first : last + 1], tail, self._kinds,
                self._text, self._starts, self._slots, self._byte_tokens, self._pairs, self._merged,
                self._memory, self._memory_text, self._memory_ids, self._state, out, ends,
            )  # fmt: skip
            parts.append(out[: ends[-1]].copy())
            lengths.append(np.diff(ends))
        return np.concatenate(parts), np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)

    def _normalised(self, column: pa.Array, data: Bytes, offsets: Offsets) -> pa.Array:
        """The column in NFC. Python's own algorithm is asked only for documents that hold a code point it may change."""
        doubtful = [i for i in range(len(column)) if self._needs_normalising(data, offsets[i], offsets[i + 1], self._kinds)]
        changed = {i: new for i in doubtful if (new := unicodedata.normalize("NFC", old := column[i].as_py())) != old}
        if not changed:
            return column
        mask = np.zeros(len(column), bool)
        mask[list(changed)] = True
        return pc.replace_with_mask(column, pa.array(mask), pa.array(list(changed.values()), pa.large_string()))

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token."""
        return self._text[self._starts[token] : self._starts[token + 1]].tobytes()


def _chunks(offsets: Any) -> list[tuple[int, int]]:
    """Ranges of documents of about `CHUNK_BYTES` each."""
    borders = [0]
    while borders[-1] < len(offsets) - 1:
        reach = int(np.searchsorted(offsets, offsets[borders[-1]] + CHUNK_BYTES, side="right")) - 1
        borders.append(min(max(reach, borders[-1] + 1), len(offsets) - 1))
    return list(itertools.pairwise(borders))


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
