"""The compiled inner loops of byte-pair encoding: vocabulary, merges, and a memory of pre-tokens.

Everything works on UTF-8 bytes; `pre_token_kernels` finds the pre-tokens. `merge` is tiktoken's algorithm: the pair of lowest rank first,
the leftmost of equals. A pre-token that was met before is copied from the memory; the memory is emptied when it is full, which changes
speed and never an id.

Imported only where text is encoded, because numba is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.encoding.utf8 import Int64
from headrace_tokenizers.text.bpe.pre_token_kernels import pre_token_end

_FAR = np.int64(1) << np.int64(62)
_SHORT = 96
"""Bytes up to which looking at all pairs for the lowest rank is quicker than keeping a heap of them."""
# The memory of pre-tokens. Columns of its rows: what is looked up, the ids (packed, or where they lie), how many they
# are, and where the text lies if the key is only a hash of it.
KEY, IDS, COUNT, TEXT = 0, 1, 2, 3
EMPTY = np.int64(-(1 << 63))
_EXACT = 7
"""Bytes of a pre-token that fit into its key, with their number."""
_INLINE, _ID_BITS, _ID_MASK = 3, 20, (1 << 20) - 1
MOST_TOKENS = 1 << _ID_BITS
# Its state.
ENTRIES, TEXT_END, IDS_END = 0, 1, 2
STATE_SLOTS = 3


@njit(cache=True)
def text_hash(data: Any, start: int, end: int) -> Int64:
    """FNV-1a of the bytes with a final mix, as a non-negative int64."""
    h = np.uint64(0xCBF29CE484222325)
    for i in range(start, end):
        h = (h ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(32)
    return np.int64(h & np.uint64(0x7FFFFFFFFFFFFFFF))


@njit(cache=True)
def _equal(a: Any, a_start: int, b: Any, b_start: int, size: int) -> bool:
    for i in range(size):  # noqa: SIM110 - numba compiles no generators
        if a[a_start + i] != b[b_start + i]:
            return False
    return True


# -- vocabulary --------------------------------------------------------------------------------------------------------


@njit(cache=True)
def build_tokens(text: Any, starts: Any, slots: Any) -> None:
    """Fill the hash table of tokens (`slots`, -1 where empty) from the concatenated bytes of all tokens."""
    mask = len(slots) - 1
    for token in range(len(starts) - 1):
        slot = text_hash(text, starts[token], starts[token + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = token


@njit(cache=True)
def token_of(data: Any, start: int, end: int, text: Any, starts: Any, slots: Any, h: int) -> Int64:
    """The token with exactly these bytes, or -1."""
    mask = len(slots) - 1
    slot = h & mask
    size = end - start
    while slots[slot] >= 0:
        token = slots[slot]
        if starts[token + 1] - starts[token] == size and _equal(data, start, text, starts[token], size):
            return token
        slot = (slot + 1) & mask
    return -1


@njit(cache=True)
def _pair_slot(left: int, right: int, mask: int) -> Int64:
    h = (np.uint64(left) << np.uint64(32)) | np.uint64(right)
    h *= np.uint64(0x9E3779B97F4A7C15)
    return np.int64((h >> np.uint64(20)) & np.uint64(mask))


@njit(cache=True)
def build_pairs(text: Any, starts: Any, slots: Any, pairs: Any, merged: Any) -> int:
    """Fill the table of merges, (left token, right token) → token, with every way to cut every token in two tokens.

    Returns:
        how many there are; negative if the table is too small.
    """
    mask = len(merged) - 1
    count = 0
    for token in range(len(starts) - 1):
        start, end = starts[token], starts[token + 1]
        for cut in range(start + 1, end):
            left = token_of(text, start, cut, text, starts, slots, text_hash(text, start, cut))
            if left < 0:
                continue
            right = token_of(text, cut, end, text, starts, slots, text_hash(text, cut, end))
            if right < 0:
                continue
            if 2 * count > mask:
                return -1
            slot = _pair_slot(left, right, mask)
            while merged[slot] >= 0:
                slot = (slot + 1) & mask
            pairs[slot, 0], pairs[slot, 1], merged[slot] = left, right, token
            count += 1
    return count


@njit(cache=True)
def _merged(left: int, right: int, pairs: Any, merged: Any) -> Int64:
    mask = len(merged) - 1
    slot = _pair_slot(left, right, mask)
    while merged[slot] >= 0:
        if pairs[slot, 0] == left and pairs[slot, 1] == right:
            return np.int64(merged[slot])
        slot = (slot + 1) & mask
    return -1


# -- merging -----------------------------------------------------------------------------------------------------------


@njit(cache=True)
def merge(data: Any, start: int, end: int, byte_tokens: Any, pairs: Any, merged: Any, out: Any, out_at: int) -> int:
    """Write the tokens of one pre-token to `out`, return where they end. A token's id is its rank."""
    if end - start <= _SHORT:
        return _merge_short(data, start, end, byte_tokens, pairs, merged, out, out_at)
    return _merge_long(data, start, end, byte_tokens, pairs, merged, out, out_at)


