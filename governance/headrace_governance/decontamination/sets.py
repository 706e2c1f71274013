"""Evaluation sets in the lake: each is a slice of source `evaluation`, registered from a file or from held-out documents.

Registering the same content again changes nothing; another content replaces the slice in one commit, and the table's history
(`headrace table history evaluation_items`) keeps what was there before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_governance.decontamination.index import Index
from headrace_governance.decontamination.items import Rows, SetAbout, item_row
from headrace_governance.decontamination.rules import DecontaminationParams
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import code_digest, digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Receipt, ShardFile
from headrace_lake.slices import Slice
from headrace_lake.stage_run import StageRun

SOURCE = "evaluation"
REGISTER, COUNT = "register", "count_common"
SITE_DOCUMENTS = 10
"""GPT-3's bound for boilerplate, here for whole lines within a slice."""
_COMMON = Slice(SOURCE, "common")
_ROWS_PER_PART = 50_000


def register(lake: Lake, about: SetAbout, rows: Rows) -> Receipt:
    """Commit a set; one that is there already with this content is adopted."""
    slice_ = Slice(SOURCE, about.name)
    content = digest_of([[[r[c] for c in ("uid", "language", "digest", "origin")] for r in rows.items], [list(b) for b in rows.bad]])
    params = {"set": about.model_dump(mode="json"), "content": content}
    if (current := _adopted(lake, slice_, REGISTER, params)) is not None:
        return current
    run = _run(slice_, REGISTER, params)
    same = {"licence": about.licence, "revision": about.revision or content[:12]}
    shards = []
    for part, first in enumerate(range(0, len(rows.items), _ROWS_PER_PART)):
        chunk = rows.items[first : first + _ROWS_PER_PART]
        shards.append(lake.write_shard("evaluation_items", slice_, part, pa.Table.from_pylist([{**r, **same} for r in chunk])))
    if rows.bad:
        failed = [{"uid": digest_of([about.name, n]), "stage": REGISTER, "error": f"row {n}: {e}", "row": row} for n, e, row in rows.bad]
        shards.append(lake.write_shard("quarantine", slice_, 0, pa.Table.from_pylist(failed)))
    return _commit(lake, run, shards, ("evaluation_items", "quarantine"), rows.read, rows.kept, len(rows.bad))


def forget(lake: Lake, name: str) -> Receipt:
    """Take a set away; its earlier versions stay in the table's history.

    Raises:
        InputError: no such set.
    """
    slice_ = Slice(SOURCE, name)
    if not lake.slice_files("evaluation_items", slice_):
        raise InputError(f"no evaluation set '{name}' is registered", "'headrace decontaminate sets' lists them")
    return _commit(lake, _run(slice_, REGISTER, {"forget": name}), [], ("evaluation_items", "quarantine"))


def held_out_rows(lake: Lake, set_: str, documents: Iterable[tuple[Slice, str]]) -> Rows:
    """Held-out documents of our own as items, a paragraph (line) each; a document is not contamination of itself.

    A line that stands in more than `SITE_DOCUMENTS` documents of the slice belongs to the site (its footer, its licence) and is left
    out: otherwise one held-out page would take every page of its site out of training.

    Args:
        documents: slice and uid of each.

    Raises:
        InputError: a document is not in the lake.
    """
    rows = Rows()
    wanted: dict[Slice, list[str]] = {}
    for slice_, uid in documents:
        wanted.setdefault(slice_, []).append(uid)
    for slice_, uids in sorted(wanted.items()):
        texts = _column_of(lake, slice_, "documents", "text")
        languages = _column_of(lake, slice_, "verdict_language", "language")
        for uid in sorted(uids):
            if uid not in texts:
                raise InputError(f"document {uid} is not in {slice_}", "the lake no longer holds what the mix was made from")
        often = _often(texts.values(), {line for uid in uids for line in _lines(texts[uid])})
        for uid in sorted(uids):
            language, origin = languages.get(uid, "und"), f"{slice_}/{uid}"
            lines = [line for line in _lines(texts[uid]) if line not in often]
            rows.read += 1
            rows.kept += 1
            rows.items += [item_row(set_, uid, "document", n, t, language=language, origin=origin) for n, t in enumerate(lines)]
    return rows


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _often(texts: Iterable[str], lines: set[str]) -> set[str]:
    """Those of the lines that stand in more than `SITE_DOCUMENTS` texts."""
    counts = Counter(line for text in texts for line in set(_lines(text)) & lines)
    return {line for line, n in counts.items() if n > SITE_DOCUMENTS}


def _column_of(lake: Lake, slice_: Slice, table: str, column: str) -> dict[str, str]:
    rows = lake.read(table, slice_, columns=["uid", column])
    return dict(zip(rows["uid"].to_pylist(), rows[column].to_pylist(), strict=True))


