"""The spool of an import gives back what it was given, in the order of addresses."""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_governance.acquire.crawl.frontier import StoredPage
from headrace_governance.acquire.importers.spool import Spool
from headrace_lake.fingerprint import digest_bytes

PAGE = StoredPage(
    url="",
    final_url="https://x.example/é\u2028",
    status=200,
    fetched_at="1970-01-01T00:00:00+00:00",
    headers=[("a", "b"), ("a", "ü")],
    content_type=None,
    charset=None,
    content_digest="",
    content_bytes=0,
    etag=None,
    last_modified=None,
    robots_digest=None,
    licence="CC0-1.0",
    licence_class="public",
    licence_basis="\x00",
    licence_evidence="",
    language_hint=None,
    evidence="",
    request_headers=[],
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
STATE = st.sampled_from(["kept", "dropped", "failed"])


@given(st.dictionaries(TEXT, st.tuples(STATE, st.binary(max_size=50))))
def test_every_item_comes_back_once_in_order(items: dict[str, tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Spool(Path(folder)) as spool:
        for url, (state, body) in items.items():
            if state == "kept":
                spool.keep(replace(PAGE, url=url, content_digest=digest_bytes(body)), body)
            else:
                (spool.drop if state == "dropped" else spool.fail)(url, "a_reason", url * 100)
        kept = [(replace(PAGE, url=u, content_digest=digest_bytes(b)), b) for u, (s, b) in sorted(items.items()) if s == "kept"]
        assert list(spool.pages()) == kept
        for state in ("dropped", "failed"):
            assert list(spool.outcomes(state)) == [(u, "a_reason", (u * 100)[:1000]) for u, (s, _) in sorted(items.items()) if s == state]


def test_an_address_is_taken_once(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.keep(PAGE, b"one")
        with pytest.raises(sqlite3.IntegrityError):
            spool.keep(PAGE, b"two")
