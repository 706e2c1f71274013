"""The identity of documents: a uid is the digest of where a document comes from, under which address, and what was stored of it.

    uid = BLAKE2b-128(person = "headrace-uid-2", L(source) L(address) L(content)), 32 hex digits
    L(x) = length of x in bytes as 8 bytes, big endian, then x

`source` is the source's id; `address` is the address that was asked for, a record's address or the file's (`captures.url`), in UTF-8
(a lone surrogate as WTF-8 has it); `content` is `captures.content_digest`, the hexadecimal BLAKE2b-128 of the stored body, and empty for an
address of which nothing was stored (a row of `exclusions` or `quarantine` that a crawl or an import left). The lengths keep fields
apart; `person` (RFC 7693, 2.8) keeps uids apart from every other digest of the same bytes.

What follows from it:

- Two sources never share a uid, also where both import a file of one name or fetch one address.
- The same address with the same content keeps its uid from interval to interval, so a row is found by (source, slice, uid). With
  another content it is another document, and has another uid.
- Equal contents do not give equal uids: copies are found by digests of the texts (`verdict_exact_duplicate`) and by signatures.
- Held-out documents are chosen by uid, so a page that changed is chosen anew; that its older form is not trained on while the newer one
  is scored is what the verdicts on duplicates and `headrace decontaminate register-held-out` are for.
"""

from __future__ import annotations

import hashlib

_PERSON = b"headrace-uid-2"


def document_uid(source: str, address: str, content_digest: str = "") -> str:
    """The uid of a document, 32 hex digits.

    Args:
        content_digest: hexadecimal digest of the stored body; empty where nothing was stored.
    """
    digest = hashlib.blake2b(digest_size=16, person=_PERSON)
    for field in (source, address, content_digest):
        data = field.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
