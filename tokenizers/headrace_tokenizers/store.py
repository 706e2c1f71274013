"""The token store: Megatron's `.bin/.idx` files, written and read with numpy alone.

Layout (megatron-core `indexed_dataset.py`, version 1), little endian:

    .idx   "MMIDIDX\\0\\0" | u64 version 1 | u8 dtype code 4 (int32) | u64 sequences | u64 documents + 1
           int32 length of each sequence | int64 byte offset of each sequence | int64 document borders 0..documents
    .bin   the int32 ids of all sequences, one after another

One document is one sequence, so `ordinal` in a passport is both. Neither file holds a time or a name: the same
tokens give the same bytes. A shard without documents has no files, because an empty file cannot be mapped.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace_lake.errors import InputError

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
INT32 = 4
"""Megatron's code for int32."""
_HEADER = struct.Struct("<9sQBQQ")
ITEM = 4
"""Bytes of one token id."""
_AGAIN = "the file is half-written: tokenise the slice again"

Ids = npt.NDArray[np.int32]


class ShardWriter:
    """Writes one shard: `append` each document's ids, then `close`.

    Args:
        bin_path, idx_path: files to create.
    """

    def __init__(self, bin_path: str | Path, idx_path: str | Path) -> None:
        self._bin = open(bin_path, "wb")  # noqa: SIM115 - closed by close()
        self._idx_path = Path(idx_path)
        self._lengths: list[int] = []
        self.tokens = 0

    @property
    def documents(self) -> int:
        """Documents written so far."""
        return len(self._lengths)

    def append(self, ids: Sequence[int] | Ids) -> tuple[int, int, int]:
        """Write one document.

        Returns:
            its ordinal, its first token and its token count.

        Raises:
            InputError: no ids, or an id outside int32.
        """
        wide = np.asarray(ids, dtype=np.int64)
        if wide.size == 0:
            raise InputError("a document without tokens cannot be stored", "drop it before tokenising")
        if wide.min() < 0 or wide.max() > np.iinfo(np.int32).max:
            raise InputError(f"token id outside 0..{np.iinfo(np.int32).max}", "check the vocabulary")
        self._bin.write(wide.astype("<i4").tobytes())
        where = (len(self._lengths), self.tokens, int(wide.size))
        self._lengths.append(int(wide.size))
        self.tokens += int(wide.size)
        return where

    def append_all(self, ids: Ids, starts: npt.NDArray[np.int64]) -> tuple[int, int]:
        """Write many documents at once.

        Args:
            ids: int32 ids of all of them; starts: int64[n + 1], where each begins.

        Returns:
            ordinal and first token of the first.

        Raises:
            InputError: a document without ids, or an id below 0.
        """
        lengths = np.diff(starts)
        if len(lengths) and lengths.min() <= 0:
            raise InputError("a document without tokens cannot be stored", "drop it before tokenising")
        if ids.size and ids.min() < 0:
            raise InputError(f"token id outside 0..{np.iinfo(np.int32).max}", "check the vocabulary")
        self._bin.write(ids.astype("<i4", copy=False).tobytes())
        where = (len(self._lengths), self.tokens)
        self._lengths += lengths.tolist()
        self.tokens += int(ids.size)
        return where

    def close(self) -> None:
        """Finish both files."""
        self._bin.close()
        lengths = np.asarray(self._lengths, dtype="<i4")
        starts = np.zeros(len(lengths), dtype="<i8")
        np.cumsum(lengths[:-1].astype(np.int64) * ITEM, out=starts[1:])
        borders = np.arange(len(lengths) + 1, dtype="<i8")
        with open(self._idx_path, "wb") as f:
            f.write(_HEADER.pack(MAGIC, VERSION, INT32, len(lengths), len(borders)))
            for column in (lengths, starts, borders):
                f.write(column.tobytes())


