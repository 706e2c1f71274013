"""Compile a recipe against the lake: which documents may be drawn, from which buckets, with which weights.

A bucket is (source, slice, language, licence class), and the quality tier if the recipe asks for tiers. The compiled mix holds one
row per admissible document (shard, ordinal, tokens, encoded bytes, uid: about 40 bytes) in one Parquet object, and a receipt. It reads
`passports`, `token_shards` (and `verdict_quality`) at one snapshot each, tagged `mix-<fingerprint>`, so the same mix can be compiled
again.

Refused here, not in training: slices that are out of date (`headrace_lake.engine.stale`; allowed by name only, and then recorded in the
mix), another vocabulary's shards, licences with duties that the recipe does not accept (those documents never enter the arrays), passports
whose class is not their licence's (`mix/licences.py`), empty pools, and budgets that do not close within the cap on epochs.
"""

from __future__ import annotations

import fnmatch
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_governance.sources.licences.policy import LicencePolicy
from headrace_jobs.mix.held_out import held_out_mask, uid_bytes
from headrace_jobs.mix.licences import allowed_mask, derived, described, policy_of, refused_rows
from headrace_jobs.mix.plan import Bucket, PhasePlan, check_closing, grouped, phase_weights
from headrace_jobs.mix.recipe import UNJUDGED, Recipe
from headrace_lake.engine import StaleStage, first_causes, stale_error, stale_stages
from headrace_lake.engine.stale import NAMED
from headrace_lake.errors import ConfigError, InputError, LakeError
from headrace_lake.fingerprint import code_digest, digest_bytes, digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.slices import Slice
from headrace_lake.strict import parse
from headrace_tokenizers.text.vocabulary import load_spec

_TABLES = ("passports", "token_shards")
_QUALITY = "verdict_quality"
_COMPUTES = ("headrace_jobs.mix", "headrace_governance.sources.licences")
"""Whose code decides what a mix is; readers of shards and vocabularies only bring its input."""
_COLUMNS = ["uid", "source", "slice", "part", "ordinal", "token_count", "encoded_bytes", "language", "licence", "licence_class"]

_TIER_COLUMNS = ["uid", "source", "slice", "tier"]


@dataclass(frozen=True)
class ShardRef:
    """One token shard; paths are relative to the lake's root."""

    source: str
    slice: str
    part: int
    bin_path: str
    idx_path: str


class Mix:
    """A compiled mix.

    Attributes:
        documents: training documents, sorted by bucket: `bucket`, `shard`, `ordinal`, `tokens` (end-of-document token included),
            `encoded_bytes` (UTF-8 of what was tokenised, see `passports`), `uid` (16 bytes).
        held_out: held-out documents, the same columns and `language`; sorted by language and keyed hash.
    """

    def __init__(self, record: dict[str, Any], documents: pa.Table, held_out: pa.Table) -> None:
        self.fingerprint: str = record["fingerprint"]
        self.recipe: Recipe = parse(record["recipe"], Recipe, where="compiled mix")
        self.tokenizer_digest: str = record["tokenizer_digest"]
        self.eod: int = record["eod"]
        self.vocabulary: int = record["vocabulary"]
        self.shards = tuple(ShardRef(**s) for s in record["shards"])
        self.buckets = tuple(Bucket(**b) for b in record["buckets"])
        self.phases = tuple(PhasePlan(p["name"], p["tokens"], np.array(p["weights"], dtype=np.float64)) for p in record["phases"])
        self.record = record
        self.documents = documents
        self.held_out = held_out
        self.starts = np.concatenate([[0], np.cumsum([b.documents for b in self.buckets])]).astype(np.int64)
        self._tokens = documents["tokens"].to_numpy()
        self._shard = documents["shard"].to_numpy()
        self._ordinal = documents["ordinal"].to_numpy()

    def tokens_of(self, bucket: int, document: int) -> int:
        """Tokens of a document, the end-of-document token included."""
        return int(self._tokens[self.starts[bucket] + document])

    def place_of(self, bucket: int, document: int) -> tuple[int, int]:
        """Shard number and ordinal of a document."""
        row = self.starts[bucket] + document
        return int(self._shard[row]), int(self._ordinal[row])

    def uid_of(self, bucket: int, document: int) -> str:
        """The document's uid, 32 hex digits."""
        return bytes(self.documents["uid"][int(self.starts[bucket]) + document].as_py()).hex()


