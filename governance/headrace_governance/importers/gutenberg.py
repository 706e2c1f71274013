"""Books as plain text with Project Gutenberg's header: a capture is the file as it came, or, with `split: chapter`, one chapter.

A chapter's capture is the file's header (to the start marker) followed by the chapter's own lines, so title, author and language stay
with it; what stands before the first chapter is a capture as well, if it is text. Dropped: `not_text`, `too_large`, `copyrighted` (the
header says that the book is under copyright), `no_text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace_governance.importers.containers import blocks
from headrace_governance.importers.formats import GutenbergFetch
from headrace_governance.importers.item import Item
from headrace_governance.text.decode import decode
from headrace_governance.text.formats.gutenberg import chapters, declared_charset, opened

MEDIA_TYPE = "text/x-gutenberg"
_LANGUAGES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt", "russian": "ru", "chinese": "zh",
    "japanese": "ja", "dutch": "nl", "finnish": "fi", "swedish": "sv", "danish": "da", "norwegian": "no", "polish": "pl", "latin": "la",
    "greek": "el", "hungarian": "hu", "czech": "cs", "catalan": "ca", "esperanto": "eo", "tagalog": "tl", "korean": "ko", "arabic": "ar",
}  # fmt: skip
_COPYRIGHTED = ("this is a copyrighted project gutenberg", "copyrighted. read the copyright notice")
_LEAST = 200
"""Characters before the first chapter that make a capture of their own."""


def read_gutenberg(fetch: GutenbergFetch, files: list[Path]) -> Iterator[Item]:
    """Books, or their chapters, in order.

    Raises:
        InputError: a file is damaged.
    """
    for file in files:
        data, size = bytearray(), 0
        for block in blocks(file, fetch.max_ratio):
            size += len(block)
            data += block if size <= fetch.max_bytes else b""
        name = f"file:{file.name}"
        if size > fetch.max_bytes:
            yield Item(url=name, problem=("too_large", f"{size} bytes"))
        elif b"\x00" in data[:4096]:
            yield Item(url=name, problem=("not_text", "binary"))
        else:
            yield from _book(fetch, name, bytes(data))


def _book(fetch: GutenbergFetch, name: str, data: bytes) -> Iterator[Item]:
    decoded = decode(data, declared_charset(data), html=False)
    text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
    book = opened(text)
    url = fetch.base_url + book.fields["number"] if "number" in book.fields else name
    head = text[:5000].lower()
    if any(sign in head for sign in _COPYRIGHTED):
        yield Item(url=url, problem=("copyrighted", book.fields.get("title", "")))
        return
    if not book.body.strip():
        yield Item(url=url, problem=("no_text", "nothing between the markers"))
        return
    language = _LANGUAGES.get(book.fields.get("language", "").lower(), "") or fetch.language_hint
    if fetch.split == "book":
        yield Item(url=url, body=data, content_type=MEDIA_TYPE, charset=decoded.charset, language=language)
        return
    starts = [at for at, _ in chapters(book.body)]
    if not starts or len(book.body[: starts[0]].strip()) >= _LEAST:
        starts.insert(0, 0)
    offset = text.find(book.body)
    header = text[:offset].rstrip("\n") + "\n\n" if offset > 0 else ""
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(book.body)], strict=True), start=1):
        part = (header + book.body[start:end].strip("\n") + "\n").encode("utf-8", "surrogatepass")
        yield Item(url=f"{url}#chapter-{number}", body=part, content_type=MEDIA_TYPE, charset="utf-8", language=language)
