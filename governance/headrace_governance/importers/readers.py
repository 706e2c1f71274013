"""Readers of what can be imported: each yields `Item`s in a fixed order and names the file when one is damaged."""

from __future__ import annotations

import glob
import json
import lzma
import stat
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from headrace_governance.crawl.pages import media_type
from headrace_governance.importers.containers import decompressed
from headrace_governance.importers.item import Item
from headrace_governance.importers.said import column, joined_statements
from headrace_governance.sources import ColumnsFetch, FolderFetch, JsonlFetch, ParquetFetch, WarcFetch
from headrace_lake.errors import InputError

_SUFFIXES = {".html": "text/html", ".htm": "text/html", ".xhtml": "application/xhtml+xml", ".txt": "text/plain", ".md": "text/plain"}
_BATCH_ROWS = 1024


def expand(paths: tuple[str, ...], base: Path) -> list[Path]:
    """The files behind paths and patterns, sorted; relative ones count from `base`.

    Raises:
        InputError: a path or pattern matches nothing.
    """
    found: list[Path] = []
    for pattern in paths:
        full = pattern if Path(pattern).is_absolute() else str(base / pattern)
        matched = sorted(Path(p) for p in glob.glob(full, recursive=True) if Path(p).is_file())
        if not matched:
            raise InputError(f"{full}: no such file", "correct 'paths' of the source")
        found += matched
    return list(dict.fromkeys(found))


def read_warc(fetch: WarcFetch, files: list[Path]) -> Iterator[Item]:
    """Responses and resources of WARC files."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    for file in files:
        number = 0
        try:
            with file.open("rb") as f:
                for record in ArchiveIterator(f):
                    number += 1
                    if record.rec_type not in ("response", "resource"):
                        continue
                    yield _warc_item(record, fetch)
        except (ArchiveLoadFailed, EOFError, OSError, ValueError) as exc:
            raise InputError(f"{file}: damaged after record {number} ({exc})", "fetch or copy the file again") from exc
        if not number:
            raise InputError(f"{file}: no WARC record in it", "remove it from 'paths' or copy it again")


def _warc_item(record: Any, fetch: WarcFetch) -> Item:
    from headrace_governance.crawl.decode import BadEncoding, BodyTooLarge, Decoder

    url = str(record.rec_headers.get_header("WARC-Target-URI") or "").strip("<>")
    at = datetime.fromisoformat(str(record.rec_headers.get_header("WARC-Date")).replace("Z", "+00:00"))
    http = record.http_headers
    headers = tuple((str(k).lower(), str(v)) for k, v in http.headers) if http is not None else ()
    declared = dict(headers).get("content-type") or (record.rec_headers.get_header("Content-Type") if http is None else "") or ""
    kind, charset = media_type(declared)
    status = int(http.get_statuscode()) if http is not None and str(http.get_statuscode()).isdecimal() else 0
    known: dict[str, Any] = {"url": url, "content_type": kind, "charset": charset, "status": status, "fetched_at": at, "headers": headers}
    if http is not None and status != 200:
        return Item(**known, problem=("http_status", str(status)))
    if kind not in fetch.media_types:
        return Item(**known, problem=("media_type", kind or "none declared"))
    try:
        decoder = Decoder(dict(headers).get("content-encoding", ""), fetch.max_bytes, 200.0)
        while block := record.raw_stream.read(64 << 10) if http is None else _dechunked(record).read(64 << 10):
            decoder.feed(block)
        return Item(**known, body=decoder.finish())
    except BodyTooLarge as exc:
        return Item(**known, problem=(exc.reason, exc.detail))
    except BadEncoding as exc:
        return Item(**known, problem=("encoding", str(exc)), failed=True)


def _dechunked(record: Any) -> Any:
    """The body without chunking but still compressed; made once per record."""
    if not hasattr(record, "headrace_stream"):
        if (record.http_headers.get_header("transfer-encoding") or "").lower() == "chunked":
            from warcio.bufferedreaders import ChunkedDataReader

            record.headrace_stream = ChunkedDataReader(record.raw_stream)
        else:
            record.headrace_stream = record.raw_stream
    return record.headrace_stream


def read_parquet(fetch: ParquetFetch, files: list[Path]) -> Iterator[Item]:
    """Rows of Parquet files, read in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            with pq.ParquetFile(file) as parquet:
                wanted = [c for c in (fetch.text, fetch.url, fetch.language, fetch.licence) if c]
                if fetch.licence and fetch.licence not in parquet.schema_arrow.names:
                    wanted[-1] = fetch.licence.partition(".")[0]  # the column that a dot leads into
                missing = [c for c in wanted if c not in parquet.schema_arrow.names]
                if missing:
                    raise InputError(f"{file}: no column '{missing[0]}'", f"columns: {', '.join(parquet.schema_arrow.names)}")
                row = 0
                for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
                    # As bytes: a file may hold strings that are no UTF-8, and such a row must not end the import.
                    columns = [c.cast(pa.binary()) if pa.types.is_string(c.type) else c for c in batch.columns]
                    columns = [c.cast(pa.large_binary()) if pa.types.is_large_string(c.type) else c for c in columns]
                    for values in pa.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist():
                        yield _row_item(fetch, file, row, values, f"{file.name} row {row}")
                        row += 1
        except (pa.ArrowInvalid, OSError) as exc:
            raise InputError(f"{file}: not a complete Parquet file ({str(exc).splitlines()[0]})", "write or copy it again") from exc