def compile_mix(lake: Lake, recipe: Recipe, *, allow_stale: bool = False, known: bool = False) -> tuple[Mix, str]:
    """The mix of a recipe and the lake as it is now.

    Args:
        allow_stale: take slices that are out of date too; the mix then records which, and why.
        known: take a mix of the same fingerprint that is there already as it is, whatever has become of its slices since. For
            training, which goes on with what was compiled.

    Returns:
        the mix, and `adopted` (the same fingerprint was compiled before) or `computed`.

    Raises:
        ConfigError: an empty pool, or a recipe that does not close; says the smallest repair.
        InputError: shards of another vocabulary, no passports at all, or one whose class is not its licence's.
        StaleError: slices of the recipe are out of date.
    """
    spec = load_spec(lake.settings.resolve(recipe.tokenizer))
    tables = (*_TABLES, _QUALITY) if recipe.by_tier else _TABLES
    snapshots = {t: _snapshot(lake, t) for t in tables}
    inputs = sorted(f"{f.table}:{f.digest}" for t in tables for f in lake.read_files(t, snapshots[t]) if _wanted(recipe, f.path))
    policy = policy_of(lake)
    params = {"recipe": recipe.mix_record(), "licences": policy.record()}
    fingerprint = digest_of(
        {"kind": "mix", "inputs": inputs, "params": params, "tokenizer": spec.digest(), "code": code_digest(__name__, within=_COMPUTES)}
    )
    found = lake.find_artifact("mix", fingerprint=fingerprint)
    if found is not None and not lake.storage.exists(found.path):
        found = None
    if found is not None and known:
        return load_mix(lake, found), "adopted"
    stale = out_of_date(lake, recipe)
    if stale and not allow_stale:
        raise stale_error(stale, f"recipe {recipe.name}", f"{_mend(lake, stale)}; or '--allow-stale' takes them as they are, and says so")
    if found is not None and (stale or not found.payload.get("stale")):
        return load_mix(lake, found), "adopted"
    tag = f"mix-{fingerprint[:16]}"
    if lake.tag(tag, tables) != snapshots:
        raise LakeError("the lake's tables moved while the mix was being compiled", "run it again")
    passports = derived(_passports(lake, recipe, snapshots["passports"]), policy)
    if recipe.by_tier:
        passports = _with_tiers(passports, _in_slices(recipe, lake.read(_QUALITY, columns=_TIER_COLUMNS, snapshot=snapshots[_QUALITY])))
    shards = _shards(lake, recipe, snapshots["token_shards"], spec.digest())
    record, documents, held_out = _compiled(recipe, passports, shards, policy)
    record |= {
        "fingerprint": fingerprint,
        "recipe": recipe.model_dump(mode="json"),
        "tokenizer_digest": spec.digest(),
        "eod": spec.special[spec.eod],
        "vocabulary": spec.padded_to,
        "tag": tag,
        "snapshots": snapshots,
        "stale": {str(slice_): cause for slice_, cause in first_causes(stale).items()},
    }
    stages = {"tokenise": "token_shards"} | ({"quality": _QUALITY} if recipe.by_tier else {})
    parents = sorted(
        {r.fingerprint for name, table in stages.items() for r in lake.receipts(stage=name) if _current(lake, r, table, shards)}
    )
    return _store(lake, record, documents, held_out, parents), "computed"


def out_of_date(lake: Lake, recipe: Recipe) -> list[StaleStage]:
    """The stages of the recipe's slices that are out of date, told from receipts and file lists."""
    there = lake.slices("token_shards")
    return stale_stages(lake, [s for s in there if any(fnmatch.fnmatchcase(str(s), p) for p in recipe.slices)])