class ShardReader:
    """Reads one shard by memory map: opening costs no more than the header, a document is a slice without a copy.

    Attributes:
        lengths: int32 tokens of each document.
        starts: int64 first token of each document.

    Raises:
        InputError: a file is missing, half-written or not a Megatron int32 shard.
    """

    def __init__(self, bin_path: str | Path, idx_path: str | Path) -> None:
        raw, name = _map(Path(idx_path)), Path(idx_path).name
        if raw.size < _HEADER.size:
            raise InputError(f"{name}: shorter than its header", _AGAIN)
        magic, version, code, sequences, documents = _HEADER.unpack(raw[: _HEADER.size].tobytes())
        if magic != MAGIC or version != VERSION or code != INT32:
            raise InputError(f"{name}: not a Megatron int32 index", "read it with the tool that wrote it")
        if raw.size != _HEADER.size + 12 * sequences + 8 * documents:
            raise InputError(f"{name}: {raw.size} bytes do not match {sequences} documents", _AGAIN)
        at = _HEADER.size
        self.lengths: Ids = np.frombuffer(raw, dtype="<i4", count=sequences, offset=at)
        self.starts: npt.NDArray[np.int64] = np.frombuffer(raw, dtype="<i8", count=sequences, offset=at + 4 * sequences) // ITEM
        self._tokens: Ids = _map(Path(bin_path)).view("<i4") if _whole(Path(bin_path)) else np.zeros(0, np.int32)
        if len(self._tokens) != int(self.lengths.sum(dtype=np.int64)):
            raise InputError(f"{Path(bin_path).name}: {len(self._tokens)} tokens do not match {name}", "tokenise the slice again")

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def all_tokens(self) -> Ids:
        """Every token of the shard, int32, mapped."""
        return self._tokens

    def tokens(self, ordinal: int) -> Ids:
        """The ids of one document, int32, mapped.

        Raises:
            InputError: no such document.
        """
        if not 0 <= ordinal < len(self.lengths):
            raise InputError(f"document {ordinal} of a shard with {len(self.lengths)}", "check the passport")
        start = int(self.starts[ordinal])
        return self._tokens[start : start + int(self.lengths[ordinal])]

    def ordinal_at(self, token: int) -> int:
        """Which document holds a token of the `.bin`, by bisection."""
        if not 0 <= token < len(self._tokens):
            raise InputError(f"token {token} of a shard with {len(self._tokens)}", "check the offset")
        return int(np.searchsorted(self.starts, token, side="right")) - 1


class Passports:
    """Passports of one shard, ordered, so that a token offset finds its document in O(log n).

    Args:
        rows: passport rows of one (source, slice, part), in any order.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows.sort_by([("token_start", "ascending")])
        self._starts = self.rows["token_start"].to_numpy()
        self._ends = self._starts + self.rows["token_count"].to_numpy()

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, token: int) -> dict[str, object]:
        """The passport of the document that holds a token.

        Raises:
            InputError: no passport covers the token.
        """
        i = int(np.searchsorted(self._starts, token, side="right")) - 1
        if i < 0 or token >= self._ends[i]:
            raise InputError(f"no passport covers token {token}", "token shard and passports are of different versions")
        row: dict[str, object] = self.rows.slice(i, 1).to_pylist()[0]
        return row

    def uid_at(self, token: int) -> str:
        """The document that holds a token."""
        return str(self.at(token)["uid"])


def _whole(path: Path) -> bool:
    try:
        size = path.stat().st_size
    except OSError as exc:
        raise InputError(f"{path.name}: {exc.strerror}", "tokenise the slice again") from exc
    if size % ITEM:
        raise InputError(f"{path.name}: {size} bytes are not a whole number of int32 ids", _AGAIN)
    return size > 0


def _map(path: Path) -> npt.NDArray[np.uint8]:
    try:
        return np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
    except OSError as exc:
        raise InputError(f"{path.name}: {exc.strerror}", "tokenise the slice again") from exc
