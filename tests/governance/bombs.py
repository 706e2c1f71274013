"""Files of kilobytes that unfold to gigabytes: one for each importer and container, good records beside what unfolds.

`write FOLDER MEGABYTES` and `read FOLDER` run in processes of their own, so that the memory of one doesn't hide the other's.
"""

from __future__ import annotations

import gzip
import json
import lzma
import resource
import sys
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fuzzing
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

MB = 1 << 20
_PACKERS: dict[str, Any] = {
    "gz": lambda f: gzip.GzipFile(f, "wb", 1),
    "xz": lambda f: lzma.LZMAFile(f, "wb", preset=0),  # noqa: SIM115  (its caller does)
    "zst": lambda f: zstandard.open(f, "wb"),
}


class Bombs:
    """Writes them into a folder.

    Attributes:
        cases: (importer, file, options of its `fetch`).
    """

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self.size = folder, megabytes * MB
        self.filler = [b"a" * MB] * megabytes
        self.cases: list[tuple[str, str, dict[str, Any]]] = []

    def packed(self, kind: str, name: str, pieces: Iterable[bytes], **options: Any) -> None:
        """Write a compressed file piece by piece."""
        with _PACKERS[name.rpartition(".")[2]](self.folder / name) as out:
            for piece in pieces:
                out.write(piece)
        self.cases.append((kind, str(self.folder / name), options))

    def lines(self) -> None:
        """A line of JSON, within limits of size and of ratio."""
        good = b'{"text": "good"}\n'
        pieces = [good, b'{"text":"', *self.filler, b'"}\n', good]
        for suffix in ("gz", "xz", "zst"):
            self.packed("jsonl", "line.jsonl." + suffix, pieces, max_bytes=MB, max_ratio=1e9)
        self.packed("jsonl", "whole.jsonl.zst", pieces, max_bytes=MB)

    def columns(self) -> None:
        """A dictionary of one value that stands for all rows; a page of one value."""
        values = pa.DictionaryArray.from_arrays(pa.array([0] * len(self.filler), pa.int32()), ["a" * MB])
        pq.write_table(pa.table({"text": values}), self.folder / "dictionary.parquet", compression="zstd")
        self.cases.append(("parquet", str(self.folder / "dictionary.parquet"), {}))
        schema = pa.schema([("text", pa.large_string())])
        with pq.ParquetWriter(self.folder / "page.parquet", schema, compression="zstd", use_dictionary=False) as writer:
            for text in ("good", "a" * self.size, "good"):
                writer.write_table(pa.table({"text": [text]}, schema=schema))
        self.cases.append(("parquet", str(self.folder / "page.parquet"), {"max_page_bytes": MB, "max_bytes": MB}))

    def archives(self) -> None:
        """A header field and a chunk of a WARC record."""
        head = b"WARC/1.0\r\nWARC-Type: response\r\n"
        first, last = (fuzzing._warc("http://site.example/" + n, b"good " * 20) for n in ("1", "2"))
        header = [first, head, b"X: ", *self.filler, b"\r\nContent-Length: 0\r\n\r\n\r\n\r\n", last]
        http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % self.size
        fields = b"WARC-Target-URI: http://a/\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n"
        fields += b"Content-Type: application/http\r\nContent-Length: %d\r\n\r\n" % (len(http) + self.size + 7)
        chunk = [first, head, fields, http, *self.filler, b"\r\n0\r\n\r\n\r\n\r\n", last]
        for suffix in ("gz", "zst"):
            self.packed("warc", "header.warc." + suffix, header, max_bytes=MB)
            self.packed("warc", "chunk.warc." + suffix, chunk, max_bytes=MB)

    def tars(self) -> None:
        """Headers of a tar: extended (pax), long names (GNU), global ones, maps of sparse members."""
        article = fuzzing._article(1, "good")

        def member(name: str) -> bytes:
            info = tarfile.TarInfo(name)
            info.size = len(article)
            return info.tobuf(tarfile.USTAR_FORMAT) + article + b"\0" * (-len(article) % 512)

        def tar(name: str, header: list[bytes]) -> None:
            pieces = [member("1.xml"), *header, member("b.xml"), member("2.xml"), b"\0" * 1024]
            self.packed("jats", name, pieces, max_ratio=1e9)

        for kind, name in ((tarfile.XHDTYPE, "pax"), (tarfile.GNUTYPE_LONGNAME, "gnu"), (tarfile.XGLTYPE, "global")):
            info = tarfile.TarInfo("x")
            info.type, info.size = kind, self.size
            tar(name + ".tar.gz", [info.tobuf(tarfile.USTAR_FORMAT), *self.filler])
        sparse = bytearray(tarfile.TarInfo("s.xml").tobuf(tarfile.GNU_FORMAT))
        sparse[156:157], sparse[482:483] = tarfile.GNUTYPE_SPARSE, b"\1"
        sparse[148:156] = b" " * 8
        sparse[148:156] = b"%06o\0 " % sum(sparse)
        block = (b"%011o\0" % 512) * 2
        more = (block * 21 + b"\1").ljust(512, b"\0")
        tar("sparse.tar.gz", [bytes(sparse), *[more * 2048] * (self.size >> 22), (block * 21).ljust(512, b"\0")])

    def records(self) -> None:
        """A page of a wiki's dump, an item of a feed, a row of a dump of questions."""
        page = [b"<mediawiki>", fuzzing._page(1, "1"), b"<page>", *self.filler, b"</page>", fuzzing._page(2, "2"), b"</mediawiki>"]
        self.packed("wikipedia", "page.xml.zst", page, max_bytes=MB, max_ratio=1e9)
        item = [b"<rss><channel>", fuzzing._entry(1, "1"), b"<item>", *self.filler, b"</item>", fuzzing._entry(2, "2"), b"</channel></rss>"]
        self.packed("news", "feed.xml.gz", item, max_bytes=MB, max_ratio=1e9)


def write(folder: Path, megabytes: int) -> None:
    """Write all of them, and `cases.json`."""
    bombs = Bombs(folder, megabytes)
    for part in (bombs.lines, bombs.columns, bombs.archives, bombs.tars, bombs.records):
        part()
    (folder / "cases.json").write_text(json.dumps(bombs.cases))


def read(folder: Path, only: str = "") -> None:
    """Print a line of JSON for each: file, what became of its records, megabytes by which this process's peak rose, processor seconds."""
    (folder / "warm.xml").write_bytes(fuzzing._article(1, "warm"))
    fuzzing.read("jats", [folder / "warm.xml"], folder)
    for kind, name, options in json.loads((folder / "cases.json").read_text()):
        file = Path(name)
        if only and file.name != only:
            continue
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        try:
            items = fuzzing.read(kind, [file], folder, **options)
            said = [i.problem[0] + ": " + i.problem[1] if i.problem else "kept" for i in items]
        except Exception as exc:
            said = [type(exc).__name__ + ": " + str(exc)]
        if len(said) > 40:
            said = said[:2]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
        print(json.dumps([file.name, said, grown, time.process_time() - start]), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        read(Path(sys.argv[2]), *sys.argv[3:])