def _mend(lake: Lake, stale: Sequence[StaleStage]) -> str:
    """The command that brings slices up to date."""
    slices = list(first_causes(stale))
    named = {r.pipeline for slice_ in slices[:1] for r in lake.receipts(slice_) if r.pipeline} or {"text"}
    listed = " ".join(map(str, slices)) if len(slices) <= NAMED else "--stale"
    return f"run 'headrace slice run {sorted(named)[0]} {listed}'"


def load_mix(lake: Lake, artifact: Artifact) -> Mix:
    """A compiled mix from the lake."""
    record = json.loads(lake.storage.read_bytes(artifact.path))
    tables = [pq.read_table(lake.storage.local_path(record["objects"][name])) for name in ("documents", "held_out")]
    return Mix(record, *tables)


def mix_slices(lake: Lake, artifact: Artifact) -> list[Slice]:
    """The slices whose shards a compiled mix reads."""
    record = json.loads(lake.storage.read_bytes(artifact.path))
    return sorted({Slice(s["source"], s["slice"]) for s in record["shards"]}, key=str)


def newest_mix(lake: Lake, recipe: str) -> Artifact:
    """The newest compiled mix of a recipe.

    Raises:
        InputError: there is none yet.
    """
    found = lake.find_artifact("mix", name=recipe)
    if found is None:
        raise InputError(f"recipe '{recipe}' has no compiled mix in the lake", f"run 'headrace mix compile {recipe}'")
    return found


def _snapshot(lake: Lake, table: str) -> int:
    snapshot = lake.table(table).current_snapshot()
    if snapshot is None:
        what = "no document has a quality tier" if table == _QUALITY else "nothing has been tokenised"
        raise InputError(f"table {table} is empty: {what}", "run 'headrace slice run text SOURCE/INTERVAL' first")
    return int(snapshot.snapshot_id)


def _wanted(recipe: Recipe, path: str) -> bool:
    source, interval = path.split("/")[2:4]
    return any(fnmatch.fnmatchcase(f"{source}/{interval}", p) for p in recipe.slices)


def _in_slices(recipe: Recipe, rows: pa.Table) -> pa.Table:
    names = pc.binary_join_element_wise(rows["source"], rows["slice"], "/")
    wanted = [n for n in pc.unique(names).to_pylist() if any(fnmatch.fnmatchcase(n, p) for p in recipe.slices)]
    return rows.filter(pc.is_in(names, pa.array(wanted, pa.string())))


def _passports(lake: Lake, recipe: Recipe, snapshot: int) -> pa.Table:
    return _in_slices(recipe, lake.read("passports", columns=_COLUMNS, snapshot=snapshot))


def _with_tiers(passports: pa.Table, quality: pa.Table) -> pa.Table:
    """Passports with a column `tier`.

    Raises:
        InputError: a document has no row in `verdict_quality`.
    """
    tiers = quality.set_column(quality.schema.get_field_index("tier"), "tier", pc.fill_null(quality["tier"], UNJUDGED))
    rows = passports.join(tiers, ["uid", "source", "slice"], join_type="left outer")
    lost = rows.filter(pc.is_null(rows["tier"]))
    if lost.num_rows:
        row = lost.slice(0, 1).to_pylist()[0]
        raise InputError(
            f"{lost.num_rows} documents have no quality tier, the first is {row['uid']} of {row['source']}/{row['slice']}",
            f"run 'headrace slice run text {row['source']}/{row['slice']}' again, or name no tier in the recipe",
        )
    return rows


