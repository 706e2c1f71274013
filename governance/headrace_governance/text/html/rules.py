"""What an element's tag, class, id and role say about it: main content, boilerplate, comments, or nothing.

The words are those that real templates use. They follow trafilatura's `BODY_XPATH` and `OVERALL_DISCARD_XPATH` (Barbaresi 2021,
Apache-2.0) and readability's `unlikelyCandidates` (Mozilla, Apache-2.0), with the templates of documentation tools added
(DocBook's `navheader`, Sphinx's `related` and `headerlink`, MediaWiki's `mw-editsection`).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.attributes import (
    ARIA_HIDDEN,
    ARTICLE_BODY,
    HIDDEN,
    NUMBER_CLASS,
    OFFSCREEN,
    ROLE_ARTICLE,
    ROLE_DROPPED,
    ROLE_MAIN,
    STRUCK,
)
from headrace_governance.text.html.controls import settle
from headrace_governance.text.html.tags import BLOCK, NAMED, PROPERTIES, number
from headrace_governance.text.html.tokens import N_FIRST, N_LAST, Tokens

NOTHING, BOILERPLATE, COMMENTS, DOUBTFUL = 0, 1, 2, 3
"""DOUBTFUL: boilerplate as a rule, but also what a theme calls its wrappers; not believed where it leaves a page without text."""
LONGEST_NAME = 300
"""Characters of a class or id that are looked at."""
STRUCK_BYTES = 4_000
"""Of markup, up to which an element that strikes out its text is left out."""

_PARTS = re.compile(r"[\s_-]+")
_NUMBERS = re.compile(rb"[0-9]{3,}")
"""No word below holds a number of three digits, or asks for how many there are."""
# Class lists and ids are cut at spaces, - and _; a pair is two neighbouring parts ("read-more"), a whole is a class or id uncut.
_BOILERPLATE = frozenset(
    (
        "nav navi navbar navbox navigation navheader navfooter subnav sitenav topnav docnav menu submenu sidebar sidebar1 sidebar2 "
        "sidenav toc breadcrumb breadcrumbs crumbs pager pagination paginator foot footer masthead topbar consent gdpr share shares "
        "sharing sharer social sociable socials syndication adv adsense adsbygoogle outbrain taboola criteo readmore signup login "
        "copyright akismet headerlink permalink editsection catlinks printfooter lineno linenos copybtn postmetadata postmeta entrymeta "
        "imagedescription kommentare kommentar teilen recirculation metainfo"
    ).split()
)
_DOUBTFUL = frozenset(
    (
        "toolbar banner follow tweet recommended recommendation recommendations popular trending teaser teasers register paywall "
        "popup modal overlay lightbox tooltip skip skiplink bio metadata meta timestamp dateline tags categories search searchbox "
        "searchform disclaimer legal respond reply credit credits infoline options gutter embed embedded icon icons carousel "
        "slideshow slider button buttons btn cta donate donation flyout dropdown attachment ad ads offer abo "
        "promotion contact kontakt caption captions reviews"
    ).split()
)
_WHOLE = frozenset(
    "hidden hide is-hidden d-none print noprint no-print next prev previous ad ads tag widget widgets sticky sr-only".split()
)
_PREFIXES = ("cookie", "sharedaddy", "addthis", "sphinxsidebar", "shariff", "newsletter", "subscri", "related")
_DOUBTFUL_PREFIXES = ("advert", "sponsor", "promo", "byline", "author", "rating")
_PAIRS = frozenset(
    (
        "sidebar sidenav breadcrumb breadcrumbs morestories morearticles morenews moreposts morelinks morefrom mostpopular mostread "
        "mostviewed alsoread alsolike readmore readnext nextpost nextarticle nextstory prevpost prevarticle signup login byline "
        "postmeta postinfo postdate postfooter posttags entrymeta entryinfo entrydate entryfooter entrytags entrycategories "
        "articlemeta articleinfo articledate articlefooter articletags newsmeta newsinfo taglist tagcloud taglinks catlinks "
        "visuallyhidden screenreader linenumbers linenumber rstversions editpage editlink editthis userinfo userprofile usermenu "
        "jumplink wynav"
    ).split()
)
_INSIDE = re.compile(r"footer|sidebar|related|newsletter|breadcrumb|cookie|sponsor|sharedaddy|navigation|outbrain|taboola|shariff")
"""Words that say the same inside of longer ones ("SiteFooter", "relatedArticles")."""
_COMMENT_PARTS = frozenset("comment comments commentlist commentarea commentsection comol".split())
_COMMENT_PREFIXES = ("disqus", "dsq")
_WORDPRESS_POST = re.compile(r"(?:^|\s)(?:hentry|post-\d+|type-post|type-page|format-standard)(?:$|\s)")

_RANKS = (
    re.compile(
        r"^(?:post|entry)$|post[-_]?(?:text|body|entry|content)|entry[-_]?(?:content|text|body)|article[-_]{0,2}(?:text|content|body|container|main)|"
        r"page-content|text-content|body-text|art-content|story[-_]?(?:body|text)|rich-?text|mw-parser-output|markdown-body"
    ),
    None,  # <article>
    re.compile(
        r"post-?bodycopy|story-?content|postarea|theme-content|blog-content|section-content|single-content|single-post|main-column|"
        r"wpb_text_column|^primary|^article(?:\s|$)|^text$|^cell$|^story$|field-body|fulltext|news-?(?:text|body|content|detail)"
    ),
    re.compile(r"content[-_]{0,2}(?:main|body)|main[-_]?content|^content$|^documentwrapper$|^bodywrapper$"),
    re.compile(r"^main"),
)
RANKS = len(_RANKS)
_INLINE = re.compile(
    r"(?:^|[\s_-])(?:headerlink|permalink|anchor-?link|heading-?anchor|header-?anchor|mw-editsection|editsection|linenos?|line-?numbers?|noprint|copybtn|mw-cite-backlink)(?:$|[\s_-])"
)
_READERS = re.compile(
    r"(?:^|[\s_-])(?:sr-?only|vis(?:ually)?-?hidden|screen-?reader\w*|off-?screen|element-invisible|assistive-?text)(?:$|[\s_-])"
)
"""Text for screen readers alone."""
_CODE = re.compile(r"(?:^|\s)language-")
"""Code that names its language. Its "line-numbers" asks Prism, a highlighter, to count its lines: it is not made of numbers."""
_SECTION = re.compile(r"^(?:section|sect\d|refsect\d|level\d|refentry|chapter|appendix)(?:$|\s)")
_SECTION_TAG = number("section")
_CAPTION = re.compile(r"captions?")
"""What a `figcaption` is called anyhow: it stays, but for credits; blocks that are called so beside pictures without a figure go."""
_MAIN, _ARTICLE, _PRE, _BUTTON, _QUOTE, _FIGCAPTION = (number(n) for n in "main article pre button blockquote figcaption".split())
_MARKED_TAGS = np.zeros(256, dtype=np.bool_)
_MARKED_TAGS[[number(n) for n in "nav footer aside menu search".split()]] = True
_DELETED = np.zeros(256, dtype=np.bool_)
_DELETED[[number(n) for n in "del s strike".split()]] = True
_DOUBTFUL_TAGS = np.zeros(256, dtype=np.bool_)
_DOUBTFUL_TAGS[[number(n) for n in "form".split()]] = True


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of a page's nodes say, by node.

    Attributes:
        marks: BOILERPLATE, COMMENTS, DOUBTFUL or NOTHING.
        ranks: 1 (surest) to 5 for an element that names itself main content, else 0.
    """

    marks: Any
    ranks: Any


