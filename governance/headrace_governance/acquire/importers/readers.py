"""Readers of what can be imported: each yields `Item`s in a fixed order and names the file when one is damaged."""

from __future__ import annotations

import glob
import json
import lzma
import stat
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any

from headrace_governance.acquire.importers.parquet_pages import BadPage, page_sizes
from headrace_governance.containers.item import Item, alone
from headrace_governance.containers.opening import RATIO_FLOOR, Bomb, decompressed
from headrace_governance.sources.licences.elements import column, joined_statements
from headrace_governance.sources.source import ColumnsFetch, FolderFetch, JsonlFetch, ParquetFetch
from headrace_lake.errors import InputError

_SUFFIXES = {".html": "text/html", ".htm": "text/html", ".xhtml": "application/xhtml+xml", ".txt": "text/plain", ".md": "text/plain"}
_BATCH_ROWS, _BATCH_BYTES = 1024, 64 << 20
_PIECE = 1 << 20
_BESIDE = 1 << 20
"""Bytes that a line may have beside its text."""


def expand(paths: tuple[str, ...], base: Path) -> list[Path]:
    """The files behind paths and patterns, sorted; relative ones count from `base`.

    Raises:
        InputError: a path or pattern matches nothing, or a link that a pattern matches leads to a file that it does not list.
    """
    found: list[Path] = []
    for pattern in paths:
        full = pattern if Path(pattern).is_absolute() else str(base / pattern)
        matched = sorted(Path(p) for p in glob.glob(full, recursive=True) if Path(p).is_file())
        if not matched:
            raise InputError(f"{full}: no such file", "correct 'paths' of the source")
        if glob.has_magic(full):
            stop_at_links_out(matched, _fixed_part(full))
        found += matched
    return list(dict.fromkeys(found))


def stop_at_links_out(files: Iterable[Path], folder: Path) -> None:
    """Refuse links among files that a pattern has found which lead out of its folder: what they lead to is not listed by the source.

    Raises:
        InputError: names the link and where it leads.
    """
    inside = folder.resolve()
    for file in files:
        where = file.resolve()
        if not where.is_relative_to(inside):
            raise InputError(
                f"{file}: a link that leads out of {folder}, to {where}", "list that file by its own path in the source, or copy it"
            )


def _fixed_part(pattern: str) -> Path:
    """The folder before the first wildcard of a pattern."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])


def read_parquet(fetch: ParquetFetch, files: list[Path]) -> Iterator[Item]:
    """Rows of Parquet files, in batches whose memory is bounded by the sizes of the pages, which are looked at first.

    Raises:
        InputError: a file is damaged, lacks a column, or expands beyond `max_ratio`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        row = read = 0
        allowed = max(RATIO_FLOOR, fetch.max_ratio * file.stat().st_size)
        try:
            wanted = _wanted(fetch, file, pq.read_schema(file).names)
            # A dictionary of a megabyte may stand for gigabytes of rows: texts stay in it until their row is looked at.
            with pq.ParquetFile(file, page_checksum_verification=True, read_dictionary=[fetch.text]) as parquet:
                for group in range(parquet.num_row_groups):
                    rows = parquet.metadata.row_group(group).num_rows
                    largest = page_sizes(file, parquet.metadata, group, wanted)
                    if largest > fetch.max_page_bytes:
                        said = f"{file.name} rows {row} to {row + rows - 1}: a page of {largest} bytes, more than {fetch.max_page_bytes}"
                        yield Item(url=f"file:{file.name}#{row}", problem=("too_large", said))
                        row += rows
                        continue
                    size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, largest)))
                    for batch in parquet.iter_batches(batch_size=size, row_groups=[group], columns=list(wanted)):
                        # As bytes: a file may hold strings that are not UTF-8, and such a row must not end the import.
                        columns = [_as_bytes(c) for c in batch.columns]
                        for values in pa.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist():
                            read += len(values.get(fetch.text) or b"") if isinstance(values.get(fetch.text), bytes) else 0
                            if read > allowed:
                                way = "look at its rows, and raise 'max_ratio' of the source if they are right"
                                raise Bomb(f"{file} row {row}: expands more than {fetch.max_ratio:g} times", way)
                            yield from _row(fetch, file, row, values, f"{file.name} row {row}")
                            row += 1
        except (pa.ArrowException, OSError, BadPage) as exc:
            why = (str(exc).splitlines() or [type(exc).__name__])[0]
            raise InputError(f"{file}: not a complete Parquet file ({why}; {row} rows were read)", "write or copy it again") from exc