def read_jsonl(fetch: JsonlFetch, files: list[Path]) -> Iterator[Item]:
    """Lines of JSON Lines files; a line that is no JSON object is quarantined, a truncated file refused."""
    for file in files:
        number = -1
        try:
            with file.open("rb") as raw, decompressed(str(file), raw, file.suffix) as f:
                for number, line in enumerate(f):
                    if not line.strip():
                        continue
                    url = f"file:{file.name}#{number}"
                    try:
                        values = json.loads(line)
                        if not isinstance(values, dict):
                            raise ValueError("not a JSON object")
                    except (ValueError, RecursionError) as exc:
                        yield Item(url=url, problem=("bad_line", f"line {number + 1}: {exc}"), failed=True)
                        continue
                    yield _row_item(fetch, file, number, values, f"{file.name} line {number + 1}")
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as exc:
            raise InputError(f"{file}: damaged after line {number + 1} ({exc})", "write or copy it again") from exc


def _row_item(fetch: ColumnsFetch, file: Path, row: int, values: dict[str, Any], origin: str) -> Item:
    url = _string(values.get(fetch.url)) if fetch.url else ""
    url = url or f"file:{file.name}#{row}"
    text = values.get(fetch.text)
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    if not isinstance(text, bytes):
        return Item(url=url, problem=("no_text", f"{file.name} row {row}: '{fetch.text}' is {type(text).__name__}"), failed=True)
    if len(text) > fetch.max_bytes:
        return Item(url=url, problem=("too_large", f"{len(text)} bytes"))
    language = _string(values.get(fetch.language)) if fetch.language else ""
    links: tuple[tuple[str, str], ...] = ()
    if fetch.licence:
        links = tuple(("column", said) for said in joined_statements(column(values, fetch.licence)))
    return Item(url=url, body=text, content_type=fetch.content_type, charset="utf-8", language=language, licence_links=links, origin=origin)


def _string(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value or "")


def read_folder(fetch: FolderFetch, folder: Path, files: list[Path]) -> Iterator[Item]:
    """HTML and text files.

    Args:
        files: those below `folder`, in the order of their paths.
    """
    root = folder.resolve()

    @lru_cache(maxsize=1024)  # many files share a folder
    def of_parent(parent: Path) -> tuple[str, bool]:
        """What the names of its files begin with, and whether it lies in the folder."""
        below = parent.relative_to(folder).as_posix()
        return "" if below == "." else f"{below}/", parent.resolve().is_relative_to(root)

    for file in files:
        before, inside = of_parent(file.parent)
        url = f"file:{before}{file.name}"
        kind = _SUFFIXES.get(file.suffix.lower())
        info = file.lstat()
        if stat.S_ISLNK(info.st_mode):
            info, inside = file.stat(), file.resolve().is_relative_to(root)
        if not inside:
            yield Item(url=url, problem=("outside", "links out of the folder"))
        elif kind is None:
            yield Item(url=url, problem=("media_type", file.suffix or "no suffix"))
        elif info.st_size > fetch.max_bytes:
            yield Item(url=url, problem=("too_large", f"{info.st_size} bytes"))
        else:
            at = datetime.fromtimestamp(int(info.st_mtime), UTC)
            yield Item(url=url, body=file.read_bytes(), content_type=kind, language=fetch.language_hint, fetched_at=at)
