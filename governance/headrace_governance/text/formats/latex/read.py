"""LaTeX sources as arXiv hands them out: a paper's `.tar.gz` or single `.gz`, or bulk `.tar` files of those.

A capture is the paper's text files (`.tex`, `.ltx`, `.sty`, files without a suffix) byte for byte in a plain tar, or the one `.tex`
file; pictures stay behind. An archive with a link or a name that leads outside is dropped whole (`link`, `outside`), as is one with
too many members (`too_many_members`), one that expands too far (`bomb`) or whose text is too long (`too_large`). `no_source`: a
PDF, or an archive without a text file. `no_metadata`: metadata is given but does not know the paper. A damaged archive is
quarantined as `bad_archive`.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from headrace_governance.containers.item import Item, alone
from headrace_governance.containers.opening import Bomb, TooManyMembers, blocks, blocks_of, members
from headrace_governance.containers.streams import bounded, stream_of
from headrace_governance.sources.import_options import LatexFetch
from headrace_lake.errors import InputError

ARCHIVE, SINGLE = "application/x-eprint-tar", "application/x-tex"
_TEXT = frozenset({".tex", ".ltx", ".latex", ".sty", ""})
_SUFFIXES = re.compile(r"(?:\.tar\.gz|\.tgz|\.tar|\.gz|\.tex|\.ltx|\.pdf|\.zip)$", re.IGNORECASE)
_OLD_ID = re.compile(r"([a-z-]{2,20}(?:\.[A-Z]{2})?)(\d{7})(v\d+)?")
_MEMBERS_OF_BULK = 10_000_000
_LICENCE_FIELDS = ("license", "licence")


def read_latex(fetch: LatexFetch, files: list[Path], base: Path) -> Iterator[Item]:
    """Papers of files and bulk archives, in order.

    Raises:
        InputError: a bulk archive or the metadata is damaged.
    """
    known = _metadata(base / fetch.metadata) if fetch.metadata else None
    for file in files:
        if file.suffix.lower() != ".tar":
            with file.open("rb") as raw:
                yield from alone(partial(_one, fetch, known, file.name, raw), fetch.base_url + _paper_id(file.name), file.name)
            continue
        cap = max(fetch.max_bytes, 200_000_000)
        for member in members(str(file), bounded(file, fetch.max_ratio), max_members=_MEMBERS_OF_BULK, max_bytes=cap):
            name = PurePosixPath(member.name).name
            if member.problem is not None:
                yield Item(url=fetch.base_url + _paper_id(name), problem=member.problem)
            else:
                where = f"{file.name}/{member.name}"
                yield from alone(partial(_one, fetch, known, name, io.BytesIO(member.data)), fetch.base_url + _paper_id(name), where)


def _paper_id(name: str) -> str:
    stem = _SUFFIXES.sub("", name)
    old = _OLD_ID.fullmatch(stem)
    return f"{old[1]}/{old[2]}{old[3] or ''}" if old else stem


def _one(fetch: LatexFetch, known: dict[str, str] | None, name: str, raw: BinaryIO) -> list[Item]:
    return [_paper(fetch, known, name, raw)]


def _paper(fetch: LatexFetch, known: dict[str, str] | None, name: str, raw: BinaryIO) -> Item:
    number = _paper_id(name)
    url = fetch.base_url + number
    links: tuple[tuple[str, str], ...] = ()
    if known is not None:
        licence = known.get(re.sub(r"v\d+$", "", number))
        if licence is None:
            return Item(url=url, problem=("no_metadata", number))
        links = (("metadata", licence),) if licence else ()
    if name.lower().endswith((".pdf", ".zip")):
        return Item(url=url, problem=("no_source", name))
    suffix = "" if name.lower().endswith((".tex", ".ltx", ".tar")) else ".gz"
    try:
        stream: io.BufferedReader[Any] = io.BufferedReader(stream_of(blocks_of(name, raw, suffix, fetch.max_ratio)), 1 << 20)
        is_archive = stream.peek(512)[257:262] == b"ustar"
        found = _archive(fetch, name, stream) if is_archive else _single(fetch, stream)
    except Bomb as exc:
        return Item(url=url, problem=("bomb", exc.what))
    except TooManyMembers as exc:
        return Item(url=url, problem=("too_many_members", exc.what))
    except InputError as exc:
        return Item(url=url, problem=("bad_archive", exc.what), failed=True)
    if isinstance(found, tuple):
        return Item(url=url, problem=found)
    kind = ARCHIVE if is_archive else SINGLE
    return Item(url=url, body=found, content_type=kind, language=fetch.language_hint, licence_links=links)


def _single(fetch: LatexFetch, stream: io.BufferedReader[Any]) -> bytes | tuple[str, str]:
    data = stream.read(fetch.max_bytes + 1)
    if len(data) > fetch.max_bytes:
        return "too_large", f"> {fetch.max_bytes}"
    if data.startswith((b"%PDF", b"%!PS")) or b"\x00" in data[:1024]:
        return "no_source", "not a text file"
    while stream.read(1 << 20):  # to the end, so that a damaged file is noticed
        pass
    return data


def _archive(fetch: LatexFetch, name: str, stream: io.BufferedReader[Any]) -> bytes | tuple[str, str]:
    """The text members as a plain tar without times and owners, or (reason, detail)."""
    sink, size = io.BytesIO(), 0
    kept = 0
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as out:
        # Pictures may be longer than the text may be: `members` reads nothing that is longer, and says so.
        for member in members(name, stream, max_members=fetch.max_members, max_bytes=fetch.max_bytes):
            is_text = PurePosixPath(member.name).suffix.lower() in _TEXT
            if member.problem is not None:
                if member.problem[0] == "too_large" and not is_text:
                    continue
                return member.problem[0], f"{member.name}: {member.problem[1]}"
            if not is_text or b"\x00" in member.data[:1024]:
                continue
            size += len(member.data)
            if size > fetch.max_bytes:
                return "too_large", f"> {fetch.max_bytes}"
            info = tarfile.TarInfo(member.name)
            info.size = len(member.data)
            out.addfile(info, io.BytesIO(member.data))
            kept += 1
    if not kept:
        return "no_source", "no text file in the archive"
    # The tar's own blocks count as well: extraction looks at the capture's length.
    return sink.getvalue().rstrip(b"\x00") + b"\x00" * 1024


def _metadata(file: Path) -> dict[str, str]:
    """Paper → address of its licence (empty if none is named)."""
    if not file.is_file():
        raise InputError(f"{file}: no such file", "correct 'metadata' of the source")
    known: dict[str, str] = {}
    shared: dict[str, str] = {}
    rest = b""
    number = 0
    for block in (*blocks(file, 1000.0), b"\n"):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for line in lines:
            number += 1
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                licence = next((str(row[k]) for k in _LICENCE_FIELDS if row.get(k)), "")
                known[str(row["id"])] = shared.setdefault(licence, licence)
            except (ValueError, KeyError, AttributeError, RecursionError) as exc:
                raise InputError(f"{file} line {number}: no JSON object with 'id' ({exc})", "take arXiv's metadata snapshot") from exc
    return known
