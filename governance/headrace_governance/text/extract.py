"""Stage `extract`: captures → documents, one Markdown-like text a page.

HTML goes through `markdown.read_page` in a process of its own (see `parser_process`), the formats that importers bring (wikitext,
LaTeX, JATS ...) through `text/formats` in the same process; plain text and Markdown pass as they are. `format` says which of the texts are
Markdown, ours or an author's. Undecodable bytes are
replaced and counted; a page is lost to them only if they are a fifth of it. The text is not rewritten afterwards by any stage. Speed:
about 2,300 help pages of 11 KB a second of processor time, that of the parser's process and of reading the WARC file included.

What a format says beside the text (author, date, score) goes to `document_fields`, and so does what makes a text doubtful: `charset` and
`charset_source` if the charset was guessed or bytes were lost (`replaced_characters`), `templates_unknown` and `templates_dropped` of
wikitext.

Reasons: `no_text`, `too_large` (bytes), `not_text_media` (type), `undecodable` (share), `hostile_html` (which bound), `hostile_document`
(the same for other formats), `malformed` (what is wrong).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from headrace_governance.encoding.charsets import UTF_16, encoding_of
from headrace_governance.encoding.decode import Decoded, decode
from headrace_governance.text import parser_process
from headrace_governance.text.formats.convert import MEDIA_TYPES, ConversionRules
from headrace_governance.text.parser_process import Answer, Request
from headrace_governance.text.text_format import MARKDOWN, PLAIN
from headrace_governance.text.warc_record import body_at
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, Stage
from headrace_lake.tables import TABLES

_HTML = ("text/html", "application/xhtml+xml")
_AUTHORS_MARKDOWN = ("text/markdown", "text/x-markdown")
_PLAIN = ("text/plain", *_AUTHORS_MARKDOWN, "text/x-rst")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""C0 controls other than tab, line feed and return: never text, and NUL breaks tools downstream."""

REQUEST_BYTES = 1 << 20
"""Bytes of documents after which the parser's process is asked, so that a batch of large ones is never held at once."""


class ExtractParams(ConversionRules):
    """Parameters of `extract`.

    Attributes:
        max_bytes: decoded body; 8 MB holds the longest single-page manuals.
        min_characters: shorter texts are `no_text`.
        max_replaced: share of characters that stand for undecodable bytes; damaged pages have thousandths, noise has 0.4.
        page_seconds: processor time a page may take; ordinary pages take 0.01.
        parser_memory_bytes: address space of the parsing process.
    """

    max_bytes: int = 8_000_000
    min_characters: int = 1
    max_replaced: float = 0.2
    page_seconds: float = 10.0
    parser_memory_bytes: int = 3 << 30


