"""Laws and government documents: each XML file, or XML member of a `.tar` package, is a capture as it came.

The format is told by the root element. The address is the document's own identifier behind `base_url` (Akoma Ntoso's FRBR address, USLM's
identifier), EUR-Lex's for a CELEX number, else the file's. Dropped: `too_large`, `link`, `outside`; what is none of the three formats is
quarantined as `bad_document`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

from headrace_governance.containers.item import Item, alone
from headrace_governance.containers.streams import files_within
from headrace_governance.sources.import_options import LegalFetch
from headrace_governance.sources.licences.elements import statements
from headrace_governance.text.formats.legal.convert import AKN_ROOTS, FORMEX_ROOTS, USLM_ROOTS, facts_of
from headrace_governance.text.xml_tree import local_name, outermost, parse_xml

_MEDIA_TYPES = {
    **dict.fromkeys(AKN_ROOTS, "application/akn+xml"),
    **dict.fromkeys(USLM_ROOTS, "application/uslm+xml"),
    **dict.fromkeys(FORMEX_ROOTS, "application/formex+xml"),
}
_ISO = {
    "eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "ita": "it", "por": "pt", "rus": "ru", "zho": "zh",
    "chi": "zh", "jpn": "ja", "kor": "ko", "ara": "ar", "hin": "hi", "nld": "nl", "pol": "pl", "swe": "sv", "afr": "af",
}  # fmt: skip

_RIGHTS = {f"{{http://purl.org/dc/{space}/}}{name}" for space in ("elements/1.1", "terms") for name in ("rights", "license")}
"""Dublin Core's statements, which USLM and Akoma Ntoso allow in their metadata."""


def read_legal(fetch: LegalFetch, files: list[Path]) -> Iterator[Item]:
    """Documents of files and packages, in order.

    Raises:
        InputError: a file or package is damaged.
    """
    for file in files:
        for name, data, problem in files_within(file, (".xml", ".akn"), max_ratio=fetch.max_ratio, max_bytes=fetch.max_bytes):
            if problem:
                yield Item(url=f"file:{name}", problem=problem)
            else:
                yield from alone(partial(_one, fetch, name, data), f"file:{name}", name)


def _one(fetch: LegalFetch, name: str, data: bytes) -> list[Item]:
    return [_item(fetch, name, data)]


def _item(fetch: LegalFetch, name: str, data: bytes) -> Item:
    url = f"file:{name}"
    try:
        root = parse_xml(data)
        media = _MEDIA_TYPES.get(local_name(root))
        if media is None:
            raise ValueError(f"'{local_name(root)}' is neither Akoma Ntoso, USLM nor Formex")
    except ValueError as exc:
        return Item(url=url, problem=("bad_document", f"{name}: {exc}"), failed=True)
    facts = facts_of(root)
    language = facts.get("language", "")
    if "celex" in facts:
        url = f"https://eur-lex.europa.eu/legal-content/{(language or 'en').upper()}/TXT/?uri=CELEX:{quote(facts['celex'])}"
    elif fetch.base_url and "uri" in facts:
        url = fetch.base_url.rstrip("/") + quote(facts["uri"], safe="/:@!~.-_")
    language = _ISO.get(language, language if len(language) == 2 else "") or fetch.language_hint
    said = statements(notices=[" ".join(x.itertext()) for x in outermost(root, lambda x: x.tag in _RIGHTS)])
    links = tuple(("document", licence) for licence in said)
    return Item(url=url, body=data, content_type=media, language=language, licence_links=links)
