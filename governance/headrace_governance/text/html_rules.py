"""What an element's tag, class, id and role say about it: main content, boilerplate, comments, or nothing.

The words are those that real templates use. They follow trafilatura's `BODY_XPATH` and `OVERALL_DISCARD_XPATH` (Barbaresi 2021,
Apache-2.0) and readability's `unlikelyCandidates` (Mozilla, Apache-2.0), with the templates of documentation tools added
(DocBook's `navheader`, Sphinx's `related` and `headerlink`, MediaWiki's `mw-editsection`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from headrace_governance.text.html_tags import BLOCK, NAMED, PROPERTIES, number
from headrace_governance.text.html_tokens import ARTICLE_BODY, HIDDEN, ROLE_ARTICLE, ROLE_DROPPED, ROLE_MAIN, Tokens

NOTHING, BOILERPLATE, COMMENTS = 0, 1, 2
LONGEST_NAME = 300
"""Characters of a class or id that are looked at."""

# A word of a class list or id, with its parts set off by - or _ ("post-share", "share_buttons").
_BOILERPLATE = re.compile(
    r"(?:^|[\s_-])(?:"
    r"nav|navi|navbar|navbox|navigation|navheader|navfooter|subnav|sitenav|topnav|docnav|menu|submenu|side-?bar\d?|side-?nav|toc|"
    r"bread-?crumbs?|pager|pagination|paginator|foot|footer|masthead|topbar|toolbar|cookies?|cookie-?\w*|consent|gdpr|banner|"
    r"shar(?:e|ing|er|edaddy)|share-?\w*|social|sociable|socials|syndication|follow|tweet|addthis\w*|"
    r"ads?|adv|advert\w*|adsense|adsbygoogle|advertising|sponsor\w*|promo\w*|outbrain|taboola|criteo|"
    r"related\w*|recommend(?:ed|ations?)?|more-?(?:stories|articles|news|posts|links|from)|most-?(?:popular|read|viewed)|popular(?:-posts)?|"
    r"trending|also-?(?:read|like)|read-?(?:more|next)|readmore|next-?(?:post|article|story)?s?|prev(?:ious)?-?(?:post|article)?|"
    r"jp-relatedposts|teasers?|newsletter\w*|subscri\w+|sign-?up|log-?in|register|paywall|popup|modal|overlay|lightbox|tooltip|skip|skiplink|"
    r"by-?line\w*|author\w*|about-?author|bio|(?:post|entry|article|news)-?(?:meta|info|infos|date|footer|header-meta|tags?|categories|utility|nav\w*)|"
    r"metadata|meta|timestamp|dateline|tags?|tag-?(?:list|cloud|links)|cat-?links|categories|rating\w*|"
    r"widget\w*|print|noprint|no-print|hide|hidden|is-hidden|d-none|visually-?hidden|sr-only|screen-?reader\w*|"
    r"search|searchbox|searchform|copyright|disclaimer|legal|respond|reply|akismet|credits?|attachment|"
    r"headerlink|permalink|editsection|mw-editsection|mw-jump-link|catlinks|printfooter|vector-\w+|infoline|user-?(?:info|profile|menu)|options|"
    r"linenos?|lineno|line-?numbers?|gutter|copybtn|rst-versions|edit-?(?:page|link|this)?|wy-nav-side|sphinxsidebar\w*|"
    r"embed(?:ded)?|icons?|carousel|slideshow|slider|gallery-?nav|buttons?|btn|cta|donat(?:e|ion)|sticky|flyout|dropdown|accordion-nav"
    r")(?:$|[\s_-])"
)
_INSIDE = re.compile(r"footer|sidebar|related|newsletter|breadcrumb|cookie|sponsor|sharedaddy|navigation|outbrain|taboola|shariff|toolbar")
"""Words that say the same inside of longer ones ("SiteFooter", "relatedArticles")."""
_COMMENTS = re.compile(
    r"(?:^|[\s_-])(?:comments?|commentlist|comment-?\w+|disqus\w*|dsq\w*|comol|reader-?comments|(?:post|article)-?comments)(?:$|[\s_-])"
)
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
    r"(?:^|[\s_-])(?:headerlink|permalink|anchor-?link|heading-?anchor|header-?anchor|mw-editsection|editsection|sr-only|visually-?hidden|"
    r"screen-?reader\w*|linenos?|line-?numbers?|noprint|copybtn|mw-cite-backlink)(?:$|[\s_-])"
)
_MAIN, _ARTICLE = number("main"), number("article")
_MARKED_TAGS = np.zeros(256, dtype=np.bool_)
_MARKED_TAGS[[number(n) for n in "nav footer aside menu search".split()]] = True


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of a page's nodes say, by node.

    Attributes:
        marks: BOILERPLATE, COMMENTS or NOTHING.
        ranks: 1 (surest) to RANKS for an element that names itself main content, else 0.
        dropped: inline elements that are no text (permalinks, line numbers, texts for screen readers).
    """

    marks: Any
    ranks: Any
    dropped: Any


def names(tokens: Tokens) -> Names:
    """Read the names of a page's nodes."""
    nodes = tokens.nodes
    tags, flags = nodes[:, 0], nodes[:, 6]
    block = (PROPERTIES[tags] & BLOCK) != 0
    hidden = (flags & (HIDDEN | ROLE_DROPPED)) != 0
    marks = np.where(block & (hidden | _MARKED_TAGS[tags]), BOILERPLATE, NOTHING).astype(np.int8)
    ranks = np.zeros(len(nodes), dtype=np.int8)
    dropped = ~block & ((flags & HIDDEN) != 0)
    data = tokens.data.tobytes()
    named = np.flatnonzero((nodes[:, 3] > nodes[:, 2]) | (nodes[:, 5] > nodes[:, 4]))
    for k, (tag, _, a, b, c, d, _, _) in zip(named.tolist(), nodes[named].tolist(), strict=True):
        mark, rank, drop = _verdict(tag, data[a : min(b, a + LONGEST_NAME)], data[c : min(d, c + LONGEST_NAME)])
        if mark and not marks[k]:
            marks[k] = mark
        if rank:
            ranks[k] = rank
        if drop:
            dropped[k] = True
    for where, rank in ((tags == _MAIN, RANKS), ((flags & ROLE_MAIN) != 0, RANKS), ((flags & ROLE_ARTICLE) != 0, 2), (tags == _ARTICLE, 2), ((flags & ARTICLE_BODY) != 0, 1)):  # fmt: skip
        ranks[where & ((ranks == 0) | (ranks > rank))] = rank
    return Names(marks, ranks, dropped)


@lru_cache(maxsize=16384)
def _verdict(tag: int, cls: bytes, identifier: bytes) -> tuple[int, int, bool]:
    """Mark, rank, and whether an inline element is left out."""
    one, two = cls.decode("utf-8", "replace").lower(), identifier.decode("utf-8", "replace").lower()
    name = f"{one} {two}"
    if not PROPERTIES[tag] & BLOCK:
        return NOTHING, 0, _INLINE.search(name) is not None
    found = NOTHING
    if tag not in (_MAIN, _ARTICLE):
        if _COMMENTS.search(name):
            found = COMMENTS
        elif (_BOILERPLATE.search(name) or _INSIDE.search(name)) and not _WORDPRESS_POST.search(name):
            found = BOILERPLATE
    if not PROPERTIES[tag] & NAMED:
        return found, 0, False
    for rank, words in enumerate(_RANKS, start=1):
        if words is not None and ((one and words.search(one)) or (two and words.search(two))):
            return found, rank, False
    return found, 0, False
