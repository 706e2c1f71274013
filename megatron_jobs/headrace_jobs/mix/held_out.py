"""Which documents are never trained on: those with the smallest keyed hash of their uid.

Nothing but the uid and the recipe's key decides, so a document that was held out once is held out in every later mix,
whatever joins the pool (`fraction`; not so for `documents`, as the recipe says).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace_jobs.mix.recipe import HeldOut
from headrace_lake.errors import InputError

SMALLEST_POOL = 4
"""A language gives one document of so many at most: one with three documents is not scored, rather than not trained on."""


def uid_bytes(uids: pa.ChunkedArray) -> list[bytes]:
    """Uids as 16 bytes each.

    Raises:
        InputError: a uid is not 32 hex digits.
    """
    try:
        out = [bytes.fromhex(u) for u in uids.to_pylist()]
    except ValueError as exc:
        raise InputError("passports hold a uid that is not hexadecimal", "tokenise the slice again") from exc
    if any(len(u) != 16 for u in out):
        raise InputError("passports hold a uid that is not 32 hex digits", "tokenise the slice again")
    return out


def held_out_mask(rows: pa.Table, rule: HeldOut) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
    """Which rows are held out, and the keyed hash of each row (bool [N], uint64 [N])."""
    key = hashlib.blake2b(rule.key.encode(), digest_size=16).digest()
    ranks = np.array(
        [int.from_bytes(hashlib.blake2b(u, digest_size=8, key=key).digest(), "big") for u in uid_bytes(rows["uid"])], dtype=np.uint64
    )
    if rule.documents is None:
        return ranks < np.uint64(int(rule.fraction * 2**64)), ranks
    mask = np.zeros(len(ranks), dtype=bool)
    languages = np.array(rows["language"].to_pylist(), dtype=object)
    for language in sorted(set(languages)):
        mine = np.flatnonzero(languages == language)
        most = min(rule.documents, len(mine) // SMALLEST_POOL)
        mask[mine[np.argsort(ranks[mine], kind="stable")[:most]]] = True
    return mask, ranks
