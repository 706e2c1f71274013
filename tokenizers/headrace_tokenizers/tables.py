"""Tables of tokens: shards in Megatron's format, and the way back from a run of tokens to its document."""

from __future__ import annotations

from headrace_lake.tables.fields import INT64, ROW, SLICE, STRING, field, spec

TABLES = [
    spec(
        "token_shards",
        [
            *SLICE,
            field("tokenizer_digest", STRING, "digest of the vocabulary specification"),
            field("bin_path", STRING, "Megatron .bin object, relative to the lake's root", object_="path"),
            field("idx_path", STRING, "Megatron .idx object, relative to the lake's root", object_="path"),
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
]
