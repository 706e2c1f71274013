"""Table of what was fetched or imported, whatever its modality."""

from __future__ import annotations

from headrace_lake.tables.fields import INT32, INT64, ROW, STRING, TIME, field, spec

TABLES = [
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
            field("warc_path", STRING, "WARC object, relative to the lake's root", object_="path"),
            field("warc_offset", INT64, "start of the record in the WARC object", unit="bytes"),
            field("warc_length", INT64, "length of the (compressed) record", unit="bytes"),
            field("etag", STRING, "validator for conditional re-fetch", null=True),
            field("last_modified", STRING, "validator for conditional re-fetch", null=True),
            field("robots_digest", STRING, "BLAKE2b-128 of the robots.txt that allowed the fetch", null=True, object_="evidence.txt"),
            field("licence", STRING, "SPDX id or the source's licence id"),
            field("licence_class", STRING, "class in the licence policy: public, attribution, share-alike, copyleft, own, restricted"),
            field("licence_basis", STRING, "where the licence was found: policy, rel-license, meta, header"),
            field("licence_evidence", STRING, "digest of the evidence that was stored with the decision", object_="evidence.json"),
            field("language_hint", STRING, "declared language (BCP 47) if any", null=True),
            field("answered_by", STRING, "mirror that answered in place of the site the address names; null: that site did", null=True),
        ],
        "what was fetched or imported: one row a response, bytes in WARC objects",
    ),
]
