"""JATS articles: each XML file, or each XML member of a `.tar.gz` package, is a capture as it came; of a file
with several articles each is one.

The article's own licence joins the licence decision: `<license>` (its address, `license-type`, prose, addresses in the prose),
`ali:license_ref` and the copyright statement of the article's front; the body is not looked at. An article that names none is
`unknown`, unless the source file states that its licence covers such records. The address
is the DOI's, else PubMed Central's, else the file's. Dropped: `no_body` (a record without the full text), `too_large`, `link`,
`outside`; what is not an article is quarantined as `bad_article`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headrace_governance.containers.item import Item, alone
from headrace_governance.containers.streams import files_within
from headrace_governance.sources.import_options import JatsFetch
from headrace_governance.sources.licences.elements import statements
from headrace_governance.sources.licences.statements import licence_of_address
from headrace_governance.text.xml_tree import local_name, outermost, parse_xml

MEDIA_TYPE = "application/jats+xml"
_XML = (".xml", ".nxml")
_HREF = "{http://www.w3.org/1999/xlink}href"
_TITLE = "{http://www.w3.org/1999/xlink}title"
_INLINE = frozenset("bold italic sc sub sup underline overline roman sans-serif monospace styled-content named-content strike".split())
"""Elements within words."""
_STATING = frozenset("license licence license_ref copyright-statement copyright-holder copyright custom-meta".split())
"""Elements that say something about rights: each is read for itself, without those nested in it, so that a front that nests them a
hundred deep is read once and not a hundred times."""


def read_jats(fetch: JatsFetch, files: list[Path]) -> Iterator[Item]:
    """Articles of files and packages, in order.

    Raises:
        InputError: a file or package is damaged.
    """
    for file in files:
        for name, data, problem in files_within(file, _XML, max_ratio=fetch.max_ratio, max_bytes=fetch.max_bytes):
            if problem:
                yield Item(url=f"file:{name}", problem=problem)
            else:
                yield from alone(partial(_items, fetch, name, data), f"file:{name}", name)


def _items(fetch: JatsFetch, name: str, data: bytes) -> Iterator[Item]:
    try:
        root = parse_xml(data)
        articles = list(outermost(root, lambda x: local_name(x) == "article"))
        if not articles:
            raise ValueError(f"no article but '{local_name(root)}'")
    except ValueError as exc:
        yield Item(url=f"file:{name}", problem=("bad_article", f"{name}: {exc}"), failed=True)
        return
    if len(articles) == 1:
        yield _item(fetch, name, articles[0], data)
        return
    from lxml import etree

    for number, article in enumerate(articles):  # `pmc-articleset`, records of an OAI-PMH answer
        yield _item(fetch, f"{name}#{number}", article, etree.tostring(article, encoding="utf-8", xml_declaration=True, with_tail=False))


def _item(fetch: JatsFetch, name: str, article: Any, data: bytes) -> Item:
    ids: dict[str, str] = {}
    front = next((x for x in article if local_name(x) in ("front", "front-stub")), None)
    for x in front.iter() if front is not None else ():
        if local_name(x) == "article-id":
            ids.setdefault(str(x.get("pub-id-type") or ""), "".join(x.itertext()).strip())
    url = _address(ids) or f"file:{name}"
    if all(local_name(x) != "body" for x in article):
        return Item(url=url, problem=("no_body", name))
    language = article.get("{http://www.w3.org/XML/1998/namespace}lang") or fetch.language_hint
    links = tuple(("article", said) for said in _licences(front)) if front is not None else ()
    return Item(url=url, body=data, content_type=MEDIA_TYPE, language=language, licence_links=links)


def _licences(front: Any) -> tuple[str, ...]:
    """What the permissions of an article say, in JATS's elements and in those of NLM 2, which had no `permissions`."""
    addresses: list[str] = []
    terms: list[str] = []
    notices: list[str] = []
    for x in front.iter():
        kind = local_name(x)
        if kind in ("license", "licence"):
            addresses.append(str(x.get(_HREF) or x.get("href") or ""))
            # `open-access` names no licence, `cc-by-nc` does.
            notices += [str(x.get("license-type") or ""), str(x.get(_TITLE) or "")]
            # Addresses in the prose count if they are a licence's; the publisher's home page says nothing.
            addresses += [a for a in _addresses_in(x) if licence_of_address(a)]
            terms.append(_words(x))
        elif kind == "license_ref":
            addresses.append("".join(_words(x).split()))
        elif kind in ("copyright-statement", "copyright-holder", "copyright"):
            notices.append(_words(x))
        elif kind == "custom-meta":  # PubMed Central's `pmc-license-ref`, for instance
            said = {local_name(y): _words(y) for y in x}
            if "licen" in said.get("meta-name", "").lower():
                notices.append(said.get("meta-value", ""))
    return statements(addresses, terms, notices)


def _addresses_in(element: Any) -> Iterator[str]:
    """Addresses of the elements within one, but for those that state something themselves."""
    waiting = list(reversed(element))
    while waiting:
        child = waiting.pop()
        if local_name(child) not in _STATING:
            yield str(child.get(_HREF) or "")
            waiting += reversed(child)


def _words(element: Any) -> str:
    """An element's text; only markup within words leaves them whole (`N<sc>on</sc>C<sc>ommercial</sc>`). Of `_STATING` elements within
    it only the text behind them is taken."""
    parts = [element.text or ""]
    _add_words(element, parts)
    return "".join(parts)


def _add_words(element: Any, parts: list[str]) -> None:
    for child in element:
        name = local_name(child)
        gap = "" if name in _INLINE else " "
        parts.append(gap)
        if name not in _STATING:
            parts.append(child.text or "")
            _add_words(child, parts)
        parts += [gap, child.tail or ""]


def _address(ids: dict[str, str]) -> str:
    if ids.get("doi"):
        return "https://doi.org/" + quote(ids["doi"], safe="/:;().-_")
    number = ids.get("pmcid") or ids.get("pmc") or ids.get("pmcaid") or ""
    if number.removeprefix("PMC").isdecimal():
        return f"https://pmc.ncbi.nlm.nih.gov/articles/PMC{number.removeprefix('PMC')}/"
    return ""