@njit(cache=True)
def _merge_short(data: Any, start: int, end: int, byte_tokens: Any, pairs: Any, merged: Any, out: Any, out_at: int) -> int:
    size = end - start
    tokens = np.empty(_SHORT, np.int64)
    ranks = np.empty(_SHORT, np.int64)
    for i in range(size):
        tokens[i] = byte_tokens[data[start + i]]
    for i in range(size - 1):
        rank = _merged(tokens[i], tokens[i + 1], pairs, merged)
        ranks[i] = rank if rank >= 0 else _FAR
    while size > 1:
        best, lowest = -1, _FAR
        for i in range(size - 1):
            if ranks[i] < lowest:
                best, lowest = i, ranks[i]
        if best < 0:
            break
        tokens[best] = lowest
        size -= 1
        for i in range(best + 1, size):
            tokens[i] = tokens[i + 1]
            ranks[i] = ranks[i + 1]
        if best < size - 1:
            rank = _merged(tokens[best], tokens[best + 1], pairs, merged)
            ranks[best] = rank if rank >= 0 else _FAR
        if best > 0:
            rank = _merged(tokens[best - 1], tokens[best], pairs, merged)
            ranks[best - 1] = rank if rank >= 0 else _FAR
    for i in range(size):
        out[out_at + i] = tokens[i]
    return out_at + size


@njit(cache=True)
def _push(heap: Any, size: int, key: int) -> int:
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if heap[above] <= key:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = key
    return size + 1