def _wanted(fetch: ParquetFetch, file: Path, names: list[str]) -> tuple[str, ...]:
    """The columns to read."""
    wanted = [c for c in (fetch.text, fetch.url, fetch.language, fetch.licence) if c]
    if fetch.licence and fetch.licence not in names:
        wanted[-1] = fetch.licence.partition(".")[0]  # the column that a dot leads into
    missing = [c for c in wanted if c not in names]
    if missing:
        raise InputError(f"{file}: no column '{missing[0]}'", f"columns: {', '.join(names)}")
    return tuple(dict.fromkeys(wanted))


def _as_bytes(values: Any) -> Any:
    """A column of strings, in any of Arrow's layouts, as bytes; others as they are."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        return pa.DictionaryArray.from_arrays(values.indices, _as_bytes(values.dictionary))
    if pa.types.is_string(values.type):
        return values.cast(pa.binary())
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        return values.cast(pa.large_binary())
    return values


def read_jsonl(fetch: JsonlFetch, files: list[Path]) -> Iterator[Item]:
    """Lines of JSON Lines files; a line that is not a JSON object, or names a column twice, is quarantined, a truncated file refused."""
    cap = 6 * fetch.max_bytes + _BESIDE  # a character may be written as an escape of six bytes
    used = {name: json.dumps(name).encode() for name in (fetch.text, fetch.url, fetch.language, fetch.licence.partition(".")[0]) if name}
    for file in files:
        number, read = -1, 0
        try:
            with file.open("rb") as raw, decompressed(str(file), raw, file.suffix) as f:
                for number, (line, length) in enumerate(_lines(f, cap)):
                    read += length
                    if read > RATIO_FLOOR and read > fetch.max_ratio * raw.tell():
                        way = "it is not a dump, or raise 'max_ratio' of the source"
                        raise Bomb(f"{file} line {number + 1}: expands more than {fetch.max_ratio:g} times", way)
                    url = f"file:{file.name}#{number}"
                    if length > cap:
                        yield Item(url=url, problem=("too_large", f"line {number + 1}: {length} bytes"))
                        continue
                    if not line.strip():
                        continue
                    try:
                        values = json.loads(line)
                        if not isinstance(values, dict):
                            raise ValueError("not a JSON object")
                        if any(line.count(written) > 1 for written in used.values()):
                            json.loads(line, object_pairs_hook=partial(_once, used))
                    except (ValueError, RecursionError) as exc:
                        yield Item(url=url, problem=("bad_line", f"{file.name} line {number + 1}: {exc}"), failed=True)
                        continue
                    yield from _row(fetch, file, number, values, f"{file.name} line {number + 1}")
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as exc:
            raise InputError(f"{file}: damaged after line {number + 1} ({exc})", "write or copy it again") from exc


def _lines(f: IO[bytes], cap: int) -> Iterator[tuple[bytes | bytearray, int]]:
    """The lines and their lengths; one that is longer than the cap is passed over without being held."""
    while line := f.readline(_PIECE):
        length = len(line)
        if length < _PIECE or line.endswith(b"\n"):
            yield (line if length <= cap else b""), length
            continue
        held = bytearray(line)  # grown in place: joined pieces would be held twice
        while not line.endswith(b"\n") and (line := f.readline(_PIECE)):
            length += len(line)
            if length <= cap:
                held += line
            else:
                held.clear()
        yield held, length


def _once(used: dict[str, bytes], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a line, none of whose used keys may stand twice: readers disagree on which counts (RFC 8259, 4)."""
    names = [name for name, _ in pairs if name in used]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"key '{twice}' stands twice")
    return dict(pairs)


def _row(fetch: ColumnsFetch, file: Path, row: int, values: dict[str, Any], origin: str) -> Iterator[Item]:
    return alone(lambda: [_row_item(fetch, file, row, values, origin)], f"file:{file.name}#{row}", origin)


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

    def of_file(file: Path) -> Iterator[Item]:
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

    for file in files:
        yield from alone(partial(of_file, file), f"file:{file.relative_to(folder).as_posix()}", str(file))
