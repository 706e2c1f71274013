"""XML documents as lxml trees: expands no entity, loads nothing, and keeps libxml2's own limits (256 levels, 10 MB a text)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from headrace_governance.encoding.xml_encoding import in_utf8, without_forbidden


def parse_xml(data: bytes) -> Any:
    """The root element of an XML document, in the encoding that it declares.

    Characters that XML 1.0 forbids (production 2), as references or as they are, end no document: Stack Exchange's dumps and feeds hold
    them. They are left out.

    Raises:
        ValueError: not well-formed otherwise, or beyond libxml2's limits.
    """
    from lxml import etree

    data = in_utf8(data)
    try:
        return _root(data)
    except etree.XMLSyntaxError as exc:
        problem = exc
    allowed = without_forbidden(data)
    if allowed != data:
        try:
            return _root(allowed)
        except etree.XMLSyntaxError as exc:
            problem = exc
    raise ValueError(str(problem) or "not well-formed XML") from problem


def _root(data: bytes) -> Any:
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    root = etree.fromstring(data, parser=parser)
    if root is None:
        raise ValueError("no element")
    return root


def local_name(element: Any) -> str:
    """An element's name without its namespace; empty for comments and processing instructions."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def outermost(root: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """Wanted elements that stand within no other wanted one, in the document's order: their texts together are no longer than the
    document's, however deep such elements nest."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if wanted(element):
            yield element
        else:
            waiting += reversed(element)