def _shards(lake: Lake, recipe: Recipe, snapshot: int, tokenizer: str) -> pa.Table:
    rows = _in_slices(recipe, lake.read("token_shards", snapshot=snapshot)).sort_by([(c, "ascending") for c in ("source", "slice", "part")])
    for r in rows.to_pylist():
        if r["tokenizer_digest"] != tokenizer:
            raise InputError(
                f"token shard {r['source']}/{r['slice']} part {r['part']} was made with vocabulary {r['tokenizer_digest'][:12]}, "
                f"the recipe's is {tokenizer[:12]}",
                "tokenise the slice again, or name the right vocabulary in the recipe",
            )
    return rows


def _compiled(recipe: Recipe, passports: pa.Table, shards: pa.Table, policy: LicencePolicy) -> tuple[dict[str, Any], pa.Table, pa.Table]:
    allowed = allowed_mask(passports, recipe.licences, policy)
    refused = passports.filter(pc.invert(allowed))
    rows = passports.filter(allowed)
    if rows.num_rows == 0:
        raise ConfigError(
            f"recipe {recipe.name}: no document's licence class is allowed",
            f"allowed: {', '.join(recipe.licences)}; refused: {_tally(refused)}",
        )
    key = ["source", "slice", "language", "licence_class", *(["tier"] if "tier" in rows.column_names else [])]
    rows = rows.append_column("shard", _shard_numbers(rows, shards)).sort_by([(c, "ascending") for c in (*key, "part", "ordinal")])
    hidden, ranks = held_out_mask(rows, recipe.held_out)
    keep = pa.table(
        {
            "shard": rows["shard"],
            "ordinal": rows["ordinal"],
            "tokens": rows["token_count"].cast(pa.int32()),
            "encoded_bytes": rows["encoded_bytes"],
            "uid": pa.array(list(uid_bytes(rows["uid"])), pa.binary(16)),
        }
    )
    names = pc.binary_join_element_wise(*(rows[c] for c in key), "\0").combine_chunks().dictionary_encode()
    codes = names.indices.to_numpy()  # rows are sorted, so codes ascend
    training = keep.filter(pa.array(~hidden))
    training_codes = codes[~hidden]
    buckets: list[Bucket] = []
    numbers = np.full(len(names.dictionary), -1, dtype=np.int32)
    for code, name in enumerate(names.dictionary.to_pylist()):
        at = np.searchsorted(training_codes, [code, code + 1])
        part = training.slice(int(at[0]), int(at[1] - at[0]))
        if part.num_rows == 0:
            continue  # all of it is held out
        numbers[code] = len(buckets)
        digest = digest_bytes(b"".join(part["uid"].to_pylist()) + part["tokens"].to_numpy().tobytes())
        source, slice_, language, licence, *tier = name.split("\0")
        size = pc.sum(part["tokens"]).as_py(), pc.sum(part["encoded_bytes"]).as_py()
        buckets.append(Bucket(source, slice_, language, licence, part.num_rows, *size, digest, *tier))
    training = training.append_column("bucket", pa.array(numbers[training_codes]))
    held = keep.append_column("language", rows["language"]).append_column("rank", pa.array(ranks))
    held = held.filter(pa.array(hidden)).sort_by([("language", "ascending"), ("rank", "ascending")]).drop_columns(["rank"])
    phases = [phase_weights(recipe, phase, buckets) for phase in recipe.phases]
    planned = check_closing(recipe, phases, buckets)
    record = {
        "shards": [{c: r[c] for c in ("source", "slice", "part", "bin_path", "idx_path")} for r in shards.to_pylist()],
        "buckets": [b.__dict__ for b in buckets],
        "phases": [{"name": p.name, "tokens": p.tokens, "weights": p.weights.tolist()} for p in phases],
        "plan": [
            {"bucket": b.key, "pool_tokens": b.tokens, "planned_tokens": round(float(t)), "epochs": round(float(t) / b.tokens, 4)}
            for b, t in zip(buckets, planned, strict=True)
        ],
        "by_language": grouped(buckets, planned, "language"),
        "by_source": grouped(buckets, planned, "source"),
        "by_licence_class": grouped(buckets, planned, "licence_class"),
        "by_tier": grouped(buckets, planned, "tier") if recipe.by_tier else {},
        "by_modality": {"text": {"pool_tokens": sum(b.tokens for b in buckets), "planned_tokens": round(float(planned.sum()))}},
        "licences": described(_licences(rows.filter(pa.array(~hidden))), policy),
        "refused": refused_rows(refused),
        "refused_licences": _tally(refused),
        "held_out_documents": int(hidden.sum()),
    }
    return record, training, held


