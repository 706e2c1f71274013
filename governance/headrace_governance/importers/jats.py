"""JATS articles: each XML file, or each XML member of a `.tar.gz` package, is a capture as it came.

The article's own `<license>` (its address, or `ali:license_ref`) joins the licence decision and can only make it stricter. The address
is the DOI's, else PubMed Central's, else the file's. Dropped: `no_body` (a record without the full text), `too_large`, `link`,
`outside`; what is no article is quarantined as `bad_article`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headrace_governance.importers.containers import local_name, parse_xml
from headrace_governance.importers.formats import JatsFetch
from headrace_governance.importers.item import Item
from headrace_governance.importers.streams import files_within

MEDIA_TYPE = "application/jats+xml"
_XML = (".xml", ".nxml")
_HREF = "{http://www.w3.org/1999/xlink}href"


def read_jats(fetch: JatsFetch, files: list[Path]) -> Iterator[Item]:
    """Articles of files and packages, in order.

    Raises:
        InputError: a file or package is damaged.
    """
    for file in files:
        for name, data, problem in files_within(file, _XML, max_ratio=fetch.max_ratio, max_bytes=fetch.max_bytes):
            yield Item(url=f"file:{name}", problem=problem) if problem else _item(fetch, name, data)


def _item(fetch: JatsFetch, name: str, data: bytes) -> Item:
    try:
        root = parse_xml(data)
        article = next((x for x in root.iter() if local_name(x) == "article"), None)
        if article is None:
            raise ValueError(f"no article but '{local_name(root)}'")
    except ValueError as exc:
        return Item(url=f"file:{name}", problem=("bad_article", f"{name}: {exc}"), failed=True)
    ids: dict[str, str] = {}
    links: list[tuple[str, str]] = []
    front = next((x for x in article if local_name(x) in ("front", "front-stub")), None)
    for x in front.iter() if front is not None else ():
        kind = local_name(x)
        if kind == "article-id":
            ids.setdefault(str(x.get("pub-id-type") or ""), "".join(x.itertext()).strip())
        elif kind in ("license", "license_ref") or (kind in ("ext-link", "uri") and _inside(x, "license")):
            address = str(x.get(_HREF) or "") or ("".join(x.itertext()).strip() if kind == "license_ref" else "")
            if address.startswith(("http://", "https://")) and (kind != "ext-link" or "creativecommons.org" in address):
                links.append(("article", address[:2000]))
    url = _address(ids) or f"file:{name}"
    if all(local_name(x) != "body" for x in article):
        return Item(url=url, problem=("no_body", name))
    language = article.get("{http://www.w3.org/XML/1998/namespace}lang") or fetch.language_hint
    return Item(url=url, body=data, content_type=MEDIA_TYPE, language=language, licence_links=tuple(dict.fromkeys(links)))


def _inside(element: Any, name: str) -> bool:
    return any(local_name(a) == name for a in element.iterancestors())


def _address(ids: dict[str, str]) -> str:
    if ids.get("doi"):
        return "https://doi.org/" + quote(ids["doi"], safe="/:;().-_")
    number = ids.get("pmcid") or ids.get("pmc") or ids.get("pmcaid") or ""
    if number.removeprefix("PMC").isdecimal():
        return f"https://pmc.ncbi.nlm.nih.gov/articles/PMC{number.removeprefix('PMC')}/"
    return ""
