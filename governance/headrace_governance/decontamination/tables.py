"""Tables of evaluation sets, and of the documents that hold their items."""

from __future__ import annotations

import pyarrow as pa

from headrace_lake.tables.fields import FLOAT64, INT64, ROW, SLICE, STRING, field, spec, verdict

TABLES = [
    spec(
        "evaluation_items",
        [
            *ROW,
            field("set", STRING, "evaluation set"),
            field("item", STRING, "id within the set; an item has one row for each of its texts"),
            field("language", STRING, "ISO 639-1 code"),
            field("field", STRING, "question, answer, context, or document: a paragraph of a held-out document of our own"),
            field("text", pa.large_string(), "the text that must not be trained on"),
            field("licence", STRING, "licence id of the set"),
            field("digest", STRING, "BLAKE2b-128 of the text, hex"),
            field("revision", STRING, "revision of the set: as declared, or the digest of its content"),
            field(
                "origin",
                STRING,
                "source/slice/uid of the document that it is, for held-out documents: no contamination of itself",
                null=True,
            ),
        ],
        "texts of evaluation sets, a set a slice of source 'evaluation'",
    ),
    spec(
        "common_ngrams",
        [
            *SLICE,
            field("key", pa.uint64(), "hash by which the index of evaluation items knows the run of words"),
            field("words", STRING, "the run as it is compared: folded, a space between units"),
            field("documents", INT64, "documents it was counted in", unit="documents"),
        ],
        "runs of words of evaluation items that stand in many documents: common phrases",
        key="key",
    ),
    verdict(
        "verdict_contamination",
        "documents that hold evaluation items",
        [
            field("set", STRING, "evaluation set of the strongest hit", null=True),
            field("item", STRING, "uid of the strongest hit in evaluation_items", null=True),
            field("overlap", FLOAT64, "share of the item's n-grams found; of a shorter item 1", null=True),
            field("matched", INT64, "n-grams found; of a shorter item 1", unit="n-grams", null=True),
            field("start", INT64, "start of the matched region in the text's UTF-8", unit="bytes", null=True),
            field("end", INT64, "end of the matched region, exclusive", unit="bytes", null=True),
            field("items", pa.list_(STRING), "uids of all items found, strongest first"),
        ],
    ),
]