@njit(cache=True)
def _pop(heap: Any, size: int) -> int:
    """Take the smallest key away (it is heap[0] before the call), return the new size."""
    size -= 1
    key = heap[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= key:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = key
    return size


@njit(cache=True)
def _merge_long(data: Any, start: int, end: int, byte_tokens: Any, pairs: Any, merged: Any, out: Any, out_at: int) -> int:
    """O(n log n): a heap of (rank, position), a doubly linked list of tokens; stale heap entries are skipped."""
    size = end - start
    tokens = np.empty(size, np.int64)
    following = np.empty(size, np.int64)
    before = np.empty(size, np.int64)
    ranks = np.empty(size, np.int64)
    heap = np.empty(3 * size, np.int64)
    count = 0
    for i in range(size):
        tokens[i] = byte_tokens[data[start + i]]
        following[i] = i + 1 if i + 1 < size else -1
        before[i] = i - 1
        ranks[i] = _FAR
    for i in range(size - 1):
        rank = _merged(tokens[i], tokens[i + 1], pairs, merged)
        if rank >= 0:
            ranks[i] = rank
            count = _push(heap, count, (rank << 32) | i)
    while count > 0:
        key = heap[0]
        count = _pop(heap, count)
        rank, at = key >> 32, key & 0xFFFFFFFF
        if ranks[at] != rank:
            continue
        gone = following[at]
        tokens[at] = rank
        following[at] = following[gone]
        ranks[gone] = _FAR
        if following[at] >= 0:
            before[following[at]] = at
        ranks[at] = _FAR
        if following[at] >= 0:
            rank = _merged(tokens[at], tokens[following[at]], pairs, merged)
            if rank >= 0:
                ranks[at] = rank
                count = _push(heap, count, (rank << 32) | at)
        left = before[at]
        if left >= 0:
            rank = _merged(tokens[left], tokens[at], pairs, merged)
            ranks[left] = rank if rank >= 0 else _FAR
            if rank >= 0:
                count = _push(heap, count, (rank << 32) | left)
    at = 0
    while at >= 0:
        out[out_at] = tokens[at]
        out_at += 1
        at = following[at]
    return out_at


# -- documents ---------------------------------------------------------------------------------------------------------


@njit(cache=True)
def _key(data: Any, at: int, size: int) -> Int64:
    """What a pre-token is remembered under: its bytes and length, if they fit an int64; else a negative hash."""
    if size > _EXACT:
        return -1 - (text_hash(data, at, at + size) >> 1)
    key = np.int64(size) << 56
    for i in range(size):
        key |= np.int64(data[at + i]) << (8 * i)
    return key


@njit(cache=True)
def _slot(key: int, mask: int) -> Int64:
    h = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((h ^ (h >> np.uint64(32))) & np.uint64(mask))


@njit(cache=True)
def _remember(
    slot: int, key: int, data: Any, at: int, size: int, out: Any, first: int, made: int, memory: Any, text: Any, ids: Any, state: Any
) -> None:
    """Note the ids `out[first:first+made]` of a pre-token; the memory is emptied first if there is no room."""
    if state[ENTRIES] >= len(memory) // 2 or state[TEXT_END] + size > len(text) or state[IDS_END] + made > len(ids):
        memory[:, KEY] = EMPTY
        state[:] = 0
        slot = _slot(key, len(memory) - 1)
    memory[slot, KEY] = key
    memory[slot, COUNT] = made
    if size > _EXACT:
        memory[slot, TEXT] = (state[TEXT_END] << 20) | size
        for i in range(size):
            text[state[TEXT_END] + i] = data[at + i]
        state[TEXT_END] += size
    if made <= _INLINE:
        packed = np.int64(0)
        for i in range(made):
            packed |= np.int64(out[first + i]) << (_ID_BITS * i)
        memory[slot, IDS] = packed
    else:
        memory[slot, IDS] = state[IDS_END]
        for i in range(made):
            ids[state[IDS_END] + i] = out[first + i]
        state[IDS_END] += made
    state[ENTRIES] += 1


@njit(cache=True)
def encode_documents(
    data: Any,
    offsets: Any,
    tail: int,
    kinds: Any,
    token_text: Any,
    token_starts: Any,
    token_slots: Any,
    byte_tokens: Any,
    pairs: Any,
    merged: Any,
    memory: Any,
    memory_text: Any,
    memory_ids: Any,
    state: Any,
    out: Any,
    out_offsets: Any,
) -> None:
    """Encode documents `data[offsets[i]:offsets[i+1]]` to `out[out_offsets[i]:out_offsets[i+1]]`.

    Args:
        tail: id to append to every document, or -1.
        memory: int64[slots, 4], one pre-token a row; see the names of its columns.
    """
    mask = len(memory) - 1
    # A remembered pre-token takes at most a small part of the memory, so that emptying makes room for it.
    longest = min(len(memory_text) // 64, len(memory_ids), (1 << 20) - 1)
    at_out = 0
    out_offsets[0] = 0
    for document in range(len(offsets) - 1):
        at, end = offsets[document], offsets[document + 1]
        while at < end:
            stop = pre_token_end(data, at, end, kinds)
            size = stop - at
            key = _key(data, at, size)
            slot = _slot(key, mask)
            found = False
            while memory[slot, KEY] != EMPTY:
                if memory[slot, KEY] == key:
                    where = memory[slot, TEXT]
                    if key >= 0 or (where & 0xFFFFF == size and _equal(data, at, memory_text, where >> 20, size)):
                        made = memory[slot, COUNT]
                        packed = memory[slot, IDS]
                        if made <= _INLINE:
                            for i in range(made):
                                out[at_out + i] = (packed >> (_ID_BITS * i)) & _ID_MASK
                        else:
                            for i in range(made):
                                out[at_out + i] = memory_ids[packed + i]
                        at_out += made
                        found = True
                        break
                slot = (slot + 1) & mask
            if not found:
                first = at_out
                whole = token_of(data, at, stop, token_text, token_starts, token_slots, text_hash(data, at, stop))
                if whole >= 0:
                    out[at_out] = whole
                    at_out += 1
                else:
                    at_out = merge(data, at, stop, byte_tokens, pairs, merged, out, at_out)
                if size <= longest:
                    _remember(slot, key, data, at, size, out, first, at_out - first, memory, memory_text, memory_ids, state)
            at = stop
        if tail >= 0:
            out[at_out] = tail
            at_out += 1
        out_offsets[document + 1] = at_out
