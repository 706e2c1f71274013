"""Tables of every modality: what came in, what went out, what happened."""

from __future__ import annotations

import pyarrow as pa

from headrace_lake.schemas.fields import INT32, INT64, ROW, SLICE, STRING, TIME, field, spec

LAKE_TABLES = [
    spec(
        "captures",
        [
            *ROW,
            field("url", STRING, "address that was asked for"),
            field("final_url", STRING, "address after redirects"),
            field("status", INT32, "HTTP status; 0 for an imported file"),
            field("fetched_at", TIME, "when the response was complete"),
            field("content_type", STRING, "media type as declared", null=True),
            field("charset", STRING, "charset as declared", null=True),
            field("content_digest", STRING, "BLAKE2b-128 of the decoded body, hex"),
            field("content_bytes", INT64, "decoded body", unit="bytes"),
            field("warc_path", STRING, "WARC object, relative to the lake's root"),
            field("warc_offset", INT64, "start of the record in the WARC object", unit="bytes"),
            field("warc_length", INT64, "length of the (compressed) record", unit="bytes"),
            field("etag", STRING, "validator for conditional re-fetch", null=True),
            field("last_modified", STRING, "validator for conditional re-fetch", null=True),
            field("robots_digest", STRING, "BLAKE2b-128 of the robots.txt that allowed the fetch", null=True),
            field("licence", STRING, "SPDX id or the source's licence id"),
            field("licence_class", STRING, "class in the licence policy: public, attribution, share-alike, copyleft, own, restricted"),
            field("licence_basis", STRING, "where the licence was found: policy, rel-license, meta, header"),
            field("licence_evidence", STRING, "digest of the evidence that was stored with the decision"),
            field("language_hint", STRING, "declared language (BCP 47) if any", null=True),
        ],
        "what was fetched or imported: one row a response, bytes in WARC objects",
    ),
    spec(
        "documents",
        [
            *ROW,
            field("url", STRING, "where it came from"),
            field("title", STRING, "title if found", null=True),
            field("text", pa.large_string(), "extracted text, Markdown-like, never rewritten afterwards"),
            field("characters", INT64, "length of the text", unit="characters"),
            field("bytes", INT64, "length of this stored text in UTF-8; what is tokenised may be shorter (`passports`)", unit="bytes"),
            field("replaced_characters", INT64, "undecodable sequences replaced by U+FFFD", unit="characters"),
            field("language_hint", STRING, "declared language (BCP 47) if any", null=True),
            field("licence", STRING, "licence id"),
            field("licence_class", STRING, "class in the licence policy"),
            field("content_digest", STRING, "digest of the capture it came from"),
            field(
                "format", STRING, "markdown: the text is in Markdown; plain: marks are content; null: from before this was noted", null=True
            ),
        ],
        "one document a row",
    ),
    spec(
        "document_fields",
        [*ROW, field("fields", STRING, "what the format says beside the text (author, date, score, tags ...), JSON")],
        "further facts of documents of imported formats; no row for a document without any",
    ),
    spec(
        "admitted",
        [
            *ROW,
            field("language", STRING, "ISO 639-1 code"),
            field("licence", STRING, "licence id"),
            field("licence_class", STRING, "class in the licence policy"),
            field("bytes", INT64, "length of the stored text (`documents.text`) in UTF-8", unit="bytes"),
        ],
        "documents that every verdict keeps",
    ),
    spec(
        "token_shards",
        [
            *SLICE,
            field("tokenizer_digest", STRING, "digest of the vocabulary specification"),
            field("bin_path", STRING, "Megatron .bin object, relative to the lake's root"),
            field("idx_path", STRING, "Megatron .idx object, relative to the lake's root"),
            field("documents", INT64, "documents in the shard", unit="documents"),
            field("tokens", INT64, "tokens in the shard, end-of-document tokens included", unit="tokens"),
        ],
        "token files in Megatron's format (int32 ids)",
        key="part",
    ),
    spec(
        "passports",
        [
            *ROW,
            field("ordinal", INT64, "sequence number in the .idx of token shard (source, slice, part)"),
            field("token_start", INT64, "first token in the .bin", unit="tokens"),
            field("token_count", INT64, "tokens, end-of-document token included", unit="tokens"),
            field("byte_start", INT64, "where it begins in the UTF-8 of the stored text (`documents.text`)", unit="bytes"),
            field("byte_end", INT64, "where it ends there, exclusive", unit="bytes"),
            field(
                "encoded_bytes",
                INT64,
                "length in UTF-8 of the encoded text: the stored one with personal data masked and passages cut, before NFC",
                unit="bytes",
            ),
            field("language", STRING, "ISO 639-1 code"),
            field("licence", STRING, "licence id"),
            field("licence_class", STRING, "class in the licence policy"),
        ],
        "from a run of tokens back to the document",
    ),
    spec(
        "exclusions",
        [
            *ROW,
            field("stage", STRING, "stage that dropped the row"),
            field("reason", STRING, "rule that dropped it"),
            field("detail", STRING, "measured value", null=True),
        ],
        "rows that a stage dropped, with the reason",
        ("source", "slice", "stage"),
    ),
    spec(
        "quarantine",
        [
            *ROW,
            field("stage", STRING, "stage that failed on the row"),
            field("error", STRING, "exception class and message"),
            field("row", STRING, "the input row as JSON, long values cut"),
        ],
        "rows that raised in a stage",
        ("source", "slice", "stage"),
    ),
    spec(
        "receipts",
        [
            field("stage", STRING, "stage name"),
            field("source", STRING, "source id"),
            field("slice", STRING, "interval id"),
            field("fingerprint", STRING, "digest of (stage, slice, inputs, parameters, code)"),
            field("committed_at", TIME, "when, by the writer's clock; shown, never compared"),
            field("read", INT64, "input rows", unit="rows"),
            field("kept", INT64, "rows kept", unit="rows"),
            field("dropped", INT64, "rows dropped with a reason", unit="rows"),
            field("failed", INT64, "rows quarantined", unit="rows"),
            field("receipt", STRING, "the whole receipt as JSON"),
        ],
        "one row a committed stage run",
        ("source", "slice"),
        key="fingerprint",
        log=True,
    ),
    spec(
        "artifacts",
        [
            field("kind", STRING, "mix, run, checkpoint, evaluation, gate, release, crawl-log, quality-model"),
            field("name", STRING, "human-readable name"),
            field("fingerprint", STRING, "digest of (kind, inputs, parameters, code)"),
            field("digest", STRING, "digest of the content"),
            field("path", STRING, "where it lies, relative to the lake's root, or empty"),
            field("parents", pa.list_(pa.field("element", STRING, nullable=False)), "fingerprints it was made from"),
            field("created_at", TIME, "when, by the writer's clock; shown, never compared"),
            field("payload", STRING, "the artifact's own record as JSON"),
        ],
        "mixes, runs, checkpoints, evaluations, gates and releases",
        ("kind",),
        key="fingerprint",
        log=True,
    ),
]
