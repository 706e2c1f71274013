"""What a source file says about an import from a foreign format: one `fetch.kind` each, with its limits.

The limits hold for everything that is opened: `max_bytes` for one record after decompression, `max_ratio` for decompressed over
compressed bytes of a file. Real dumps expand 3 to 20 times; a bomb expands a thousand times and more.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from headrace_lake.strict import StrictModel


class RecordsFetch(StrictModel):
    """What all of them share.

    Attributes:
        paths: files, or patterns with `*`; plain or compressed (`.gz`, `.bz2`, `.xz`, `.zst`).
        max_bytes: one record (page, article, question with answers); longer ones are dropped as `too_large`.
        max_ratio: decompressed over compressed bytes; a file beyond it is refused.
        language_hint: BCP 47 tag of records that declare none.
    """

    paths: tuple[str, ...] = Field(min_length=1)
    max_bytes: int = Field(default=8_000_000, ge=1)
    max_ratio: float = Field(default=200.0, gt=1)
    language_hint: str = ""


class WikipediaFetch(RecordsFetch):
    """Import MediaWiki export XML (`pages-articles.xml.bz2`, multistream or not, of any wiki).

    Attributes:
        namespaces: namespaces whose pages are taken; all others are dropped as `namespace`.
        base_url: `https://xx.wikipedia.org/wiki/`; needed only if the dump has no `siteinfo`.
    """

    kind: Literal["wikipedia"]
    namespaces: tuple[int, ...] = (0,)
    base_url: str = ""


class JatsFetch(RecordsFetch):
    """Import JATS articles (PubMed Central's `.nxml`, `.xml`, or `.tar.gz` packages of them)."""

    kind: Literal["jats"]


class LatexFetch(RecordsFetch):
    """Import LaTeX sources as arXiv hands them out: a `.tar.gz` or `.gz` a paper, or bulk `.tar` files of those.

    Attributes:
        metadata: JSON Lines with `id`, `title`, `license` a paper (arXiv's metadata snapshot). A paper's licence there can only
            make the source's licence stricter; a paper without an entry is dropped as `no_metadata`, one whose licence is null as
            `licence_unknown`, unless the source states that its licence covers silent records.
        base_url: what the paper's id is appended to for its address.
        max_members: files in one paper's archive.
    """

    kind: Literal["latex"]
    max_bytes: int = Field(default=8_000_000, ge=1)
    metadata: str = ""
    base_url: str = "https://arxiv.org/abs/"
    max_members: int = Field(default=2_000, ge=1)


class GutenbergFetch(RecordsFetch):
    """Import books as plain text with Project Gutenberg's header and markers.

    Attributes:
        split: `book` for one document with headings, `chapter` for one document a chapter.
        base_url: what the e-book's number is appended to for its address.
    """

    kind: Literal["gutenberg"]
    split: Literal["book", "chapter"] = "book"
    base_url: str = "https://www.gutenberg.org/ebooks/"


class StackexchangeFetch(RecordsFetch):
    """Import a site's `Posts.xml`: a question with its answers is one record.

    Attributes:
        site: address of the site, such as `https://unix.stackexchange.com`.
        min_answer_score: answers below it are left out unless accepted.
        min_question_score: questions below it are dropped as `low_score`.
        require_answer: whether questions without an answer are dropped as `no_answer`.
    """

    kind: Literal["stackexchange"]
    site: str = Field(pattern=r"^https?://[^/]+$")
    min_answer_score: int = 0
    min_question_score: int = -1_000_000
    require_answer: bool = True


class LegalFetch(RecordsFetch):
    """Import laws and government documents: Akoma Ntoso, USLM (US Code) or Formex (EUR-Lex) XML, told by their root element.

    Attributes:
        base_url: what a document's own identifier is appended to for its address.
    """

    kind: Literal["legal"]
    base_url: str = ""


class NewsFetch(RecordsFetch):
    """Import news: RSS 2.0 and Atom feeds with full content, NITF, NewsML-G2, told by their root element.

    News as pages in WARC files (CC-NEWS) is `kind: warc`; headline and date then come from the page's schema.org data.

    Attributes:
        min_characters: feed entries with less text than this are teasers, dropped as `teaser`.
    """

    kind: Literal["news"]
    min_characters: int = Field(default=300, ge=0)

    @field_validator("paths")
    @classmethod
    def _files(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for p in paths:
            if p.startswith(("http://", "https://")):
                raise ValueError(f"'{p}' is an address: import reads files; crawl the feed or save it first")
        return paths
