"""The texts of a slice as they were encoded: masked and cut, before NFC; for scorers that bring a tokenizer of their own.

Nothing of this is stored twice: the stored texts are masked and cut again by the verdicts and parameters of the receipt that wrote the
shards, and each is compared with the length in its passport. Cost: the texts of the whole slice are read.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.text.pii.mask import mask_column
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.slices import Slice
from headrace_lake.strict import parse
from headrace_tokenizers.text.tokenise import TokeniseParams


def encoded_texts(lake: Lake, slice_: Slice, uids: Iterable[str]) -> dict[str, str]:
    """Uid → the text that its tokens were made of.

    Args:
        uids: documents of the slice that have passports.

    Raises:
        InputError: the slice was never tokenised, a document has no passport, or its text or verdicts are others than those that
            were tokenised.
    """
    receipt = lake.current_receipts(slice_).get("tokenise")
    if receipt is None:
        raise InputError(f"slice {slice_} was never tokenised", f"run 'headrace slice run text {slice_}'")
    params = parse(receipt.params, TokeniseParams, where=f"receipt of tokenise, slice {slice_}")
    wanted = pa.array(sorted(set(uids)), pa.string())

    def rows(table: str, *columns: str) -> pa.Table:
        found = lake.read(table, slice_, columns=["uid", *columns])
        found = found.filter(pc.is_in(found["uid"], value_set=wanted)).sort_by("uid")
        if found["uid"].to_pylist() != wanted.to_pylist():
            lost = sorted(set(wanted.to_pylist()) - set(found["uid"].to_pylist()))
            raise InputError(f"{table} of slice {slice_} have no document {lost[0] if lost else ''}", "run the slice again")
        return found

    lengths = rows("passports", "encoded_bytes")["encoded_bytes"]
    pii = tuple(rows("verdict_pii", "kinds", "starts", "ends").columns[1:]) if params.masks else None
    cuts = [tuple(rows(f"verdict_{verdict}", "starts", "ends").columns[1:]) for verdict in params.cut]
    texts = mask_column(rows("documents", "text")["text"], pii, params.masks, cuts)
    differs = pc.not_equal(pc.binary_length(texts).cast(pa.int64()), lengths)
    if pc.any(differs).as_py():
        first = wanted.filter(differs.combine_chunks())[0].as_py()
        raise InputError(f"document {first} of slice {slice_} has another text than the one that was tokenised", "tokenise the slice again")
    return dict(zip(wanted.to_pylist(), texts.to_pylist(), strict=True))
