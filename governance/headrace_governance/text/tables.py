"""Tables of text: documents, what is measured on them, and the verdicts on them."""

from __future__ import annotations

import pyarrow as pa

from headrace_lake.tables.fields import BOOL, FLOAT64, INT64, ROW, STRING, counts, field, spec, verdict

_STATISTICS = [
    field("language", STRING, "ISO 639-1 code by which words were split"),
    field("blank", BOOL, "nothing but white space and code blocks"),
    *counts("characters", characters="length of the text without its markup (`prose`), which all that follows is counted on"),
    *counts(
        "words",
        words="as datatrove splits them",
        real_words="words that are not pure punctuation",
        alpha_words="words with a letter",
        stop_words="different stop words that occur",
    ),
    *counts("characters", real_word_characters="in real words"),
    *counts("occurrences", hashes="number signs", ellipses="... and \u2026", line_feeds="line feeds"),
    *counts(
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
    *counts("paragraphs", paragraphs="between blank lines", duplicate_paragraphs="that occurred before"),
    *counts(
        "characters",
        duplicate_paragraph_characters="in duplicate paragraphs",
        duplicate_line_characters="in duplicate lines",
        duplicate_full_line_characters="in full lines that occurred before",
        **{f"top_{n}_gram_characters": f"of the most frequent {n}-gram, times its count" for n in (2, 3, 4)},
        **{f"duplicate_{n}_gram_characters": f"in {n}-grams that occurred before" for n in range(5, 11)},
    ),
    # Null in rows from before they were counted.
    field("code_characters", INT64, "in code blocks, which nothing else is counted on", unit="characters", null=True),
    field("item_lines", INT64, "lines whose list sign was taken away", unit="lines", null=True),
    field("plain_words", INT64, "runs of letters and digits", unit="words", null=True),
    field("licence_words", INT64, "those in passages that stand in a known licence", unit="words", null=True),
]

_PASSAGES = [
    field("starts", pa.list_(INT64), "start of each repeated passage in the text's UTF-8", unit="bytes"),
    field("ends", pa.list_(INT64), "end of each, exclusive", unit="bytes"),
    field("keeper", STRING, "source/slice/uid of the document whose copy of the first one stays", null=True),
]
_LINE_STATISTICS = [
    field("language", STRING, "ISO 639-1 code"),
    field("blank", BOOL, "nothing but white space and code blocks"),
    *counts("words", words="between white space, that begin with a letter or number, markup and code blocks left out"),
    *(
        field(name, pa.list_(INT64), doc, unit=unit)
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
    field("mark_kinds", pa.list_(STRING), "counter or phrase, by place"),
    *(
        field(name, pa.list_(INT64), doc, unit=unit)
        for name, doc, unit in (
            ("mark_starts", "start of each in the text's UTF-8", "bytes"),
            ("mark_ends", "its end, exclusive", "bytes"),
            ("mark_tokens", "tokens of its line", "words"),
            ("mark_words", "words that go with it", "words"),
        )
    ),
]
_CHINESE_STATISTICS = [
    field("language", STRING, "ISO 639-1 code"),
    field("blank", BOOL, "nothing but white space and code blocks, in a language that is measured"),
    *counts(
        "characters",
        characters="length of the text without its markup; 0 in a language that is not measured, as everything",
        han_characters="Chinese characters",
        digits="digits, full-width ones too",
        alnum_characters="letters and numbers, Chinese characters among them",
        brackets="\u3010 and \u3011",
        visible_characters="not white space",
        unique_characters="different ones of these",
    ),
    *counts("sentences", sentences="stretches with a letter up to a mark that ends a sentence"),
    *counts("lines", lines="between line feeds", expand_lines="that ask to expand something", short_lines="that are short"),
    *counts("10-grams", ten_grams="of characters", repeated_ten_grams="that are often repeated, as Data-Juicer counts"),
    field("entropy", FLOAT64, "of the distribution of visible characters", unit="nats"),
]
_SPANS = [
    field("starts", pa.list_(INT64), "start of each span in the text's UTF-8", unit="bytes"),
    field("ends", pa.list_(INT64), "end of each span, exclusive", unit="bytes"),
]

TABLES = [
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
    verdict(
        "verdict_language",
        "language and script of each document",
        [
            field("language", STRING, "ISO 639-1 code"),
            field("score", FLOAT64, "classifier's probability"),
            field("script", STRING, "ISO 15924 code of the dominant script"),
            field("traditional", FLOAT64, "share of traditional ones among Chinese characters that only one side has", null=True),
            field(
                "paragraph_languages", STRING, "share of each language among paragraphs, JSON, where the document was doubtful", null=True
            ),
            *_SPANS,
        ],
    ),
    verdict(
        "verdict_pii",
        "personally identifiable information: typed spans, to be masked when shards are cut",
        [
            field("kinds", pa.list_(STRING), "kind of each span, by place"),
            *_SPANS,
        ],
    ),
    verdict(
        "verdict_toxicity",
        "toxicity and restricted content: the worst tier of each document",
        [
            field("tier", STRING, "none, mild, strong or severe"),
            field("categories", pa.list_(STRING), "categories that were found, sorted"),
            field("per_thousand", FLOAT64, "findings in a thousand words", unit="findings"),
            field("score", FLOAT64, "highest probability that a classifier gave to a line", null=True),
            field("starts", pa.list_(INT64), "start of each finding in the text's UTF-8", unit="bytes"),
            field("ends", pa.list_(INT64), "end of each finding, exclusive", unit="bytes"),
        ],
    ),
    verdict(
        "verdict_quality",
        "quality of each document, for the mix to choose by; null where its language has no model",
        [
            field("score", FLOAT64, "classifier's probability that the text is good", null=True),
            field("tier", STRING, "bucket of the score, by quantiles of a reference", null=True),
            field("classifier", STRING, "digest of the classifier", null=True),
            field("perplexity", FLOAT64, "perplexity a word under an n-gram model", null=True),
            field("language_model", STRING, "digest of the n-gram model", null=True),
        ],
    ),
    spec("text_statistics", [*ROW, *_STATISTICS], "statistics of each text, which rules compare with their thresholds"),
    verdict("verdict_structure", "what a document consists of: licence text, code, list items"),
    verdict("verdict_gopher_quality", "Gopher quality rules (Rae et al. 2021, table A1)"),
    verdict("verdict_gopher_repetition", "Gopher repetition rules (Rae et al. 2021, table A1)"),
    verdict("verdict_c4", "C4 rules (Raffel et al. 2020)"),
    verdict("verdict_fineweb", "FineWeb rules (Penedo et al. 2024)"),
    spec("line_statistics", [*ROW, *_LINE_STATISTICS], "single lines of each text, which line rules compare with their thresholds"),
    verdict("verdict_refinedweb", "RefinedWeb's line-wise corrections (Penedo et al. 2023): spans to be left out of shards", _SPANS),
    spec("chinese_statistics", [*ROW, *_CHINESE_STATISTICS], "statistics of each Chinese text, which rules compare"),
    verdict("verdict_chinese", "rules for Chinese (MAP-CC, YuLan-GARDEN, Data-Juicer)"),
    spec(
        "text_digests",
        [*ROW, field("text_digest", STRING, "BLAKE2b-128 of the normalised text, hex")],
        "digests of texts, from which duplicates are found",
    ),
    verdict(
        "verdict_exact_duplicate",
        "exact duplicates within and across slices",
        [
            field("text_digest", STRING, "digest of the normalised text"),
            field("keeper", STRING, "source/slice/uid of the copy that is kept"),
            field("copies", INT64, "copies known when the verdict was made", unit="documents"),
        ],
    ),
    spec(
        "simhash_signatures",
        [
            *ROW,
            field("shingles", INT64, "shingles of the text, repeated ones included; 0 for one without words", unit="shingles"),
            field("simhash", INT64, "64 bits, as a signed number"),
        ],
        "SimHash of each text, from which near duplicates are found",
    ),
    spec(
        "paragraph_digests",
        [
            *ROW,
            field("bytes", INT64, "length of the stored text (`documents.text`) in UTF-8", unit="bytes"),
            field("digests", pa.list_(INT64), "64-bit digest of each long paragraph, white space normalised, by place"),
            field("starts", pa.list_(INT64), "start of each in the text's UTF-8", unit="bytes"),
            field("ends", pa.list_(INT64), "end of each, without its line feed", unit="bytes"),
        ],
        "digests of paragraphs, from which repeated ones are found",
    ),
    verdict("verdict_duplicate_paragraph", "paragraphs that occur earlier, within and across slices", _PASSAGES),
    spec(
        "passage_fingerprints",
        [
            *ROW,
            field("hashes", pa.list_(INT64), "winnowed 64-bit hashes of 25 units in a row, by place"),
            field("places", pa.list_(INT64), "where the first unit of each begins in the text's UTF-8", unit="bytes"),
        ],
        "fingerprints of texts, from which repeated passages are found",
    ),
    verdict("verdict_exact_substring", "passages of 50 words or 100 characters that occur earlier", _PASSAGES),
    spec(
        "minhash_signatures",
        [
            *ROW,
            field("shingles", INT64, "shingles of the text; 0 for one without words", unit="shingles"),
            field("signature", pa.large_binary(), "MinHash values, uint32 little endian, one after another"),
            field(
                "facts", pa.large_binary(), "smallest hashes of numbers and of names: uint32 little endian, 2 x 16, 0xFFFFFFFF where none"
            ),
            field("fact_counts", pa.large_binary(), "numbers and names seen: int32 little endian, 2"),
        ],
        "signatures of texts, from which near duplicates are found",
    ),
    verdict(
        "verdict_near_duplicate",
        "near duplicates within and across slices",
        [
            field("keeper", STRING, "source/slice/uid of the smallest-ranked near duplicate; the document itself where it is kept"),
            field("copies", INT64, "documents known to be near each other when the verdict was made", unit="documents"),
        ],
    ),
    # Decontamination.
]
