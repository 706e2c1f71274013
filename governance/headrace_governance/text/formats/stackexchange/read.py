"""Stack Exchange: `Posts.xml` of a site; a question and its answers become one capture, the rows as they came.

Answers may stand anywhere behind their question, so the rows wait in an SQLite file, not in memory. The first pass reads every row
once; the second hands out threads in the order of the questions' numbers, answers in the order accepted, score, number. The address is the
question's, as the licence's attribution asks.

The licence follows from the date, as the network states it: CC-BY-SA-2.5 before 2011-04-08, 3.0 before 2018-05-02, 4.0 since; a
`ContentLicense` in the row wins. The thread's is that of its newest post, or of a post under a stricter one.

Dropped: `post_type` (wikis, tag texts; one a row), `low_score`, `no_answer`, `no_question` (answers whose question is missing),
`answer_score`, `too_large`. A row that is not XML is quarantined as `bad_row`. Answers that are kept are part of their question's
capture and not counted beside it.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from headrace_governance.containers.item import EPOCH, Item, alone
from headrace_governance.containers.opening import Cut, Records, blocks
from headrace_governance.sources.import_options import StackexchangeFetch
from headrace_governance.sources.licences.statements import read_statement
from headrace_governance.text.xml_tree import parse_xml
from headrace_lake.errors import InputError

MEDIA_TYPE = "application/x-stackexchange-posts+xml"
_LICENCES = (("2011-04-08", "CC-BY-SA-2.5"), ("2018-05-02", "CC-BY-SA-3.0"), ("9999", "CC-BY-SA-4.0"))
_SCHEMA = """
CREATE TABLE questions(id INTEGER PRIMARY KEY, accepted INTEGER, row BLOB, score INTEGER, created TEXT, licence TEXT);
CREATE TABLE answers(id INTEGER PRIMARY KEY, question INTEGER, row BLOB, score INTEGER, created TEXT, licence TEXT);
"""


def read_stackexchange(fetch: StackexchangeFetch, files: list[Path]) -> Iterator[Item]:
    """Threads of the files.

    Raises:
        InputError: a file is damaged, or holds no posts.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-posts-") as folder:
        db = sqlite3.connect(Path(folder) / "posts.db", isolation_level=None)
        try:
            db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _SCHEMA)
            for file in files:
                db.execute("BEGIN")
                yield from _rows(fetch, file, db)
                db.execute("COMMIT")
            db.execute("CREATE INDEX by_question ON answers(question)")
            yield from _threads(fetch, db)
        finally:
            db.close()


def _rows(fetch: StackexchangeFetch, file: Path, db: sqlite3.Connection) -> Iterator[Item]:
    records = Records(blocks(file, fetch.max_ratio), "row", fetch.max_bytes, empty=True)
    count = 0
    for cut in records:
        count += 1
        yield from alone(partial(_stored, fetch, file, db, cut), f"file:{file.name}#{cut.number}", f"{file.name} row {cut.number}")
    if not count and b"<posts" not in records.head:
        raise InputError(f"{file}: no posts in it", "take the site's Posts.xml")
    if records.open or (b"<posts" in records.head and b"</posts>" not in records.tail and b"<posts/>" not in records.head):
        raise InputError(f"{file}: ends too early", "fetch or copy the file again")


def _stored(fetch: StackexchangeFetch, file: Path, db: sqlite3.Connection, cut: Cut) -> list[Item]:
    problem = _store(fetch, file, db, cut)
    return [] if problem is None else [problem]


def _store(fetch: StackexchangeFetch, file: Path, db: sqlite3.Connection, cut: Cut) -> Item | None:
    url = f"file:{file.name}#{cut.number}"
    if cut.too_long:
        return Item(url=url, problem=("too_large", f"{cut.too_long} bytes"))
    try:
        row = parse_xml(cut.data)
        number, kind = int(row.get("Id")), row.get("PostTypeId")
        score, created = int(row.get("Score") or 0), row.get("CreationDate") or ""
        licence = _licence(row, created)
        if kind == "1":
            accepted = int(row.get("AcceptedAnswerId") or 0)
            db.execute("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?, ?, ?)", (number, accepted, cut.data, score, created, licence))
        elif kind == "2":
            parent = int(row.get("ParentId"))
            db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", (number, parent, cut.data, score, created, licence))
        else:
            return Item(url=f"{fetch.site}/posts/{number}", problem=("post_type", str(kind)))
    except (ValueError, TypeError, OverflowError) as exc:
        return Item(url=url, problem=("bad_row", f"{file.name} row {cut.number}: {exc}"), failed=True)
    return None


def _licence(row: Any, created: str) -> str:
    named = (row.get("ContentLicense") or "").strip()
    licence = " AND ".join(read_statement(named)) or named or next((licence for until, licence in _LICENCES if created[:10] < until), "")
    if not licence:
        raise ValueError(f"CreationDate {created[:40]!r} is not a date")
    return licence


def _threads(fetch: StackexchangeFetch, db: sqlite3.Connection) -> Iterator[Item]:
    for number, accepted, row, score, created, licence in db.execute("SELECT * FROM questions ORDER BY id"):
        url = f"{fetch.site}/questions/{number}"
        if score < fetch.min_question_score:
            yield Item(url=url, problem=("low_score", str(score)))
            continue
        wanted = "SELECT id, row, score, created, licence FROM answers WHERE question = ? ORDER BY id = ? DESC, score DESC, id"
        answers = db.execute(wanted, (number, accepted)).fetchall()
        kept = []
        for answer in answers:
            if answer[2] < fetch.min_answer_score and answer[0] != accepted:
                yield Item(url=f"{fetch.site}/a/{answer[0]}", problem=("answer_score", str(answer[2])))
            else:
                kept.append(answer)
        if not kept and fetch.require_answer:
            yield Item(url=url, problem=("no_answer", f"{len(answers)} below the score"))
            continue
        body = b"<posts>\n" + b"\n".join([row, *(a[1] for a in kept)]) + b"\n</posts>\n"
        if len(body) > fetch.max_bytes:
            yield Item(url=url, problem=("too_large", f"{len(body)} bytes"))
            continue
        posts = sorted([(created, licence), *((a[3], a[4]) for a in kept)], reverse=True)
        yield Item(
            url=url,
            body=body,
            content_type=MEDIA_TYPE,
            charset="utf-8",
            language=fetch.language_hint,
            fetched_at=_time(posts[0][0]),
            licence_links=tuple(("post", said) for said in dict.fromkeys(said for _, said in posts)),
        )
    orphans = "SELECT id FROM answers WHERE question NOT IN (SELECT id FROM questions) ORDER BY id"
    for (number,) in db.execute(orphans):
        yield Item(url=f"{fetch.site}/a/{number}", problem=("no_question", str(number)))


def _time(stamp: str) -> datetime:
    try:
        at = datetime.fromisoformat(stamp)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return EPOCH
