"""Every table of the lake: its Arrow schema with units, declared once and checked at every write.

A field's metadata holds `unit` (bytes, characters, tokens, nats, seconds ...) and `doc`. All tables of slices
carry `source`, `slice` (the partition) and `part`, the ordinal of the shard within its slice: row group `part` of
a verdict table belongs to row group `part` of the documents, so a join never shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from headrace_lake.errors import ConfigError


@dataclass(frozen=True)
class TableSpec:
    """A table: its schema, the columns it is partitioned by, and one line on what it holds."""

    name: str
    schema: pa.Schema
    partition: tuple[str, ...]
    doc: str
    key: str = "uid"

    @property
    def is_verdict(self) -> bool:
        """A verdict table keeps a row for dropped documents too (column `keep`)."""
        return "keep" in self.schema.names


def _f(name: str, type_: pa.DataType, doc: str, *, unit: str = "", null: bool = False) -> pa.Field:
    meta = {"doc": doc} | ({"unit": unit} if unit else {})
    return pa.field(name, type_, nullable=null, metadata=meta)


_S, _I, _L, _B, _D = pa.string(), pa.int32(), pa.int64(), pa.bool_(), pa.float64()
_TIME = pa.timestamp("us", tz="UTC")

_SLICE = [
    _f("source", _S, "source id"),
    _f("slice", _S, "interval id within the source"),
    _f("part", _I, "ordinal of the shard within the slice"),
]
_ROW = [_f("uid", _S, "document id: 32 hex digits"), *_SLICE]
_VERDICT = [
    *_ROW,
    _f("keep", _B, "the verdict"),
    _f("reason", _S, "why not, null when kept", null=True),
    _f("measured", _S, "measured values behind the verdict, JSON", null=True),
]


def _spec(name: str, fields: list[pa.Field], doc: str, partition: tuple[str, ...] = ("source", "slice"), key: str = "uid") -> TableSpec:
    return TableSpec(name, pa.schema(fields), partition, doc, key)


def _verdict(name: str, doc: str, extra: list[pa.Field] | None = None) -> TableSpec:
    return _spec(name, [*_VERDICT, *(extra or [])], doc)


def _counts(unit: str, **columns: str) -> list[pa.Field]:
    return [_f(name, _L, doc, unit=unit) for name, doc in columns.items()]


_STATISTICS = [
    _f("language", _S, "ISO 639-1 code by which words were split"),
    _f("blank", _B, "nothing but white space"),
    *_counts("characters", characters="length of the text"),
    *_counts(
        "words",
        words="as datatrove splits them",
        real_words="words that are not pure punctuation",
        alpha_words="words with a letter",
        stop_words="different stop words that occur",
    ),
    *_counts("characters", real_word_characters="in real words"),
    *_counts("occurrences", hashes="number signs", ellipses="... and \u2026", line_feeds="line feeds"),
    *_counts(
        "lines",
        lines="by any line break",
        bullet_lines="that begin with a bullet or hyphen",
        ellipsis_lines="that end in an ellipsis",
        line_runs="between runs of line feeds",
        duplicate_lines="of those, that occurred before",
        full_lines="between line feeds, blank ones left out",
        terminal_lines="of the full ones, that end in a terminal mark",
        short_lines="of the full ones, that are short",
    ),
    *_counts("paragraphs", paragraphs="between blank lines", duplicate_paragraphs="that occurred before"),
    *_counts(
        "characters",
        duplicate_paragraph_characters="in duplicate paragraphs",
        duplicate_line_characters="in duplicate lines",
        duplicate_full_line_characters="in full lines that occurred before",
        **{f"top_{n}_gram_characters": f"of the most frequent {n}-gram, times its count" for n in (2, 3, 4)},
        **{f"duplicate_{n}_gram_characters": f"in {n}-grams that occurred before" for n in range(5, 11)},
    ),
]

_PASSAGES = [
    _f("starts", pa.list_(_L), "start of each repeated passage in the text's UTF-8", unit="bytes"),
    _f("ends", pa.list_(_L), "end of each, exclusive", unit="bytes"),
    _f("keeper", _S, "source/slice/uid of the document whose copy of the first one stays", null=True),
]
_LINE_STATISTICS = [
    _f("language", _S, "ISO 639-1 code"),
    _f("blank", _B, "nothing but white space"),
    *_counts("words", words="between white space, that begin with a letter or number"),
    *(
        _f(name, pa.list_(_L), doc, unit=unit)
        for name, doc, unit in (
            ("line_starts", "start of each line that a line rule could touch, in the text's UTF-8", "bytes"),
            ("line_ends", "its end, without the line feed", "bytes"),
            ("line_tokens", "its tokens between white space", "words"),
            ("line_words", "those that count as words", "words"),
            ("line_characters", "its length", "characters"),
            ("line_uppercase", "its capitals", "characters"),
            ("line_digits", "its digits", "characters"),
        )
    ),
    _f("mark_kinds", pa.list_(_S), "counter or phrase, by place"),
    *(
        _f(name, pa.list_(_L), doc, unit=unit)
        for name, doc, unit in (
            ("mark_starts", "start of each in the text's UTF-8", "bytes"),
            ("mark_ends", "its end, exclusive", "bytes"),
            ("mark_tokens", "tokens of its line", "words"),
            ("mark_words", "words that go with it", "words"),
        )
    ),
]
_CHINESE_STATISTICS = [
    _f("language", _S, "ISO 639-1 code"),
    _f("blank", _B, "nothing but white space, in a language that is measured"),
    *_counts(
        "characters",
        characters="length of the text; 0 in a language that is not measured, as everything",
        han_characters="Chinese characters",
        digits="digits, full-width ones too",
        alnum_characters="letters and numbers, Chinese characters among them",
        brackets="\u3010 and \u3011",
        visible_characters="not white space",
        unique_characters="different ones of these",
    ),
    *_counts("sentences", sentences="stretches with a letter up to a mark that ends a sentence"),
    *_counts("lines", lines="between line feeds", expand_lines="that ask to expand something", short_lines="that are short"),
    *_counts("10-grams", ten_grams="of characters", repeated_ten_grams="that are often repeated, as Data-Juicer counts"),
    _f("entropy", _D, "of the distribution of visible characters", unit="nats"),
]
_SPANS = [
    _f("starts", pa.list_(_L), "start of each span in the text's UTF-8", unit="bytes"),
    _f("ends", pa.list_(_L), "end of each span, exclusive", unit="bytes"),
]

_SPECS = [
    _spec(
        "captures",
        [
            *_ROW,
            _f("url", _S, "address that was asked for"),
            _f("final_url", _S, "address after redirects"),
            _f("status", _I, "HTTP status; 0 for an imported file"),
            _f("fetched_at", _TIME, "when the response was complete"),
            _f("content_type", _S, "media type as declared", null=True),
            _f("charset", _S, "charset as declared", null=True),
            _f("content_digest", _S, "BLAKE2b-128 of the decoded body, hex"),
            _f("content_bytes", _L, "decoded body", unit="bytes"),
            _f("warc_path", _S, "WARC object, relative to the lake's root"),
            _f("warc_offset", _L, "start of the record in the WARC object", unit="bytes"),
            _f("warc_length", _L, "length of the (compressed) record", unit="bytes"),
            _f("etag", _S, "validator for conditional re-fetch", null=True),
            _f("last_modified", _S, "validator for conditional re-fetch", null=True),
            _f("robots_digest", _S, "BLAKE2b-128 of the robots.txt that allowed the fetch", null=True),
            _f("licence", _S, "SPDX id or the source's licence id"),
            _f("licence_class", _S, "class in the licence policy: public, attribution, share-alike, copyleft, own, restricted"),
            _f("licence_basis", _S, "where the licence was found: policy, rel-license, meta, header"),
            _f("licence_evidence", _S, "digest of the evidence that was stored with the decision"),
            _f("language_hint", _S, "declared language (BCP 47) if any", null=True),
        ],
        "what was fetched or imported: one row a response, bytes in WARC objects",
    ),
    _spec(
        "documents",
        [
            *_ROW,
            _f("url", _S, "where it came from"),
            _f("title", _S, "title if found", null=True),
            _f("text", pa.large_string(), "extracted text, Markdown-like, never rewritten afterwards"),
            _f("characters", _L, "length of the text", unit="characters"),
            _f("bytes", _L, "length of the text in UTF-8", unit="bytes"),
            _f("replaced_characters", _L, "undecodable sequences replaced by U+FFFD", unit="characters"),
            _f("language_hint", _S, "declared language (BCP 47) if any", null=True),
            _f("licence", _S, "licence id"),
            _f("licence_class", _S, "class in the licence policy"),
            _f("content_digest", _S, "digest of the capture it came from"),
        ],
        "one document a row",
    ),
    _spec(
        "document_fields",
        [*_ROW, _f("fields", _S, "what the format says beside the text (author, date, score, tags ...), JSON")],
        "further facts of documents of imported formats; no row for a document without any",
    ),
    _verdict(
        "verdict_language",
        "language and script of each document",
        [
            _f("language", _S, "ISO 639-1 code"),
            _f("score", _D, "classifier's probability"),
            _f("script", _S, "ISO 15924 code of the dominant script"),
            _f("traditional", _D, "share of traditional ones among Chinese characters that only one side has", null=True),
            _f("paragraph_languages", _S, "share of each language among paragraphs, JSON, where the document was doubtful", null=True),
        ],
    ),
    _verdict(
        "verdict_pii",
        "personally identifiable information: typed spans, to be masked when shards are cut",
        [
            _f("kinds", pa.list_(_S), "kind of each span, by place"),
            *_SPANS,
        ],
    ),
    _verdict(
        "verdict_toxicity",
        "toxicity and restricted content: the worst tier of each document",
        [
            _f("tier", _S, "none, mild, strong or severe"),
            _f("categories", pa.list_(_S), "categories that were found, sorted"),
            _f("per_thousand", _D, "findings in a thousand words", unit="findings"),
            _f("score", _D, "highest probability that a classifier gave to a line", null=True),
            _f("starts", pa.list_(_L), "start of each finding in the text's UTF-8", unit="bytes"),
            _f("ends", pa.list_(_L), "end of each finding, exclusive", unit="bytes"),
        ],
    ),
    _verdict(
        "verdict_quality",
        "quality of each document, for the mix to choose by; null where its language has no model",
        [
            _f("score", _D, "classifier's probability that the text is good", null=True),
            _f("tier", _S, "bucket of the score, by quantiles of a reference", null=True),
            _f("classifier", _S, "digest of the classifier", null=True),
            _f("perplexity", _D, "perplexity a word under an n-gram model", null=True),
            _f("language_model", _S, "digest of the n-gram model", null=True),
        ],
    ),
    _spec("text_statistics", [*_ROW, *_STATISTICS], "statistics of each text, which rules compare with their thresholds"),
    _verdict("verdict_gopher_quality", "Gopher quality rules (Rae et al. 2021, table A1)"),
    _verdict("verdict_gopher_repetition", "Gopher repetition rules (Rae et al. 2021, table A1)"),
    _verdict("verdict_c4", "C4 rules (Raffel et al. 2020)"),
    _verdict("verdict_fineweb", "FineWeb rules (Penedo et al. 2024)"),
    _spec("line_statistics", [*_ROW, *_LINE_STATISTICS], "single lines of each text, which line rules compare with their thresholds"),
    _verdict("verdict_refinedweb", "RefinedWeb's line-wise corrections (Penedo et al. 2023): spans to be left out of shards", _SPANS),
    _spec("chinese_statistics", [*_ROW, *_CHINESE_STATISTICS], "statistics of each Chinese text, which rules compare"),
    _verdict("verdict_chinese", "rules for Chinese (MAP-CC, YuLan-GARDEN, Data-Juicer)"),
    _spec(
        "text_digests",
        [*_ROW, _f("text_digest", _S, "BLAKE2b-128 of the normalised text, hex")],
        "digests of texts, from which duplicates are found",
    ),
    _verdict(
        "verdict_exact_duplicate",
        "exact duplicates within and across slices",
        [
            _f("text_digest", _S, "digest of the normalised text"),
            _f("keeper", _S, "source/slice/uid of the copy that is kept"),
            _f("copies", _L, "copies known when the verdict was made", unit="documents"),
        ],
    ),
    _spec(
        "simhash_signatures",
        [
            *_ROW,
            _f("shingles", _L, "shingles of the text, repeated ones included; 0 for one without words", unit="shingles"),
            _f("simhash", _L, "64 bits, as a signed number"),
        ],
        "SimHash of each text, from which near duplicates are found",
    ),
    _spec(
        "paragraph_digests",
        [
            *_ROW,
            _f("bytes", _L, "length of the text in UTF-8", unit="bytes"),
            _f("digests", pa.list_(_L), "64-bit digest of each long paragraph, white space normalised, by place"),
            _f("starts", pa.list_(_L), "start of each in the text's UTF-8", unit="bytes"),
            _f("ends", pa.list_(_L), "end of each, without its line feed", unit="bytes"),
        ],
        "digests of paragraphs, from which repeated ones are found",
    ),
    _verdict("verdict_duplicate_paragraph", "paragraphs that occur earlier, within and across slices", _PASSAGES),
    _spec(
        "passage_fingerprints",
        [
            *_ROW,
            _f("hashes", pa.list_(_L), "winnowed 64-bit hashes of 25 units in a row, by place"),
            _f("places", pa.list_(_L), "where the first unit of each begins in the text's UTF-8", unit="bytes"),
        ],
        "fingerprints of texts, from which repeated passages are found",
    ),
    _verdict("verdict_exact_substring", "passages of 50 words or 100 characters that occur earlier", _PASSAGES),
    _spec(
        "minhash_signatures",
        [
            *_ROW,
            _f("shingles", _L, "shingles of the text; 0 for one without words", unit="shingles"),
            _f("signature", pa.large_binary(), "MinHash values, uint32 little endian, one after another"),
            _f("facts", pa.large_binary(), "smallest hashes of numbers and of names: uint32 little endian, 2 x 16, 0xFFFFFFFF where none"),
            _f("fact_counts", pa.large_binary(), "numbers and names seen: int32 little endian, 2"),
        ],
        "signatures of texts, from which near duplicates are found",
    ),
    _verdict(
        "verdict_near_duplicate",
        "near duplicates within and across slices",
        [
            _f("keeper", _S, "source/slice/uid of the smallest-ranked near duplicate; the document itself where it is kept"),
            _f("copies", _L, "documents known to be near each other when the verdict was made", unit="documents"),
        ],
    ),
    # Decontamination.
    _spec(
        "evaluation_items",
        [
            *_ROW,
            _f("set", _S, "evaluation set"),
            _f("item", _S, "id within the set; an item has one row for each of its texts"),
            _f("language", _S, "ISO 639-1 code"),
            _f("field", _S, "question, answer, context, or document: a paragraph of a held-out document of our own"),
            _f("text", pa.large_string(), "the text that must not be trained on"),
            _f("licence", _S, "licence id of the set"),
            _f("digest", _S, "BLAKE2b-128 of the text, hex"),
            _f("revision", _S, "revision of the set: as declared, or the digest of its content"),
            _f("origin", _S, "source/slice/uid of the document that it is, for held-out documents: no contamination of itself", null=True),
        ],
        "texts of evaluation sets, a set a slice of source 'evaluation'",
    ),
    _spec(
        "common_ngrams",
        [
            *_SLICE,
            _f("key", pa.uint64(), "hash by which the index of evaluation items knows the run of words"),
            _f("words", _S, "the run as it is compared: folded, a space between units"),
            _f("documents", _L, "documents it was counted in", unit="documents"),
        ],
        "runs of words of evaluation items that stand in many documents: common phrases",
        key="key",
    ),
    _verdict(
        "verdict_contamination",
        "documents that hold evaluation items",
        [
            _f("set", _S, "evaluation set of the strongest hit", null=True),
            _f("item", _S, "uid of the strongest hit in evaluation_items", null=True),
            _f("overlap", _D, "share of the item's n-grams found; of a shorter item 1", null=True),
            _f("matched", _L, "n-grams found; of a shorter item 1", unit="n-grams", null=True),
            _f("start", _L, "start of the matched region in the text's UTF-8", unit="bytes", null=True),
            _f("end", _L, "end of the matched region, exclusive", unit="bytes", null=True),
            _f("items", pa.list_(_S), "uids of all items found, strongest first"),
        ],
    ),
    _spec(
        "admitted",
        [
            *_ROW,
            _f("language", _S, "ISO 639-1 code"),
            _f("licence", _S, "licence id"),
            _f("licence_class", _S, "class in the licence policy"),
            _f("bytes", _L, "length of the text in UTF-8", unit="bytes"),
        ],
        "documents that every verdict keeps",
    ),
    _spec(
        "token_shards",
        [
            *_SLICE,
            _f("tokenizer_digest", _S, "digest of the vocabulary specification"),
            _f("bin_path", _S, "Megatron .bin object, relative to the lake's root"),
            _f("idx_path", _S, "Megatron .idx object, relative to the lake's root"),
            _f("documents", _L, "documents in the shard", unit="documents"),
            _f("tokens", _L, "tokens in the shard, end-of-document tokens included", unit="tokens"),
        ],
        "token files in Megatron's format (int32 ids)",
        key="part",
    ),
    _spec(
        "passports",
        [
            *_ROW,
            _f("ordinal", _L, "sequence number in the .idx of token shard (source, slice, part)"),
            _f("token_start", _L, "first token in the .bin", unit="tokens"),
            _f("token_count", _L, "tokens, end-of-document token included", unit="tokens"),
            _f("byte_start", _L, "first byte of the document's text", unit="bytes"),
            _f("byte_end", _L, "end of the document's text, exclusive", unit="bytes"),
            _f("language", _S, "ISO 639-1 code"),
            _f("licence", _S, "licence id"),
            _f("licence_class", _S, "class in the licence policy"),
        ],
        "from a run of tokens back to the document",
    ),
    _spec(
        "exclusions",
        [
            *_ROW,
            _f("stage", _S, "stage that dropped the row"),
            _f("reason", _S, "rule that dropped it"),
            _f("detail", _S, "measured value", null=True),
        ],
        "rows that a stage dropped, with the reason",
        ("source", "slice", "stage"),
    ),
    _spec(
        "quarantine",
        [
            *_ROW,
            _f("stage", _S, "stage that failed on the row"),
            _f("error", _S, "exception class and message"),
            _f("row", _S, "the input row as JSON, long values cut"),
        ],
        "rows that raised in a stage",
        ("source", "slice", "stage"),
    ),
    _spec(
        "receipts",
        [
            _f("stage", _S, "stage name"),
            _f("source", _S, "source id"),
            _f("slice", _S, "interval id"),
            _f("fingerprint", _S, "digest of (stage, slice, inputs, parameters, code)"),
            _f("committed_at", _TIME, "time of the commit"),
            _f("read", _L, "input rows", unit="rows"),
            _f("kept", _L, "rows kept", unit="rows"),
            _f("dropped", _L, "rows dropped with a reason", unit="rows"),
            _f("failed", _L, "rows quarantined", unit="rows"),
            _f("receipt", _S, "the whole receipt as JSON"),
        ],
        "one row a committed stage run",
        ("source", "slice"),
        key="fingerprint",
    ),
    _spec(
        "artifacts",
        [
            _f("kind", _S, "mix, run, checkpoint, evaluation, gate, release, crawl-log, quality-model"),
            _f("name", _S, "human-readable name"),
            _f("fingerprint", _S, "digest of (kind, inputs, parameters, code)"),
            _f("digest", _S, "digest of the content"),
            _f("path", _S, "where it lies, relative to the lake's root, or empty"),
            _f("parents", pa.list_(pa.field("element", _S, nullable=False)), "fingerprints it was made from"),
            _f("created_at", _TIME, "when"),
            _f("payload", _S, "the artifact's own record as JSON"),
        ],
        "mixes, runs, checkpoints, evaluations, gates and releases",
        ("kind",),
        key="fingerprint",
    ),
]

TABLES: dict[str, TableSpec] = {s.name: s for s in _SPECS}


def table_spec(name: str) -> TableSpec:
    """The declaration of a table.

    Raises:
        ConfigError: no such table; the message names the nearest one.
    """
    if name in TABLES:
        return TABLES[name]
    import difflib

    near = difflib.get_close_matches(name, TABLES, n=1)
    raise ConfigError(f"no table '{name}'", f"did you mean '{near[0]}'?" if near else f"tables: {', '.join(TABLES)}")