def _shard_numbers(rows: pa.Table, shards: pa.Table) -> pa.Array:
    index = {(r["source"], r["slice"], r["part"]): i for i, r in enumerate(shards.select(["source", "slice", "part"]).to_pylist())}
    keys = zip(rows["source"].to_pylist(), rows["slice"].to_pylist(), rows["part"].to_pylist(), strict=True)
    try:
        return pa.array([index[k] for k in keys], pa.int32())
    except KeyError as exc:
        raise InputError(f"passports of {exc.args[0]} have no token shard", "tokenise the slice again") from exc


def _licences(rows: pa.Table) -> list[dict[str, Any]]:
    grouped = rows.group_by(["source", "licence", "licence_class"]).aggregate([("token_count", "sum"), ("uid", "count")])
    named = grouped.rename_columns({"token_count_sum": "tokens", "uid_count": "documents"})
    return [dict(r) for r in named.sort_by([("source", "ascending"), ("licence", "ascending")]).to_pylist()]


def _tally(rows: pa.Table) -> str:
    counts = rows["licence_class"].value_counts().to_pylist() if rows.num_rows else []
    return ", ".join(f"{c['values']} {c['counts']}" for c in sorted(counts, key=lambda c: str(c["values"]))) or "none"


def _current(lake: Lake, receipt: Any, table: str, shards: pa.Table) -> bool:
    """Whether a receipt's files of a table are the ones that the mix reads."""
    paths = {(s, i) for s, i in zip(shards["source"].to_pylist(), shards["slice"].to_pylist(), strict=True)}
    if (receipt.source, receipt.slice) not in paths:
        return False
    now = {f.path for f in lake.slice_files(table, receipt.slice_)}
    return {o.path for o in receipt.outputs_of(table)} == now


def _store(lake: Lake, record: dict[str, Any], documents: pa.Table, held_out: pa.Table, parents: list[str]) -> Mix:
    with tempfile.TemporaryDirectory(prefix="headrace-mix-") as folder:
        objects = {}
        for name, table in (("documents", documents), ("held_out", held_out)):
            file = Path(folder) / f"{name}.parquet"
            pq.write_table(table, file, compression="zstd")
            objects[name] = lake.put_object(file, kind="mix", suffix=".parquet")
        record = {**record, "objects": objects, "parents": parents}
        text = json.dumps(record, sort_keys=True, ensure_ascii=False, indent=1)
        receipt = Path(folder) / "mix.json"
        receipt.write_text(text, encoding="utf-8")
        path = lake.put_object(receipt, kind="mix", suffix=".json")
    summary = {
        k: record[k]
        for k in (
            "by_language",
            "by_source",
            "by_licence_class",
            "by_tier",
            "by_modality",
            "licences",
            "refused_licences",
            "held_out_documents",
            "tag",
            "stale",
        )
    }
    payload = {
        **summary,
        "version": record["recipe"]["version"],
        "release_gate": record["recipe"]["release_gate"],
        "tokenizer_digest": record["tokenizer_digest"],
        "summary": f"{sum(p['tokens'] for p in record['phases']):,} tokens planned in {len(record['phases'])} phases"
        + (f"; {len(record['stale'])} slices out of date, allowed" if record["stale"] else ""),
    }
    lake.record_artifact(
        Artifact(
            kind="mix",
            name=record["recipe"]["name"],
            fingerprint=record["fingerprint"],
            digest=digest_bytes(text.encode()),
            path=path,
            parents=tuple(parents),
            payload=payload,
        )
    )
    return Mix(record, documents, held_out)