def held_out_of_mix(lake: Lake, name: str) -> list[tuple[Slice, str]]:
    """Slice and uid of every document that the newest mix of this name holds out, as the mix's own record says.

    Raises:
        InputError: no such mix.
    """
    artifact = lake.find_artifact("mix", name=name)
    if artifact is None:
        known = ", ".join(sorted({a.name for a in lake.artifacts("mix")}))
        raise InputError(f"no mix '{name}' in the lake", f"mixes: {known or 'none'}")
    record = json.loads(lake.storage.read_bytes(artifact.path))
    shards = [Slice(s["source"], s["slice"]) for s in record["shards"]]
    held_out = pq.read_table(lake.storage.local_path(record["objects"]["held_out"]), columns=["shard", "uid"])
    pairs = zip(held_out["shard"].to_pylist(), held_out["uid"].to_pylist(), strict=True)
    return [(shards[shard], uid.hex()) for shard, uid in pairs]


def count_common(lake: Lake, params: DecontaminationParams, slices: Sequence[Slice] = (), *, at_least: int = 4) -> tuple[Receipt, int]:
    """Count in how many documents each run of words of the registered items stands, and commit those of at least `at_least`.

    Duplicates do not count, where their verdicts are made: a leaked page that was fetched twenty times is not a common phrase.
    Returns the receipt and the number of documents.
    """
    items = lake.read("evaluation_items", columns=["set", "uid", "text"]).sort_by([("set", "ascending"), ("uid", "ascending")])
    if not items.num_rows:
        raise InputError("no evaluation set is registered", "'headrace decontaminate register' adds one")
    index = Index(items["text"].combine_chunks(), params, every_seed=True)
    counts = np.zeros(len(index.seeds), np.int64)
    documents = 0
    chosen = list(slices) or lake.slices("documents")
    for slice_ in chosen:
        where = f"source = '{slice_.source}' and slice = '{slice_.interval}'"
        duplicates = _dropped(lake, slice_)
        for rows in lake.stream("documents", columns=["uid", "text"], where=where):
            rows = rows.filter(pc.invert(pc.is_in(rows["uid"], value_set=duplicates)))
            index.add_document_counts(rows["text"].combine_chunks(), counts)
            documents += rows.num_rows
    often = np.flatnonzero(counts >= at_least)
    found = {"key": index.seeds[often], "words": [index.seed_text(int(i)) for i in often], "documents": counts[often]}
    table = pa.table(found, schema=pa.schema([("key", pa.uint64()), ("words", pa.string()), ("documents", pa.int64())]))
    record = {"at_least": at_least, "slices": [str(s) for s in chosen], "documents": documents, "rules": params.model_dump(mode="json")}
    record["content"] = digest_of([table["key"].to_pylist(), table["documents"].to_pylist()])
    if (current := _adopted(lake, _COMMON, COUNT, record)) is not None:
        return current, documents
    shards = [lake.write_shard("common_ngrams", _COMMON, 0, table)] if table.num_rows else []
    return _commit(lake, _run(_COMMON, COUNT, record), shards, ("common_ngrams",), table.num_rows, table.num_rows), documents


def _dropped(lake: Lake, slice_: Slice) -> pa.Array:
    """Documents of a slice that a duplicate verdict drops."""
    found = [pa.array([], pa.string())]
    for table in ("verdict_exact_duplicate", "verdict_near_duplicate"):
        rows = lake.read(table, slice_, columns=["uid", "keep"])
        found.append(rows.filter(pc.invert(rows["keep"]))["uid"].combine_chunks())
    return pa.concat_arrays(found)


def _fingerprint(slice_: Slice, stage: str, params: dict[str, Any]) -> str:
    return digest_of({"stage": stage, "slice": str(slice_), "params": params})


def _adopted(lake: Lake, slice_: Slice, stage: str, params: dict[str, Any]) -> Receipt | None:
    current = lake.current_receipts(slice_).get(stage)
    return current if current is not None and current.fingerprint == _fingerprint(slice_, stage, params) else None


def _run(slice_: Slice, stage: str, params: dict[str, Any]) -> StageRun:
    return StageRun(slice_, stage, "1", code_digest(__name__), params)


def _commit(
    lake: Lake, run: StageRun, shards: Sequence[ShardFile], tables: tuple[str, ...], read: int = 0, kept: int = 0, failed: int = 0
) -> Receipt:
    before = lake.current_receipts(run.slice_).get(run.stage)
    fingerprint = _fingerprint(run.slice_, run.stage, dict(run.params))
    receipt = run.receipt(fingerprint, outputs=shards, tables=tables, read=read, kept=kept, failed=failed)
    lake.commit(StageCommit(receipt, expects=before.run_id if before is not None else ""))
    return receipt