def dropped(tokens: Tokens) -> Any:
    """A flag a node: elements that are not text (hidden ones, what its author struck out, permalinks, line numbers, texts for screen
    readers, buttons that only do)."""
    out, classed, unsettled = _hidden(tokens.events, tokens.nodes, PROPERTIES)
    source = tokens.source
    readers = []
    for k, a, b in classed.tolist():
        found = _is_dropped(source[a:b])
        if found:
            out[k] = True
            if found == FOR_READERS:
                readers.append(k)
    if unsettled or readers:
        settle(tokens, out, readers, _is_dropped)
    return out


@njit(cache=True)
def _hidden(events: Any, nodes: Any, properties: Any) -> tuple[Any, Any, bool]:
    """The flags of inline elements that attributes hide; node, begin and end of the class of those that have one; whether there are
    buttons, numbers of lines or elements that are hidden from screen readers."""
    n = len(nodes)
    out = np.zeros(n, dtype=np.bool_)
    classed = np.empty((n, 3), dtype=np.int32)
    found = 0
    unsettled = False
    for k in range(1, n):
        flags = nodes[k, 6]
        unsettled |= flags & (ARIA_HIDDEN | NUMBER_CLASS) != 0 or nodes[k, 0] == _BUTTON
        if properties[nodes[k, 0]] & BLOCK:
            continue
        out[k] = flags & (HIDDEN | ARIA_HIDDEN | OFFSCREEN) != 0
        if _DELETED[nodes[k, 0]] or flags & STRUCK:  # unless it is so long that somebody forgot to end it
            out[k] |= events[nodes[k, N_LAST], 2] - events[nodes[k, N_FIRST], 2] <= STRUCK_BYTES
        if 0 < nodes[k, 3] - nodes[k, 2] < LONGEST_NAME:
            classed[found, 0], classed[found, 1], classed[found, 2] = k, nodes[k, 2], nodes[k, 3]
            found += 1
    return out, classed[:found], unsettled


NOT_DROPPED, DROPPED, FOR_READERS = 0, 1, 2


@lru_cache(maxsize=4096)
def _is_dropped(cls: bytes) -> int:
    name = cls.decode("utf-8", "replace").lower()
    if _READERS.search(name):
        return FOR_READERS
    return DROPPED if _INLINE.search(name) is not None and not _CODE.search(name) else NOT_DROPPED


