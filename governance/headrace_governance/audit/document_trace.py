"""Why a document is where it is, and what a rule took: read from verdicts, exclusions and passports, nothing is computed again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace_lake.documents import find_documents
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.nearest import did_you_mean
from headrace_lake.slices import Slice
from headrace_lake.tables import TABLES

_UID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_PASSPORT = ["uid", "source", "slice", "part", "ordinal", "token_start", "token_count", "byte_start", "byte_end", "language"]
"""Of a passport what older lakes hold, too."""
_WHERE_IDS_ARE = "`headrace drops` and `headrace table show documents` list ids, --settings names another lake"


@dataclass(frozen=True, order=True)
class Span:
    """A place in a stored text that a verdict names: bytes of its UTF-8, `end` exclusive.

    Attributes:
        kind: what lies there, if the verdict says so (`email`).
    """

    start: int
    end: int
    verdict: str
    kind: str = ""


@dataclass
class Story:
    """What became of one document.

    Attributes:
        document: its row of `documents`, None if it never got there.
        verdicts: (verdict, kept, reason, measured), by stage.
        exclusions: (stage, reason, detail) of every drop.
        quarantine: (stage, error) of every failure.
        passport: where its tokens lie, None if it has none.
        spans: places that verdicts name in the stored text, in the order of their beginning.
    """

    uid: str
    slice_: Slice
    document: dict[str, Any] | None
    verdicts: list[tuple[str, bool, str | None, str | None]] = field(default_factory=list)
    exclusions: list[tuple[str, str, str | None]] = field(default_factory=list)
    quarantine: list[tuple[str, str]] = field(default_factory=list)
    passport: dict[str, Any] | None = None
    spans: list[Span] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """One line: the fate of the document."""
        if self.passport is not None:
            p = self.passport
            return f"tokenised: {p['token_count']:,} tokens, document {p['ordinal']:,} of shard part {p['part']}"
        select = next(((reason, detail) for stage, reason, detail in self.exclusions if stage == "select"), None)
        if select is not None:
            return f"dropped: {select[0]}"
        if self.quarantine:
            return f"failed in {self.quarantine[0][0]}: {self.quarantine[0][1]}"
        if self.exclusions and self.document is None:
            return f"dropped by {self.exclusions[0][0]}: {self.exclusions[0][1]}"
        return "not selected yet"


def story(lake: Lake, uid: str, slice_: Slice | None = None) -> Story:
    """What became of a document.

    Args:
        uid: the whole uid or its beginning, 8 digits or more.
        slice_: where to look; everywhere without, which reads the uid column of the whole lake. A document whose content stayed the
            same from interval to interval is in several slices: then the last one is told of.

    Raises:
        InputError: no such document, or the beginning of several uids.
    """
    if not _UID.fullmatch(uid):
        raise InputError(f"'{uid}' is not a document id", "ids are 32 hex digits; `headrace table show documents` lists them")
    whole = slice_ is not None and len(uid) == 32  # nothing to look for: the rows of one slice tell whether it is there
    found = [] if whole else [(u, s) for u, s in find_documents(lake, uid) if slice_ in (None, s)]
    uid, home = found[-1] if found else (uid, slice_ or _home(lake, f"uid = '{uid}'"))
    where = f"uid = '{uid}'"
    if home is None:
        raise InputError(f"no document {uid} in the lake at {lake.storage.root}", _WHERE_IDS_ARE)
    document = _rows(lake, "documents", home, where)
    told = Story(uid, home, document[0] if document else None)
    for name, spec in TABLES.items():
        if spec.is_verdict:
            rows = _rows(lake, name, home, where)
            verdict = name.removeprefix("verdict_")
            told.verdicts += [(verdict, r["keep"], r["reason"], r["measured"]) for r in rows]
            told.spans += [span for r in rows for span in _spans(verdict, r)]
    told.spans.sort()
    told.exclusions = [(r["stage"], r["reason"], r["detail"]) for r in _rows(lake, "exclusions", home, where)]
    told.quarantine = [(r["stage"], r["error"]) for r in _rows(lake, "quarantine", home, where)]
    told.passport = next(iter(lake.read("passports", home, columns=_PASSPORT, where=where).to_pylist()), None)
    if told.document is None and not told.exclusions and not told.quarantine:
        raise InputError(
            f"no document {uid} in slice {home} of the lake at {lake.storage.root}",
            f"leave --slice out to look in every slice; {_WHERE_IDS_ARE}",
        )
    return told


def _spans(verdict: str, row: dict[str, Any]) -> list[Span]:
    """The places that a verdict's row names, whichever columns it has for them."""
    starts, ends = row.get("starts") or [], row.get("ends") or []
    kinds = row.get("kinds") or [""] * len(starts)
    found = [Span(start, end, verdict, kind) for start, end, kind in zip(starts, ends, kinds, strict=False)]
    if row.get("start") is not None and row.get("end") is not None:
        found.append(Span(row["start"], row["end"], verdict, str(row.get("set") or "")))
    return found


