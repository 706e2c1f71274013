"""The records of a WARC (0.17 to 1.1) or ARC (1, 2) file, each whole or with what is wrong with it.

Own code, as the readers in use (warcio, FastWARC) take the end of the input for the end of a record, and a wrong Content-Length for the
damage of a file. Content-Length is binding (ISO 28500, 4): a record behind which neither the next one nor the end of the file stands has a
wrong one, and is given up alone. Memory holds one record, up to a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headrace_governance.acquire.importers.warc_content import Break, content_of

_MAX_HEAD = 1 << 20
_KEPT_OF_LONG = 64 << 10
"""Bytes kept of the block of a record that is too long: its HTTP headers."""
_MAX_RESTARTS = 8
"""How often a file is read from its beginning again because a record's length ran over everything behind it."""
_VERSION = re.compile(rb"WARC/\d")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,30}:")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
# Begins with one fixed byte, which a search finds ten times as fast; a \r before it belongs to the record that ends.
_NEXT = re.compile(
    rb"\n(?:\r?\n(?=WARC/(?:1\.[01]|0\.1[78])\r?\n)|(?=[a-z]{2,10}://[^\s]{1,4000} \d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3} \d{14} ))"
)
_LONGEST_NEXT = 4096
_LINE_ENDS = b"\r\n"


@dataclass
class Record:
    """One record.

    Attributes:
        number: position in the file, from 0.
        kind: its WARC-Type in lower case; an ARC record is a `response`, or `filedesc`.
        fields: names in lower case → first value.
        block: its content; the first 64 KiB of one that is longer than is kept.
        length: bytes of its block.
        problem: (reason, detail) if it is not whole: `cut`, `damaged` or `bad_length`.
    """

    number: int
    kind: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    block: bytes = b""
    length: int = 0
    problem: tuple[str, str] | None = None