def names(tokens: Tokens, spans: Any) -> Names:
    """Read the names of the nodes that hold blocks."""
    marks, ranks, named = _by_tags(tokens.nodes, spans, PROPERTIES)
    source = tokens.source
    for k, tag, a, b, c, d in named.tolist():
        # Ids are numbered ("par_id3157898"): how does not matter, and few are left to look at.
        mark, rank = _verdict(tag, source[a:b], _NUMBERS.sub(b"000", source[c:d]))
        if mark and not marks[k] and not (tag == _PRE and _holds_code(tokens, k)):
            marks[k] = mark
        if rank and not 0 < ranks[k] <= rank:
            ranks[k] = rank
    return Names(marks, ranks)


def _holds_code(tokens: Tokens, k: int) -> bool:
    """Whether a node, or the one inside of it, is code that names its language."""
    near = tokens.nodes[k : k + 2].tolist()
    inside = [n for n in near if n is near[0] or n[1] == k]
    return any(_CODE.search(tokens.source[n[2] : min(n[3], n[2] + LONGEST_NAME)].decode("utf-8", "replace").lower()) for n in inside)


@njit(cache=True)
def _by_tags(nodes: Any, spans: Any, properties: Any) -> tuple[Any, Any, Any]:
    """Marks and ranks of the nodes that hold blocks, as far as tags and roles give them; node, tag, begin and end of class and of id of
    those that have one."""
    n = len(nodes)
    marks = np.zeros(n, dtype=np.int8)
    ranks = np.zeros(n, dtype=np.int8)
    named = np.empty((n, 6), dtype=np.int32)
    found = 0
    for k in range(n):
        tag, flags = nodes[k, 0], nodes[k, 6]
        if not properties[tag] & BLOCK or spans[k, 1] <= spans[k, 0]:
            continue
        if flags & (HIDDEN | ARIA_HIDDEN | ROLE_DROPPED) or _MARKED_TAGS[tag]:
            marks[k] = BOILERPLATE
        elif _DOUBTFUL_TAGS[tag]:
            marks[k] = DOUBTFUL
        if flags & ARTICLE_BODY:
            ranks[k] = 1
        elif flags & ROLE_ARTICLE or tag == _ARTICLE:
            ranks[k] = 2
        elif flags & ROLE_MAIN or tag == _MAIN:
            ranks[k] = RANKS
        if nodes[k, 3] > nodes[k, 2] or nodes[k, 5] > nodes[k, 4]:
            named[found, 0], named[found, 1] = k, tag
            named[found, 2], named[found, 3] = nodes[k, 2], min(nodes[k, 3], nodes[k, 2] + LONGEST_NAME)
            named[found, 4], named[found, 5] = nodes[k, 4], min(nodes[k, 5], nodes[k, 4] + LONGEST_NAME)
            found += 1
    return marks, ranks, named[:found]


@lru_cache(maxsize=16384)
def _verdict(tag: int, cls: bytes, identifier: bytes) -> tuple[int, int]:
    """Mark and rank of a block element."""
    one, two = cls.decode("utf-8", "replace").lower(), identifier.decode("utf-8", "replace").lower()
    if _SECTION.search(one) or (tag == _SECTION_TAG and not one):
        return NOTHING, 0  # documentation: its id is made of a heading's words
    name = f"{one} {two}"
    found = NOTHING
    if tag == _QUOTE and "tweet" in one:
        return NOTHING, 0  # a message that the text quotes
    if tag not in (_MAIN, _ARTICLE):
        found = _mark(_CAPTION.sub(" ", name) if tag == _FIGCAPTION else name)
    if not PROPERTIES[tag] & NAMED:
        return found, 0
    for rank, words in enumerate(_RANKS, start=1):
        if words is not None and ((one and words.search(one)) or (two and words.search(two))):
            return found, rank
    return found, 0


def _mark(name: str) -> int:
    parts = _PARTS.split(name)
    if not _COMMENT_PARTS.isdisjoint(parts) or any(p.startswith(_COMMENT_PREFIXES) for p in parts):
        return COMMENTS
    whole = name.split()
    if (
        not _BOILERPLATE.isdisjoint(parts)
        or any(p.startswith(_PREFIXES) for p in parts)
        or not _PAIRS.isdisjoint([a + b for a, b in itertools.pairwise(parts)])
        or _INSIDE.search(name) is not None
    ):
        found = BOILERPLATE
    elif (
        not _DOUBTFUL.isdisjoint(parts)
        or not _WHOLE.isdisjoint(whole)
        or any(p.startswith(_DOUBTFUL_PREFIXES) for p in parts)
        or any(w.startswith("widget") for w in whole)
    ):
        found = DOUBTFUL
    else:
        return NOTHING
    return NOTHING if _WORDPRESS_POST.search(name) else found
