"""Books as plain text with Project Gutenberg's header: a capture is the file as it came, or, with `split: chapter`, one chapter.

A chapter's capture is the file's header (to the start marker) followed by the chapter's own lines, so title, author and language stay
with it; what stands before the first chapter is a capture as well, if it is text. Dropped: `not_text`, `too_large`, `copyrighted` (the
header says that the book is under copyright), `no_text`.

What the project hands out is in the public domain in the United States unless its header says otherwise ("The Project Gutenberg License",
1.E.7): a file with the project's markers names `Public-Domain`. A file without them names nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from headrace_governance.containers.item import Item, alone
from headrace_governance.containers.opening import blocks
from headrace_governance.encoding.decode import decode
from headrace_governance.sources.import_options import GutenbergFetch
from headrace_governance.sources.licences import licences_in
from headrace_governance.text.formats.gutenberg.convert import chapters, declared_charset, opened

MEDIA_TYPE = "text/x-gutenberg"
_LANGUAGES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt", "russian": "ru", "chinese": "zh",
    "japanese": "ja", "dutch": "nl", "finnish": "fi", "swedish": "sv", "danish": "da", "norwegian": "no", "polish": "pl", "latin": "la",
    "greek": "el", "hungarian": "hu", "czech": "cs", "catalan": "ca", "esperanto": "eo", "tagalog": "tl", "korean": "ko", "arabic": "ar",
}  # fmt: skip
_COPYRIGHTED = (
    "this is a copyrighted project gutenberg",
    "copyrighted read the copyright notice",
    "copyright status copyrighted",
    "rights copyrighted",
    "copyrighted project gutenberg ebook",
    "copyrighted project gutenberg etext",
    "this ebook is copyrighted",
    "this etext is copyrighted",
    "this book is copyrighted",
    "in copyright read the copyright notice",
)
_HEAD, _FIRST = 20_000, 2_000
"""Characters before and behind the start marker where the notice may stand: the longest header is 12,000."""
_WORD = re.compile(r"[^\W_]+")
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
            yield from alone(partial(_book, fetch, name, bytes(data)), name, file.name)


def _book(fetch: GutenbergFetch, name: str, data: bytes) -> Iterator[Item]:
    decoded = decode(data, declared_charset(data), html=False)
    text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
    book = opened(text)
    url = fetch.base_url + book.fields["number"] if "number" in book.fields else name
    if _is_copyrighted(text, book.body):
        yield Item(url=url, problem=("copyrighted", book.fields.get("title", "")))
        return
    if not book.body.strip():
        yield Item(url=url, problem=("no_text", "nothing between the markers"))
        return
    named = [("book", said) for said in licences_in(_front(text, book.body)) if "CC-" in said]  # not what a story may mention
    links = (*((("book", "Public-Domain"),) if _is_the_projects(text) else ()), *named)
    language = _LANGUAGES.get(book.fields.get("language", "").lower(), "") or fetch.language_hint
    if fetch.split == "book":
        yield Item(url=url, body=data, content_type=MEDIA_TYPE, charset=decoded.charset, language=language, licence_links=links)
        return
    starts = [at for at, _ in chapters(book.body)]
    if not starts or len(book.body[: starts[0]].strip()) >= _LEAST:
        starts.insert(0, 0)
    offset = text.find(book.body)
    header = text[:offset].rstrip("\n") + "\n\n" if offset > 0 else ""
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(book.body)], strict=True), start=1):
        part = (header + book.body[start:end].strip("\n") + "\n").encode("utf-8", "surrogatepass")
        chapter = f"{url}#chapter-{number}"
        yield Item(url=chapter, body=part, content_type=MEDIA_TYPE, charset="utf-8", language=language, licence_links=links)


def _is_copyrighted(text: str, body: str) -> bool:
    """Whether the header says so, whatever its capitals, stars and line breaks; a story that only tells of a copyright is none."""
    words = " ".join(_WORD.findall(_front(text, body).lower()))
    return any(f" {sign} " in f" {words} " for sign in _COPYRIGHTED)


def _front(text: str, body: str) -> str:
    start = max(text.find(body), 0) if body else len(text)
    return text[: min(start, _HEAD)] + " " + body[:_FIRST]


def _is_the_projects(text: str) -> bool:
    head = " ".join(text[:_HEAD].lower().split())
    return (
        "start of the project gutenberg" in head
        or "start of this project gutenberg" in head
        or "project gutenberg's" in head[:400]
        or ("project gutenberg" in head and "in the public domain" in head)
    )