class Records:
    """The records of one file, in order.

    Args:
        keep: bytes of a block that are kept.

    Attributes:
        incomplete: what is missing of the file without a record being hit, for people.
        seen: whether there was any content.
    """

    def __init__(self, file: Path, keep: int) -> None:
        self._file, self._keep = file, keep
        self.incomplete: list[str] = []
        self.seen = False
        self._number = 0
        self._restarts = 0
        self._open(0)

    def _open(self, offset: int) -> None:
        """Begin to read at this byte of the content."""
        self._content = content_of(self._file)
        self._buffer, self._at, self._offset = b"", 0, 0
        self._break: Break | None = None
        self._ended = False
        while self._offset < offset and self._more():
            skipped = min(len(self._buffer) - self._at, offset - self._offset)
            self._at += skipped
            self._offset += skipped

    # -- content -------------------------------------------------------------------------------------------------

    def _more(self, wanted: int = 0) -> bool:
        """Read on in this segment, to so many bytes from here; False at its end (a break, or the file's end)."""
        if self._ended or self._break is not None:
            return False
        blocks = [self._buffer[self._at :]]
        missing = wanted - len(blocks[0])
        while missing > 0 or len(blocks) == 1:
            block = next(self._content, None)
            if block is None or isinstance(block, Break):
                self._ended, self._break = block is None, block
                break
            blocks.append(block)
            missing -= len(block)
        self._buffer, self._at = b"".join(blocks), 0
        return len(blocks) > 1

    def _has(self, wanted: int) -> bool:
        """Whether there are so many bytes from here on in this segment."""
        if len(self._buffer) - self._at < wanted:
            self._more(wanted)
        return len(self._buffer) - self._at >= wanted

    def _take(self, count: int) -> None:
        self._at += count
        self._offset += count

    def _skip_line_ends(self) -> None:
        while self._has(1) and self._buffer[self._at] in _LINE_ENDS:
            self._take(1)

    # -- records -------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Record]:
        while True:
            self._skip_line_ends()
            if self._has(1):
                record = self._record()
                self._number += 1
                self.seen = True
                yield record
                continue
            if self._break is None:
                return
            found, self._break = self._break, None
            self.seen = True
            if found.lost:
                yield Record(self._number, problem=(found.reason, found.detail))
                self._number += 1
            else:
                self.incomplete.append(f"{self._file.name}: {found.detail}")

    def _record(self) -> Record:
        record = Record(self._number)
        start = self._offset
        self._has(5)
        if not _VERSION.match(self._buffer, self._at):
            reason = "cut" if b"WARC/".startswith(self._buffer[self._at : self._at + 5]) else "damaged"
            return self._arc(record) or self._lost(record, reason, f"no record begins at byte {start}")
        end = self._find(_HEAD_END, _MAX_HEAD)
        if end is None:
            record.fields = _fields(self._buffer[self._at : self._at + _MAX_HEAD])
            over = self._ended or self._break is not None
            return self._lost(record, "cut" if over else "damaged", f"no end of the headers that begin at byte {start}")
        record.fields = _fields(self._buffer[self._at : end])
        record.kind = record.fields.get("warc-type", "").lower()
        self._take(end - self._at)
        length = record.fields.get("content-length", "")
        if not length.isdecimal() or len(length) > 18:
            return self._lost(record, "bad_length", f"Content-Length is '{length[:40]}'")
        record.length = int(length)
        return self._block(record)

    def _arc(self, record: Record) -> Record | None:
        self._has(_LONGEST_NEXT)
        found = _arc_line(self._buffer, self._at)
        if found is None:
            return None
        record.fields, record.length, end = found
        record.kind = "filedesc" if record.fields["warc-target-uri"].startswith("filedesc:") else "response"
        self._take(end - self._at)
        return self._block(record)

    def _block(self, record: Record) -> Record:
        if record.length > self._keep:
            return self._long(record)
        if self._has(record.length):
            behind = self._behind(record.length)
            if behind:
                record.block = self._buffer[self._at : self._at + record.length]
                self._take(record.length)
                if behind == "damaged" and self._break is not None:
                    record.problem = (self._break.reason, self._break.detail)
                    self._drop_rest()
                    self._break = None
                return record
        elif not _NEXT.search(self._buffer, self._at):
            whole = len(self._buffer) - self._at
            return self._lost(record, "cut", f"{whole} of {record.length} bytes at byte {self._offset}")
        return self._lost(record, "bad_length", f"Content-Length {record.length} is not where the next record begins")

    def _behind(self, length: int) -> str:
        """What stands behind so many bytes: `next` (a record, or the end), `damaged`, or nothing that may."""
        at = length
        while self._has(at + 1):
            if self._buffer[self._at + at] in _LINE_ENDS and at < length + 16:
                at += 1
                continue
            more = self._has(at + _LONGEST_NEXT)
            place = self._at + at
            if not more and b"WARC/1".startswith(self._buffer[place:]):
                return "next"  # cut in its first word
            return "next" if _VERSION.match(self._buffer, place) or _arc_line(self._buffer, place) else ""
        return "damaged" if self._break is not None and self._break.reason == "damaged" and not self._break.lost else "next"

    def _long(self, record: Record) -> Record:
        """A block that is not held: skipped, unless the content ends within and another record was passed."""
        start, left, passed = self._offset, record.length, -1
        self._has(min(record.length, _KEPT_OF_LONG))
        record.block = self._buffer[self._at : self._at + _KEPT_OF_LONG]
        while left:
            if not self._has(min(left, _LONGEST_NEXT + 1)) and not self._has(1):
                break
            here = min(left, len(self._buffer) - self._at)
            found = _NEXT.search(self._buffer, self._at, self._at + here) if passed < 0 else None
            if found is not None:
                passed = self._offset + found.end() - self._at
            step = here if here == left or here <= _LONGEST_NEXT else here - _LONGEST_NEXT
            self._take(step)
            left -= step
        if not left and self._behind(0):
            return record
        if passed >= 0 and self._restarts < _MAX_RESTARTS:
            self._restarts += 1
            self._open(passed)
            record.problem = ("bad_length", f"Content-Length {record.length} is not where the next record begins")
            return record
        if not left:
            return self._lost(record, "bad_length", f"Content-Length {record.length} is not where the next record begins")
        return self._lost(record, "cut", f"{self._offset - start} of {record.length} bytes at byte {start}")

    def _lost(self, record: Record, reason: str, detail: str) -> Record:
        """Give a record up and go to the next one of this segment, or to its end."""
        if self._find(_NEXT, None) is None:
            self._drop_rest()
            if self._break is not None:
                reason, detail = self._break.reason, f"{detail}; {self._break.detail}"
                self._break = None
        record.problem = (reason, detail)
        return record

    def _find(self, pattern: re.Pattern[bytes], most: int | None) -> int | None:
        """Where in the buffer a match ends, looked for in so many bytes, or (None) in all of the segment, of which the rest is left out."""
        searched = self._at
        while True:
            found = pattern.search(self._buffer, searched)
            if found is not None:
                if most is None:
                    self._take(found.end() - self._at)
                return found.end()
            searched = max(self._at, len(self._buffer) - _LONGEST_NEXT)
            if most is None:
                self._take(searched - self._at)
            elif len(self._buffer) - self._at > most:
                return None
            before = self._at
            if not self._more():
                return None
            searched -= before - self._at

    def _drop_rest(self) -> None:
        """Go to the end of this segment."""
        while True:
            self._take(len(self._buffer) - self._at)
            if not self._more():
                return


def _arc_line(buffer: bytes, at: int) -> tuple[dict[str, str], int, int] | None:
    """The record header line of an ARC file that begins here: its fields, the block's length, where the line ends.

    Version 1 is `address IP date type length`; version 2 has a result, checksum, location, offset and file name before the length. An
    address may hold blanks.
    """
    end = buffer.find(b"\n", at, at + _LONGEST_NEXT)
    if end < 0:
        return None
    parts = buffer[at:end].rstrip(b"\r").decode("latin-1").split(" ")
    for count in (10, 5):
        address, rest = parts[: len(parts) - count + 1], parts[len(parts) - count + 1 :]
        if len(parts) < count or not re.fullmatch(r"\d{8,14}", rest[1]) or not re.fullmatch(r"\d{1,15}", rest[-1]):
            continue
        url = " ".join(address)
        if _SCHEME.match(url):
            fields = {"warc-target-uri": url, "warc-date": rest[1], "content-type": rest[2], "arc": "1"}
            return fields, int(rest[-1]), end + 1
    return None


def _fields(head: bytes) -> dict[str, str]:
    """Name in lower case → first value of a record's header lines; folded lines are joined."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    fields: dict[str, str] = {}
    last = ""
    for line in text.split("\n")[1:]:
        if line[:1] in (" ", "\t") and last:
            fields[last] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        last = name.strip().lower() if colon and name.strip().lower() not in fields else ""
        if last:
            fields[last] = value.strip()
    return fields
