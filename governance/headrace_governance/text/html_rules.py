"""What an element's tag, class, id and role say about it: main content, boilerplate, comments, or nothing.

The words are those that real templates use. They follow trafilatura's `BODY_XPATH` and `OVERALL_DISCARD_XPATH` (Barbaresi 2021,
Apache-2.0) and readability's `unlikelyCandidates` (Mozilla, Apache-2.0), with the templates of documentation tools added
(DocBook's `navheader`, Sphinx's `related` and `headerlink`, MediaWiki's `mw-editsection`).
"""

from __future__ import annotations

import re
from functools import lru_cache

NOTHING, BOILERPLATE, COMMENTS = 0, 1, 2
LONGEST_NAME = 300
"""Characters of a class or id that are looked at."""

DROPPED_ROLES = frozenset(
    ("navigation banner contentinfo search complementary menu menubar dialog alert alertdialog tablist toolbar tooltip").split()
)

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
_WRAPPER = re.compile(
    r"(?:^|[\s_-])(?:has|with|no|without|hentry|hnews|body|main|content|article|articlebody|post|page|wrapper|container|layout|columns?)(?:$|[\s_-])"
)
"""A name that may also belong to a wrapper ("content-with-sidebar", "post format-standard category-news tag-x")."""
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
_RANKED_TAGS = frozenset(("article", "div", "main", "section", "td"))


@lru_cache(maxsize=8192)
def mark(tag: str, names: str) -> int:
    """BOILERPLATE, COMMENTS or NOTHING, for a class and an id that are joined by a space."""
    name = names.lower()
    if _COMMENTS.search(name):
        return COMMENTS
    if _BOILERPLATE.search(name) is None and _INSIDE.search(name) is None:
        return NOTHING
    if _WORDPRESS_POST.search(name):
        return NOTHING
    return BOILERPLATE


@lru_cache(maxsize=8192)
def rank(tag: str, cls: str, identifier: str, other: str) -> int:
    """1 (surest) to RANKS for an element that names itself main content, else 0; `other` is its itemprop or role."""
    if tag not in _RANKED_TAGS:
        return 0
    if other == "articleBody":
        return 1
    cls, identifier = cls.lower(), identifier.lower()
    for number, words in enumerate(_RANKS, start=1):
        if words is None:
            if tag == "article" or other == "article":
                return number
        elif (cls and words.search(cls)) or (identifier and words.search(identifier)):
            return number
    return RANKS if tag == "main" or other == "main" else 0
