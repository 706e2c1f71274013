"""Sizes of a Parquet file's pages, read from their headers: what a reader would have to hold, before anything is decompressed.

A column chunk's metadata says how large it is altogether, but not its largest page, and a dictionary page of a megabyte may stand for
gigabytes of rows. Page headers are Thrift structs in the compact protocol (parquet-format, `parquet.thrift`: `PageHeader`); only their
first fields are read here. About 10 µs a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_HEADER_BYTES = 1 << 20
"""A page's header at most: it holds two values of the column (its statistics)."""
_I32 = 5


class BadPage(ValueError):
    """A page header that cannot be read."""


def page_sizes(file: Path, metadata: Any, group: int, columns: tuple[str, ...]) -> int:
    """Decompressed bytes of the largest page of the columns with these names (or below them, of nested ones) in one row group.

    Args:
        metadata: pyarrow's `FileMetaData`.

    Raises:
        BadPage: a header is damaged, or the chunk is not where the metadata says.
    """
    largest = 0
    row_group = metadata.row_group(group)
    with file.open("rb") as f:
        for number in range(row_group.num_columns):
            chunk = row_group.column(number)
            if chunk.path_in_schema.partition(".")[0] not in columns:
                continue
            start = chunk.data_page_offset
            if chunk.dictionary_page_offset is not None and 0 < chunk.dictionary_page_offset < start:
                start = chunk.dictionary_page_offset
            largest = max(largest, *_pages(f, start, chunk.total_compressed_size), 0)
    return largest


def _pages(f: IO[bytes], start: int, length: int) -> Iterator[int]:
    """Decompressed bytes of the pages of a column chunk."""
    at, end = start, start + length
    while at < end:
        f.seek(at)
        head = f.read(64)
        try:
            fields, used = _header(head)
        except IndexError:
            f.seek(at)
            try:
                fields, used = _header(f.read(_HEADER_BYTES))
            except IndexError:
                raise BadPage(f"no page header at byte {at}") from None
        if not {1, 2, 3} <= fields.keys() or fields[2] < 0 or fields[3] < 0:
            raise BadPage(f"damaged page header at byte {at}")
        yield fields[2]
        at += used + fields[3]


def _header(data: bytes) -> tuple[dict[int, int], int]:
    """The 32-bit fields of a `PageHeader`, and its length.

    Raises:
        IndexError: it does not end within the data.
    """
    fields: dict[int, int] = {}
    at, last = 0, 0
    while (byte := data[at]) != 0:
        at += 1
        kind, step = byte & 0x0F, byte >> 4
        if step:
            last += step
        else:
            last, at = _zigzag(data, at)
        if kind == _I32:
            fields[last], at = _zigzag(data, at)
        else:
            at = _skipped(data, at, kind, 0)
    return fields, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise BadPage("a number of more than 64 bits")


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _skipped(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a value of this type ends (Thrift compact protocol)."""
    if depth > 8:
        raise BadPage("a page header nested deeper than 8")
    if kind in (1, 2):  # a boolean stands in the type
        return at
    if kind == 3:
        return at + 1
    if kind in (4, 5, 6):
        return _varint(data, at)[1]
    if kind == 7:
        return at + 8
    if kind == 8:
        length, at = _varint(data, at)
        return at + length
    if kind in (9, 10):
        size, inner, at = data[at] >> 4, data[at] & 0x0F, at + 1
        if size == 15:
            size, at = _varint(data, at)
        if size > len(data):
            raise IndexError
        for _ in range(size):
            at = at + 1 if inner in (1, 2) else _skipped(data, at, inner, depth + 1)
        return at
    if kind == 12:
        while (byte := data[at]) != 0:
            at += 1
            if not byte >> 4:
                at = _varint(data, at)[1]
            at = _skipped(data, at, byte & 0x0F, depth + 1)
        return at + 1
    raise BadPage(f"unknown type {kind} in a page header")