class Extract(Stage):
    """Captures → `documents`."""

    name = "extract"
    version = "4"
    output = "documents"
    also = ("document_fields",)
    Params = ExtractParams
    resources = Resources(cpus=1, memory_bytes=4 << 30)
    batch_rows = 64

    params: ExtractParams

    def inputs(self) -> Inputs:
        return Inputs(
            "captures",
            (
                "uid", "url", "final_url", "content_type", "charset", "content_digest", "content_bytes", "warc_path", "warc_offset",
                "warc_length", "licence", "licence_class", "language_hint",
            ),
        )  # fmt: skip

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._part = part
        rules = {name: value for name, value in self.params.model_dump(mode="json").items() if name in ConversionRules.model_fields}
        self._parser = parser_process.borrow(self.params.page_seconds, self.params.parser_memory_bytes, rules)
        self._fields: dict[str, str] = {}

    def process(self, batch: pa.Table) -> pa.Table:
        documents: list[dict[str, Any]] = []
        waiting: list[_Begun] = []
        with _Records(self._part) as records:
            for row in batch.to_pylist():
                begun = self._begun(row, records)
                documents.append(begun.document)
                if begun.request is not None:
                    waiting.append(begun)
                if sum(len(w.request[1]) for w in waiting if w.request) > REQUEST_BYTES:
                    self._answer(waiting)
                    waiting = []
        self._answer(waiting)
        return pa.Table.from_pylist(documents, schema=_OUTPUT)

    def finish(self, part: PartWriter) -> dict[str, pa.Table]:
        parser_process.hand_back(self._parser)
        if not self._fields:
            return {}
        return {"document_fields": pa.table({"uid": list(self._fields), "fields": list(self._fields.values())})}

    def _begun(self, row: dict[str, Any], records: _Records) -> _Begun:
        """The row up to where the parser's process is asked: what it is dropped for already, its plain text, or what to ask."""
        document = {
            "uid": row["uid"],
            "url": row["final_url"] or row["url"],
            "title": None,
            "text": "",
            "characters": 0,
            "bytes": 0,
            "replaced_characters": 0,
            "language_hint": row["language_hint"],
            "licence": row["licence"],
            "licence_class": row["licence_class"],
            "content_digest": row["content_digest"],
            "format": MARKDOWN,
            DROP_REASON: None,
            DROP_DETAIL: None,
        }
        media = (row["content_type"] or "").partition(";")[0].strip().lower()
        if row["content_bytes"] > self.params.max_bytes:
            return _dropped(document, "too_large", str(row["content_bytes"]))
        if media and media not in _HTML and media not in _PLAIN and media not in MEDIA_TYPES:
            return _dropped(document, "not_text_media", media)
        body = records.body(row["warc_path"], row["warc_offset"], row["warc_length"], self.params.max_bytes)
        if len(body) > self.params.max_bytes:
            return _dropped(document, "too_large", f"> {self.params.max_bytes}")
        if media in MEDIA_TYPES:
            return _Begun(document, parser_process.document(media, body, row["charset"]), "hostile_document")
        html = media in _HTML or (not media and b"<" in body[:1024])
        utf_16 = body.startswith((b"\xff\xfe", b"\xfe\xff")) or encoding_of(row["charset"]) in UTF_16
        if not html and not utf_16 and b"\x00" in body[:1024]:
            return _dropped(document, "not_text_media", "binary")
        decoded = decode(body, row["charset"], html=html)
        if html:
            asked = parser_process.page(decoded.text.encode("utf-8", "replace"), xml=media == "application/xhtml+xml")
            return _Begun(document, asked, "hostile_html", decoded)
        document["format"] = MARKDOWN if media in _AUTHORS_MARKDOWN else PLAIN
        self._finish(document, decoded.text, None, decoded.replaced, _doubt(decoded))
        return _Begun(document)

    def _answer(self, waiting: Sequence[_Begun]) -> None:
        """Ask the parser's process for these documents, and finish them."""
        answers = self._parser.ask([w.request for w in waiting if w.request is not None])
        for begun, answer in zip(waiting, answers, strict=True):
            self._read(begun, answer)

    def _read(self, begun: _Begun, answer: Answer | None) -> None:
        document = begun.document
        if answer is None:
            limits = f"killed the parser (limits: {self.params.page_seconds} s, {self.params.parser_memory_bytes >> 20} MiB)"
            _drop(document, begun.hostile, limits)
        elif "malformed" in answer:
            _drop(document, "malformed", answer["malformed"][:500])
        elif "error" in answer or answer.get("hostile") is not None:
            _drop(document, begun.hostile, answer.get("error") or answer["hostile"])
        else:
            replaced = begun.decoded.replaced if begun.decoded is not None else int(answer["fields"].get("replaced_characters", 0))
            self._finish(document, answer["text"], answer["title"] or None, replaced, answer["fields"] | _doubt(begun.decoded))

    def _finish(self, document: dict[str, Any], text: str, title: str | None, replaced: int, fields: dict[str, str]) -> None:
        """Put a document's text into its row, or why it has none; what else is known waits for `finish`."""
        text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
        lost = text.count("\ufffd") / max(1, len(text))
        if replaced and lost > self.params.max_replaced:
            _drop(document, "undecodable", f"{lost:.2f}")
        elif len(text) < self.params.min_characters or not any(c.isalnum() for c in text):
            _drop(document, "no_text", str(len(text)))
        else:
            document |= {
                "title": title,
                "text": text,
                "characters": len(text),
                "bytes": len(text.encode("utf-8")),
                "replaced_characters": replaced,
            }
            if fields:
                self._fields[document["uid"]] = json.dumps(fields, sort_keys=True, ensure_ascii=False)


@dataclass(slots=True)
class _Begun:
    """A row of the output under way.

    Attributes:
        document: the row.
        request: what the parser's process must be asked to finish it, or None if it is finished.
        hostile: the reason under which it is dropped if it kills the process.
        decoded: how its text was come by, unless the parser's process decodes it.
    """

    document: dict[str, Any]
    request: Request | None = None
    hostile: str = ""
    decoded: Decoded | None = None


class _Records:
    """The WARC file that is being read, kept open: a part's records lie in one, in order."""

    def __init__(self, part: PartWriter) -> None:
        self._part = part
        self._path = ""
        self._local = ""
        self._file: IO[bytes] | None = None

    def body(self, path: str, offset: int, length: int, limit: int) -> bytes:
        """The decoded body of a record, at most `limit` + 1 bytes."""
        if self._file is None or path != self._path:
            self.__exit__()
            self._path, self._local = path, self._part.local_path(path)
            self._file = open(self._local, "rb")  # noqa: SIM115 - closed by __exit__
        return body_at(self._file, self._local, offset, length, limit)

    def __enter__(self) -> _Records:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _doubt(decoded: Decoded | None) -> dict[str, str]:
    """What a row says of a text whose charset is doubtful."""
    return decoded.doubt() if decoded is not None else {}


def _drop(document: dict[str, Any], reason: str, detail: str) -> None:
    document[DROP_REASON], document[DROP_DETAIL] = reason, detail


def _dropped(document: dict[str, Any], reason: str, detail: str) -> _Begun:
    _drop(document, reason, detail)
    return _Begun(document)


_OUTPUT = pa.schema(
    [
        *(f for f in TABLES["documents"].schema if f.name not in ("source", "slice", "part")),
        pa.field(DROP_REASON, pa.string()),
        pa.field(DROP_DETAIL, pa.string()),
    ]
)
