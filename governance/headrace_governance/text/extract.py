"""Stage `extract`: captures → documents, one Markdown-like text a page.

HTML goes through `markdown.read_page` in a process of its own (see `parser_process`), the formats that importers bring (wikitext,
LaTeX, JATS ...) through `text/formats` in the same process; plain text and Markdown pass as they are. Undecodable bytes are
replaced and counted; a page is lost to them only if they are a fifth of it. The text is not rewritten afterwards by any stage. Speed:
about 500 manual pages/s a core with reading the WARC file, 900 without.

What a format says beside the text (author, date, score) goes to `document_fields`.

Reasons: `no_text`, `too_large` (bytes), `not_text_media` (type), `undecodable` (share), `hostile_html` (which bound), `hostile_document`
(the same for other formats), `malformed` (what is wrong).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pyarrow as pa

from headrace_governance.text.decode import decode
from headrace_governance.text.formats.convert import MEDIA_TYPES, ConversionRules
from headrace_governance.text.parser_process import ParserProcess
from headrace_lake.errors import InputError
from headrace_lake.schemas import TABLES
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, Stage

_HTML = ("text/html", "application/xhtml+xml")
_PLAIN = ("text/plain", "text/markdown", "text/x-markdown", "text/x-rst")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""C0 controls other than tab, line feed and return: never text, and NUL breaks tools downstream."""


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
        self._parser = ParserProcess(self.params.page_seconds, self.params.parser_memory_bytes, rules)
        self._fields: dict[str, str] = {}

    def process(self, batch: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([self._document(row) for row in batch.to_pylist()], schema=_OUTPUT)

    def finish(self, part: PartWriter) -> dict[str, pa.Table]:
        self._parser.close()
        if not self._fields:
            return {}
        return {"document_fields": pa.table({"uid": list(self._fields), "fields": list(self._fields.values())})}

    def _document(self, row: dict[str, Any]) -> dict[str, Any]:
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
            DROP_REASON: None,
            DROP_DETAIL: None,
        }
        media = (row["content_type"] or "").partition(";")[0].strip().lower()
        if row["content_bytes"] > self.params.max_bytes:
            return {**document, DROP_REASON: "too_large", DROP_DETAIL: str(row["content_bytes"])}
        if media and media not in _HTML and media not in _PLAIN and media not in MEDIA_TYPES:
            return {**document, DROP_REASON: "not_text_media", DROP_DETAIL: media}
        body = read_body(self._part.local_path(row["warc_path"]), row["warc_offset"], row["warc_length"], self.params.max_bytes)
        if len(body) > self.params.max_bytes:
            return {**document, DROP_REASON: "too_large", DROP_DETAIL: f"> {self.params.max_bytes}"}
        if media in MEDIA_TYPES:
            return self._converted(document, media, body, row["charset"])
        html = media in _HTML or (not media and b"<" in body[:1024])
        if not html and b"\x00" in body[:1024] and not body.startswith((b"\xff\xfe", b"\xfe\xff")):
            return {**document, DROP_REASON: "not_text_media", DROP_DETAIL: "binary"}
        decoded = decode(body, row["charset"], html=html)
        text, title, reason = decoded.text, None, None
        facts: dict[str, str] = {}
        if html:
            text, title, reason, facts = self._page(decoded.text)
        if reason is not None:
            return {**document, DROP_REASON: "hostile_html", DROP_DETAIL: reason}
        return self._noted(self._finished(document, text, title, decoded.replaced), facts)

    def _converted(self, document: dict[str, Any], media: str, body: bytes, charset: str | None) -> dict[str, Any]:
        answer = self._parser.convert(media, body, charset)
        if answer is None or "error" in answer:
            limits = f"killed the parser (limits: {self.params.page_seconds} s, {self.params.parser_memory_bytes >> 20} MiB)"
            return {**document, DROP_REASON: "hostile_document", DROP_DETAIL: limits if answer is None else answer["error"]}
        if "malformed" in answer:
            return {**document, DROP_REASON: "malformed", DROP_DETAIL: answer["malformed"][:500]}
        return self._noted(self._finished(document, _utf8(answer["text"]), _utf8(answer["title"] or "") or None, 0), answer["fields"])

    def _noted(self, row: dict[str, Any], facts: dict[str, str]) -> dict[str, Any]:
        """The row; what else is known of a document that is kept waits for `finish`."""
        if facts and row[DROP_REASON] is None:
            self._fields[row["uid"]] = _utf8(json.dumps(facts, sort_keys=True, ensure_ascii=False))
        return row

    def _finished(self, document: dict[str, Any], text: str, title: str | None, replaced: int) -> dict[str, Any]:
        text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
        lost = text.count("\ufffd") / max(1, len(text))
        if replaced and lost > self.params.max_replaced:
            return {**document, DROP_REASON: "undecodable", DROP_DETAIL: f"{lost:.2f}"}
        if len(text) < self.params.min_characters or not any(c.isalnum() for c in text):
            return {**document, DROP_REASON: "no_text", DROP_DETAIL: str(len(text))}
        return {
            **document,
            "title": title,
            "text": text,
            "characters": len(text),
            "bytes": len(text.encode("utf-8")),
            "replaced_characters": replaced,
        }

    def _page(self, markup: str) -> tuple[str, str | None, str | None, dict[str, str]]:
        """Text, title, why the page is hostile, and what its schema.org data says."""
        answer = self._parser.parse(markup)
        if answer is None:
            return "", None, f"killed the parser (limits: {self.params.page_seconds} s, {self.params.parser_memory_bytes >> 20} MiB)", {}
        if "error" in answer:
            return "", None, answer["error"], {}
        return _utf8(answer["text"]), answer["title"], answer["hostile"], answer["fields"]


def _utf8(text: str) -> str:
    # The parser may hand back lone surrogates from character references; UTF-8 has no form for them.
    return text.encode("utf-8", "replace").decode("utf-8")


def read_body(path: str, offset: int, length: int, limit: int) -> bytes:
    """The decoded body of one WARC record, at most `limit` + 1 bytes.

    Raises:
        InputError: there is no whole record at this place.
    """
    from warcio.archiveiterator import ArchiveIterator

    with open(path, "rb") as f:
        f.seek(offset)
        data = f.read(length)
    record = next(iter(ArchiveIterator(BytesIO(data))), None) if len(data) == length else None
    if record is None:
        raise InputError(f"{path}: no WARC record at byte {offset}", "the file is truncated: fetch the slice again")
    body: bytes = record.content_stream().read(limit + 1)
    return body


_OUTPUT = pa.schema(
    [
        *(f for f in TABLES["documents"].schema if f.name not in ("source", "slice", "part")),
        pa.field(DROP_REASON, pa.string()),
        pa.field(DROP_DETAIL, pa.string()),
    ]
)
