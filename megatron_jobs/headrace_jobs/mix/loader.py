"""Packed batches from a compiled mix: exact resume at any number of data ranks.

Legend: B = micro batch, S = sequence length. A document of n tokens takes n places: its input is the end-of-document
token followed by all tokens but the last, its labels are all its tokens. So every token is a label once, the first one
given the end-of-document token, and no label ever crosses a document's border.

Every rank walks the same rows and reads the tokens of its own only: row j belongs to rank (j // B) mod ranks. State is
taken between global batches and is the same on all ranks, so a run may go on with more or fewer of them.
Walking costs some 10 µs a document in Python: for ranks that need more than 100,000 documents a second, walk once and share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_jobs.mix.compile import Mix
from headrace_jobs.mix.order import DocumentStream
from headrace_jobs.mix.packing import WINDOW_ROWS, Piece, cut, pack_window
from headrace_lake.errors import ConfigError
from headrace_lake.lake import Lake
from headrace_tokenizers.store import ShardReader

STATE_VERSION = 1
PADDING_SEGMENT = -1


@dataclass(frozen=True)
class Span:
    """Where a run of a row's labels comes from.

    Attributes:
        row, start: row of the micro batch, first place in it.
        length: places.
        uid: the document.
        document_start: first token in the document; greater than 0 means the document was cut.
    """

    row: int
    start: int
    length: int
    bucket: str
    uid: str
    document_start: int


@dataclass
class Batch:
    """One micro batch.

    Attributes:
        positions_BS: restart at every document.
        segments_BS: ordinal of the document in its row; -1 is padding.
        loss_mask_BS: 1 for tokens of documents, 0 for padding.
    """

    tokens_BS: npt.NDArray[np.int64]
    labels_BS: npt.NDArray[np.int64]
    loss_mask_BS: npt.NDArray[np.float32]
    positions_BS: npt.NDArray[np.int64]
    segments_BS: npt.NDArray[np.int32]
    spans: list[Span] = field(default_factory=list)


class PackedLoader:
    """Iterates the micro batches of one data rank; ends when the last phase has its tokens.

    The last global batch is filled up with rows of padding, so all ranks end together.
    """

    def __init__(self, mix: Mix, lake: Lake, *, sequence_length: int, micro_batch: int, data_rank: int = 0, data_ranks: int = 1) -> None:
        if sequence_length < 2 or micro_batch < 1 or not 0 <= data_rank < data_ranks:
            raise ConfigError(
                f"loader: sequence_length {sequence_length}, micro_batch {micro_batch}, data_rank {data_rank} of {data_ranks}",
                "give a length of at least 2, a batch of at least 1, and a rank below the number of ranks",
            )
        self.mix = mix
        self.lake = lake
        self.sequence_length = sequence_length
        self.micro_batch = micro_batch
        self.data_rank = data_rank
        self.data_ranks = data_ranks
        self.stream = DocumentStream(mix)
        self.rows = 0
        self.places = 0
        self._pending: list[list[Piece]] = []
        self._carry: list[Piece] = []
        self._window = 0
        self._ended = False
        self._readers: dict[int, ShardReader] = {}

    @property
    def phase(self) -> str:
        """Name of the phase that documents are drawn for now."""
        return self.mix.phases[self.stream.phase].name

    @property
    def fill(self) -> float:
        """Share of places that hold tokens, over all rows so far (all ranks)."""
        return self.places / (self.rows * self.sequence_length) if self.rows else 1.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        mine: list[list[Piece]] = []
        taken = 0
        for rank in range(self.data_ranks):
            for _ in range(self.micro_batch):
                row = self._next_row()
                taken += row is not None
                if rank == self.data_rank:
                    mine.append(row or [])
        if taken == 0:
            raise StopIteration
        return self._batch(mine)

    def _next_row(self) -> list[Piece] | None:
        while not self._pending and not self._ended:
            self._fill_window()
        if not self._pending:
            return None
        row = self._pending.pop(0)
        self.rows += 1
        self.places += sum(p.length for p in row)
        return row

    def _fill_window(self) -> None:
        """Draw documents for one window and pack them. A phase's end closes its window: phases share no row."""
        capacity = self.sequence_length
        pieces, self._carry = self._carry, []
        room = WINDOW_ROWS * capacity - sum(p.length for p in pieces)
        phase_ends = False
        while room > 0:
            draw = self.stream.next()
            if draw is None:
                phase_ends = True
                break
            tokens = self.mix.tokens_of(draw.bucket, draw.document)
            pieces += cut(draw.bucket, draw.document, tokens, capacity)
            room -= tokens
        rows, self._carry = pack_window(pieces, capacity, flush=phase_ends)
        # Packing sorts by length; the rows' order must not.
        order = np.random.Generator(np.random.Philox(key=[self.mix.recipe.seed & (2**64 - 1), self._window])).permutation(len(rows))
        self._pending = [rows[i] for i in order.tolist()]
        self._window += 1
        if phase_ends and not self.stream.advance():
            self._ended = True

    def _batch(self, rows: list[list[Piece]]) -> Batch:
        shape = (len(rows), self.sequence_length)
        tokens_BS = np.full(shape, self.mix.eod, dtype=np.int64)
        labels_BS = np.full(shape, self.mix.eod, dtype=np.int64)
        loss_mask_BS = np.zeros(shape, dtype=np.float32)
        positions_BS = np.zeros(shape, dtype=np.int64)
        segments_BS = np.full(shape, PADDING_SEGMENT, dtype=np.int32)
        spans = []
        for r, pieces in enumerate(rows):
            at = 0
            for ordinal, p in enumerate(pieces):
                end = at + p.length
                ids = self._tokens(p.bucket, p.document)
                labels_BS[r, at:end] = ids[p.start : p.start + p.length]
                tokens_BS[r, at] = ids[p.start - 1] if p.start else self.mix.eod
                tokens_BS[r, at + 1 : end] = ids[p.start : p.start + p.length - 1]
                loss_mask_BS[r, at:end] = 1
                positions_BS[r, at:end] = np.arange(p.length)
                segments_BS[r, at:end] = ordinal
                spans.append(Span(r, at, p.length, self.mix.buckets[p.bucket].key, self.mix.uid_of(p.bucket, p.document), p.start))
                at = end
            positions_BS[r, at:] = np.arange(self.sequence_length - at)
        return Batch(tokens_BS, labels_BS, loss_mask_BS, positions_BS, segments_BS, spans)

    def _tokens(self, bucket: int, document: int) -> npt.NDArray[np.int32]:
        shard, ordinal = self.mix.place_of(bucket, document)
        return shard_reader(self.lake, self.mix, shard, self._readers).tokens(ordinal)

    def state_dict(self) -> dict[str, Any]:
        """Cursors and packed-ahead rows as JSON; the same on every rank."""
        keys = [b.key for b in self.mix.buckets]

        def saved(pieces: list[Piece]) -> list[list[Any]]:
            return [[keys[p.bucket], p.document, p.start, p.length, p.age] for p in pieces]

        return {
            "version": STATE_VERSION,
            "sequence_length": self.sequence_length,
            "stream": self.stream.state(),
            "digests": {keys[b]: self.mix.buckets[b].digest for b in sorted({p.bucket for r in [*self._pending, self._carry] for p in r})},
            "pending": [saved(row) for row in self._pending],
            "carry": saved(self._carry),
            "window": self._window,
            "rows": self.rows,
            "places": self.places,
            "ended": self._ended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken, on any number of ranks, also with a later mix.

        Raises:
            ConfigError: another sequence length, seed or missing phase.
            InputError: documents that were packed ahead are not in this mix.
        """
        if state["version"] != STATE_VERSION or state["sequence_length"] != self.sequence_length:
            raise ConfigError(
                f"loader state v{state['version']} is of sequence length {state['sequence_length']}, this run has {self.sequence_length}",
                "change the sequence length at a phase's start with a fresh loader",
            )
        self.stream.restore(state["stream"])
        index = {b.key: i for i, b in enumerate(self.mix.buckets)}
        gone = [k for k, d in state["digests"].items() if k not in index or self.mix.buckets[index[k]].digest != d]
        if gone:
            raise ConfigError(
                f"documents packed ahead belong to {gone[0]}, which this mix does not hold unchanged",
                "resume with the checkpoint's own mix",
            )

        def read(pieces: list[list[Any]]) -> list[Piece]:
            return [Piece(index[k], *numbers) for k, *numbers in pieces]

        self._pending = [read(row) for row in state["pending"]]
        self._carry = read(state["carry"])
        self._window, self.rows, self.places = state["window"], state["rows"], state["places"]
        self._ended = state["ended"] and self.stream.phase + 1 >= len(self.mix.phases)
        if state["ended"] and not self._ended:
            self.stream.advance()  # a phase was added after the last one


def shard_reader(lake: Lake, mix: Mix, shard: int, opened: dict[int, ShardReader]) -> ShardReader:
    """The memory-mapped reader of a shard of the mix, opened once."""
    if shard not in opened:
        ref = mix.shards[shard]
        opened[shard] = ShardReader(lake.storage.local_path(ref.bin_path), lake.storage.local_path(ref.idx_path))
    return opened[shard]
