"""The order in which documents are visited, without a stored shuffle.

- Inside a bucket: a keyed Feistel permutation with cycle walking. Document number `i` of epoch `e` is computed from
  (seed, bucket, e, i) alone, so ten trillion tokens need no index build.
- Between buckets: the bucket whose drawn tokens lag furthest behind its weight comes next. Realised shares stay within
  one document of the target at every moment.

The whole state is one cursor per bucket and the tokens drawn in the current phase. A bucket that is new in a later mix
starts at its first document; the others go on where they were.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_jobs.mix.compile import Mix
from headrace_lake.errors import ConfigError, InputError

U64 = npt.NDArray[np.uint64]
_ROUNDS = 6
_BLOCK = 1024


def key_of(*parts: object) -> int:
    """64 bits from a seed and names."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest(), "little")


def mix64(x: U64) -> U64:
    """SplitMix64's finaliser (Steele et al. 2014): a bijection of 64 bits that looks random."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def permute(index: npt.NDArray[np.int64], size: int, key: int) -> npt.NDArray[np.int64]:
    """Where each index of 0..size-1 goes under the keyed permutation.

    A balanced Feistel network permutes the smallest even number of bits that holds `size`; a value outside walks on
    until it is inside again (Black & Rogaway 2002). That is at most four steps on average.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    keys = mix64(np.arange(1, _ROUNDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(key))
    out = index.astype(np.uint64)
    waiting = np.ones(len(out), dtype=bool)
    while waiting.any():
        x = out[waiting]
        left, right = x >> shift, x & mask
        for k in keys:
            left, right = right, left ^ (mix64(right ^ k) & mask)
        x = (left << shift) | right
        out[waiting] = x
        waiting[waiting] = x >= np.uint64(size)
    return out.astype(np.int64)


@dataclass(frozen=True)
class Draw:
    """The next document: its bucket, its row in the bucket, its epoch, and the phase it counts for."""

    bucket: int
    document: int
    epoch: int
    phase: int


class DocumentStream:
    """The endless-looking, finite stream of documents of a mix: iterate, save with `state`, go on with `restore`."""

    def __init__(self, mix: Mix) -> None:
        self.mix = mix
        self.phase = 0
        n = len(mix.buckets)
        self.cursors = np.zeros(n, dtype=np.int64)
        self.drawn = np.zeros(n, dtype=np.int64)
        self._sizes = np.array([b.documents for b in mix.buckets], dtype=np.int64)
        self._limits = np.floor(self._sizes * mix.recipe.caps.epochs).astype(np.int64)
        self._blocks: dict[int, tuple[int, npt.NDArray[np.int64]]] = {}

    def next(self) -> Draw | None:
        """The next document, or None when the current phase has its tokens (`advance` then starts the next one)."""
        plan = self.mix.phases[self.phase]
        total = int(self.drawn.sum())
        if total >= plan.tokens:
            return None
        lag = plan.weights * (total + 1) - self.drawn
        lag[(plan.weights <= 0) | (self.cursors >= self._limits)] = -np.inf
        bucket = int(np.argmax(lag))
        if lag[bucket] == -np.inf:
            return None  # every pool of the phase is at its cap; `compile` allows that for the last document only
        cursor = int(self.cursors[bucket])
        epoch, at = divmod(cursor, int(self._sizes[bucket]))
        document = self._permuted(bucket, epoch, at)
        self.cursors[bucket] += 1
        self.drawn[bucket] += self.mix.tokens_of(bucket, document)
        return Draw(bucket, document, epoch, self.phase)

    def advance(self) -> bool:
        """Start the next phase; False if there is none."""
        if self.phase + 1 >= len(self.mix.phases):
            return False
        self.phase += 1
        self.drawn[:] = 0
        return True

    def _permuted(self, bucket: int, epoch: int, at: int) -> int:
        size = int(self._sizes[bucket])
        start = at - at % _BLOCK
        tag = epoch * (size + _BLOCK) + start
        cached = self._blocks.get(bucket)
        if cached is None or cached[0] != tag:
            key = key_of(self.mix.recipe.seed, self.mix.buckets[bucket].key, epoch)
            cached = (tag, permute(np.arange(start, min(start + _BLOCK, size), dtype=np.int64), size, key))
            self._blocks[bucket] = cached
        return int(cached[1][at - start])

    def state(self) -> dict[str, Any]:
        """The cursors as JSON."""
        buckets = {b.key: [int(c), int(d), b.digest] for b, c, d in zip(self.mix.buckets, self.cursors, self.drawn, strict=True) if c or d}
        return {"mix": self.mix.fingerprint, "phase": self.mix.phases[self.phase].name, "seed": self.mix.recipe.seed, "buckets": buckets}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state, also with a later mix that has more sources or phases.

        Raises:
            ConfigError: the phase is gone, or the seed differs.
            InputError: a bucket's documents changed since; its order would repeat or lose some.
        """
        names = [p.name for p in self.mix.phases]
        if state["phase"] not in names:
            raise ConfigError(f"the checkpoint is in phase '{state['phase']}', the recipe has {', '.join(names)}", "keep the phase's name")
        if state["seed"] != self.mix.recipe.seed:
            raise ConfigError(f"the checkpoint was made with seed {state['seed']}, the recipe says {self.mix.recipe.seed}", "keep the seed")
        self.phase = names.index(state["phase"])
        index = {b.key: i for i, b in enumerate(self.mix.buckets)}
        self.cursors[:] = 0
        self.drawn[:] = 0
        total = sum(int(drawn) for _, drawn, _ in state["buckets"].values())
        for key, (cursor, drawn, digest) in state["buckets"].items():
            if key not in index:
                continue  # a source that left: nothing of it is drawn any more
            i = index[key]
            if cursor and self.mix.buckets[i].digest != digest:
                raise InputError(f"bucket {key} has other documents than when the checkpoint was written", "compile the mix from its tag")
            self.cursors[i], self.drawn[i] = cursor, drawn
        if state["mix"] != self.mix.fingerprint:
            # New weights count from here on: a source that has just joined must not catch up on the whole phase.
            self.drawn[:] = np.floor(self.mix.phases[self.phase].weights * total).astype(np.int64)