def _home(lake: Lake, where: str) -> Slice | None:
    for table in ("documents", "exclusions", "quarantine"):
        rows = lake.read(table, columns=["source", "slice"], where=where)
        if rows.num_rows:
            return Slice(rows["source"][0].as_py(), rows["slice"][0].as_py())
    return None


def _rows(lake: Lake, table: str, slice_: Slice, where: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read(table, slice_, where=where).to_pylist()
    return rows


@dataclass(frozen=True)
class Drops:
    """What one rule of one stage took, with some of it to look at."""

    stage: str
    reason: str
    rows: int
    share: float
    samples: tuple[tuple[str, str, str | None, str], ...]
    """(source/slice, uid, measured, beginning of the text)"""


def drops(
    lake: Lake, slice_: Slice | None = None, *, stage: str = "", reason: str = "", samples: int = 0, characters: int = 200
) -> list[Drops]:
    """What every rule took, largest first.

    Args:
        stage, reason: only this stage, only this rule. A stage that has run and dropped nothing gives an empty list.
        samples: documents shown of each; chosen by their id, so the same every time and of every source alike.
        characters: of their text.
    """
    rows = lake.read("exclusions", slice_, columns=["uid", "source", "slice", "stage", "reason", "detail"])
    read = _read_by_stage(lake, slice_)
    for column, wanted in (("stage", stage), ("reason", reason)):
        if wanted:
            known = sorted({*pc.unique(rows[column]).to_pylist(), *(read if column == "stage" else ())})
            if wanted not in known and known:
                where = f"slice {slice_}" if slice_ is not None else f"the lake at {lake.storage.root}"
                raise InputError(f"nothing in {where} was dropped by {column} '{wanted}'", did_you_mean(wanted, known, of=f"{column}s"))
            rows = rows.filter(pc.equal(rows[column], wanted))
    groups = rows.group_by(["stage", "reason"], use_threads=False).aggregate([([], "count_all")]).to_pylist()
    found = []
    for g in sorted(groups, key=lambda g: (-g["count_all"], g["stage"], g["reason"])):
        chosen = rows.filter(pc.and_(pc.equal(rows["stage"], g["stage"]), pc.equal(rows["reason"], g["reason"])))
        shown = _samples(lake, chosen.sort_by("uid").slice(0, samples), characters)
        found.append(Drops(g["stage"], g["reason"], g["count_all"], g["count_all"] / max(1, read.get(g["stage"], 0)), shown))
    return found


def _read_by_stage(lake: Lake, slice_: Slice | None) -> dict[str, int]:
    """Rows that the runs which are current now have read, by stage."""
    newest: dict[tuple[str, str, str], int] = {}
    for r in lake.receipts(slice_):
        newest[r.source, r.slice, r.stage] = r.counts.read
    totals: dict[str, int] = {}
    for (_, _, stage), n in newest.items():
        totals[stage] = totals.get(stage, 0) + n
    return totals


def _samples(lake: Lake, rows: pa.Table, characters: int) -> tuple[tuple[str, str, str | None, str], ...]:
    shown = []
    for r in rows.to_pylist():
        home = Slice(r["source"], r["slice"])
        text = lake.read("documents", home, columns=["uid", "text"], where=f"uid = '{r['uid']}'")
        beginning = text["text"][0].as_py()[:characters] if text.num_rows else ""
        shown.append((str(home), r["uid"], r["detail"], " ".join(beginning.split())))
    return tuple(shown)


def measured_line(measured: str | None) -> str:
    """A verdict's measured values for a reader: `value 0.41, language en`."""
    if not measured:
        return ""
    try:
        values = json.loads(measured)
    except ValueError:
        return measured
    return ", ".join(f"{k} {v}" for k, v in values.items()) if isinstance(values, dict) else measured
